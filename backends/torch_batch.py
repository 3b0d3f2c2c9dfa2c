"""Batches of `torch_backend`: in blocks of rows, feature-major, each with a row of ones for the biases.

Tests: `tests/backends/test_torch_backend.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from backends import caches
from backends.base import Array, Network
from backends.layout import aligned_empty, blocks_of, copy_feature_major, copy_run, copy_with_ones
from backends.threads import PLACING_RUNS, SHARED_BYTES, BlockThreads, even_rows
from backends.torch_kernels import Terms, terms_of
from backends.tuned import tuned

T = TypeVar("T")

BLOCK_BYTES = {"cpu": tuned("torch-block-bytes", caches.BLOCK_BYTES.calls), "cuda": 1 << 29}
LEAST_ROWS = 1 << 12
"""A batch whose step needs more memory is cut into blocks, which on a CPU stay in its last-level cache. They have this
many rows at least: products of wide layers lose more by short blocks than the cache gains. If so many rows fit, each
thread works on its own blocks; if not, all threads share each call, on blocks of twice as many rows or more.
"""
HALF_ROWS = 9 << 10
"""A batch of several blocks is cut into blocks of half the bytes if these have so many rows all the same: that takes
0.9 to 0.97 of the time. Shorter blocks gain nothing: threads meet at the interpreter lock once for each call.
"""
WIDE_INPUTS = 32
"""From this many inputs on a batch stays row-major: placing, splitting and reordering it are then copies of whole rows.
Products of fewer features are faster from feature-major blocks.
"""


class Block(NamedTuple):
    """Inputs ``x [i + 1, rows]``, the last row ones, the same transposed, and targets ``y [o, rows]``."""

    x: Tensor
    x_transposed: Tensor
    y: Tensor


class Batch(NamedTuple):
    """Blocks of ``n`` rows in all, a share of ``of``, and the terms of their loss.

    ``whole`` has the inputs ``[n, i + 1]`` and targets ``[o, n]`` of all rows if the blocks' inputs are views of it.
    """

    blocks: list[Block]
    n: int
    of: int
    terms: Terms
    whole: tuple[Tensor, Tensor] | None = None


@lru_cache
def _block_threads(threads: int) -> BlockThreads:
    """Return the threads that work on blocks, and place them by numpy's copies: torch's take twice as long or more."""
    return BlockThreads(threads)


class Batches:
    """Places batches of one network, and takes rows out of them.

    Args:
        network: whose batches they are.
        dtype: of the tensors, a name.
        device: where they are.

    Attributes:
        block_rows: most rows of a block.
    """

    def __init__(self, network: Network, dtype: str, device: str) -> None:
        self.network = network
        self.dtype = dtype
        self.device = device
        row_bytes = (sum(network.sizes) + 2 * sum(network.sizes[1:])) * np.dtype(dtype).itemsize
        rows = BLOCK_BYTES[device] // row_bytes
        self._by_threads = device == "cpu" and rows >= LEAST_ROWS
        self.block_rows = rows if self._by_threads else max(2 * LEAST_ROWS, rows)

    def place(self, x: Array, y: Array, of: int | None = None) -> Batch:
        """Return a batch of host inputs ``[n, i]`` and targets ``[n, o]``, or a share of ``of`` rows."""
        n, features = x.shape
        if features >= WIDE_INPUTS:
            rows_major = aligned_empty((n, features + 1), x.dtype)

            def copy(rows: slice) -> None:
                copy_with_ones(x[rows], rows_major[rows])

            if rows_major.nbytes >= SHARED_BYTES:
                _block_threads(torch.get_num_threads()).copy(copy, n)
            else:
                copy(slice(n))
            return self.cut(torch.from_numpy(rows_major).to(self.device), self._feature_major(y), of)
        outputs, slices = y.shape[1], self._slices(n)
        rows = slices[0].stop
        # One piece of memory for all blocks: the system gives it in large pages, which a block alone is too small for.
        x_memory, y_memory = (aligned_empty((size * n,), x.dtype) for size in (features + 1, outputs))

        def copy_blocks(run: range) -> None:
            part = slice(slices[run.start].start, slices[run.stop - 1].stop)
            copy_run(x, x_memory, part, rows, ones=1)
            copy_run(y, y_memory, part, rows)

        if len(slices) == 1:
            copy_blocks(range(1))
        else:
            _block_threads(torch.get_num_threads()).map(copy_blocks, len(slices), PLACING_RUNS)
        last = n - slices[-1].start
        both = self._blocks(x_memory, features + 1, rows, last), self._blocks(y_memory, outputs, rows, last)
        return self._batch([_block(*tensors) for tensors in zip(*both, strict=True)], of)

    def cut(self, x: Tensor, y: Tensor, of: int | None = None) -> Batch:
        """Return a batch of inputs ``[n, i + 1]``, with ones, and targets ``[o, n]``, or a share of ``of`` rows."""
        wide = self.network.inputs >= WIDE_INPUTS
        blocks = []
        for rows in self._slices(len(x)):
            of_block = x[rows].T
            targets = y[:, rows].contiguous()
            blocks.append(_block(of_block if wide else of_block.contiguous(), targets))
        return self._batch(blocks, of, (x, y) if wide else None)

    def map(self, work: Callable[[range], T], batch: Batch) -> list[T]:
        """Call ``work`` on runs of blocks; return its results in order.

        There is a run for each thread, of which torch then uses one, or one run for all.
        """
        blocks = len(batch.blocks)
        if blocks == 1 or not self._by_threads or (threads := torch.get_num_threads()) == 1:
            return [work(range(blocks))]

        def on_one_thread(run: range) -> T:
            torch.set_num_threads(1)
            return work(run)

        try:
            return _block_threads(threads).map(on_one_thread, blocks, threads)
        finally:
            torch.set_num_threads(threads)

    def _slices(self, n: int) -> list[slice]:
        """Return the rows of each block."""
        rows = self.block_rows
        if self._by_threads and n > rows:
            half = rows // 2
            rows = even_rows(n, half if half >= HALF_ROWS else rows, torch.get_num_threads())
        return [slice(k, min(k + rows, n)) for k in range(0, n, max(rows, 1))] or [slice(0, 0)]

    def _feature_major(self, rows_major: Array) -> Tensor:
        """Copy ``[n, f]`` to the device as ``[f, n]``."""
        placed = aligned_empty(rows_major.shape[::-1], np.dtype(self.dtype))
        copy_feature_major(rows_major, placed)
        return torch.from_numpy(placed).to(self.device)

    def _blocks(self, memory: Array, size: int, rows: int, last: int) -> list[Tensor]:
        """Return the blocks ``[size, rows]``, the last of ``last`` rows, of memory that holds one after the other."""
        return blocks_of(torch.from_numpy(memory).to(self.device), size, rows, last)

    def _batch(self, blocks: list[Block], of: int | None, whole: tuple[Tensor, Tensor] | None = None) -> Batch:
        n = sum(block.x.shape[1] for block in blocks)
        of = n if of is None else of
        kind = {"dtype": getattr(torch, self.dtype), "device": self.device}
        return Batch(blocks, n, of, terms_of(self.network.loss_terms(of), kind), whole)


def whole(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return inputs ``[n, i + 1]`` and targets ``[o, n]`` of all rows."""
    if batch.whole:
        return batch.whole
    return torch.cat([block.x for block in batch.blocks], 1).T, torch.cat([block.y for block in batch.blocks], 1)


def memory(batch: Batch) -> list[Array]:
    """Return the arrays that hold a batch on the CPU."""
    inputs = [batch.whole[0]] if batch.whole else [block.x for block in batch.blocks]
    return [tensor.numpy() for tensor in (*inputs, *(block.y for block in batch.blocks))]


def _block(x: Tensor, y: Tensor) -> Block:
    return Block(x, x.T, y)
