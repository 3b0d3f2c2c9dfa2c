"""Batches of `numpy_backend`: in blocks of rows, feature-major, each with a row of ones for the biases.

Tests: `tests/backends/test_contract.py`, `tests/backends/test_minibatches.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from backends.base import Array, Network
from backends.layout import blocks_of, copy_feature_major, copy_run, copy_with_ones, empty
from backends.numpy_kernels import Terms, terms_of
from backends.numpy_products import Products, products
from backends.threads import PLACING_RUNS, SHARED_BYTES, BlockThreads, even_rows

WIDE_INPUTS = 32
"""From this many inputs on a batch stays row-major: placing, splitting and reordering it are then copies of whole rows.
Products of fewer features are faster from feature-major blocks.
"""


class Block(NamedTuple):
    """One block.

    Attributes:
        x: inputs ``[i + 1, rows]``, the last row ones.
        y: targets ``[o, rows]``.
        products: how its products are computed.
        operand: ``x`` as an operand of them.
        transposed: the same, transposed.
    """

    x: Array
    y: Array
    products: Products
    operand: Any
    transposed: Any


class Batch(NamedTuple):
    """Blocks of ``n`` rows in all, a share of ``of``, and the terms of their loss.

    ``whole`` is inputs and targets of all rows if the blocks are views of it; its inputs are row-major memory,
    transposed.
    """

    blocks: list[Block]
    n: int
    of: int
    terms: Terms
    whole: tuple[Array, Array] | None = None


class Batches:
    """Places batches of one network, and takes rows out of them.

    Args:
        network: whose batches they are.
        dtype: of the arrays, a name.
        block_rows: most rows of a block.
        threads: what places large batches, and has its share of their blocks later; asked for when it is needed.
    """

    def __init__(self, network: Network, dtype: str, block_rows: int, threads: Callable[[], BlockThreads]) -> None:
        self.network = network
        self.dtype = dtype
        self.block_rows = block_rows
        self._threads = threads

    def place(self, x: Array, y: Array, of: int | None = None) -> Batch:
        """Return a batch of host inputs ``[n, i]`` and targets ``[n, o]``, or a share of ``of`` rows."""
        (n, features), dtype = x.shape, np.dtype(self.dtype)
        if features >= WIDE_INPUTS:
            rows_major, feature_major = (empty(shape, dtype) for shape in ((n, features + 1), (y.shape[1], n)))

            def copy(rows: slice) -> None:
                copy_with_ones(x[rows], rows_major[rows])
                copy_feature_major(y[rows], feature_major[:, rows])

            if rows_major.nbytes >= SHARED_BYTES:
                self._threads().copy(copy, n)
            else:
                copy(slice(n))
            return self.cut(rows_major.T, feature_major, of)
        # One piece of memory for all blocks: the system gives it in large pages, which a block alone is too small for.
        x_memory, y_memory = (empty((size * n,), dtype) for size in (features + 1, y.shape[1]))
        slices = self._slices(n)
        rows, last = slices[0].stop, n - slices[-1].start

        def copy_blocks(run: range) -> None:
            part = slice(slices[run.start].start, slices[run.stop - 1].stop)
            copy_run(x, x_memory, part, rows, ones=1)
            copy_run(y, y_memory, part, rows)

        if len(slices) == 1:
            copy_blocks(range(1))
        else:
            self._threads().map(copy_blocks, len(slices), PLACING_RUNS)
        both = blocks_of(x_memory, features + 1, rows, last), blocks_of(y_memory, y.shape[1], rows, last)
        return self._batch([self._block(*arrays) for arrays in zip(*both, strict=True)], n, of)

    def cut(self, x: Array, y: Array, of: int | None = None) -> Batch:
        """Return a batch of inputs ``[i + 1, n]``, with ones, and targets ``[o, n]``, or a share of ``of`` rows."""
        slices = self._slices(x.shape[1])
        if self.network.inputs >= WIDE_INPUTS:
            return self._batch([self._block(x[:, rows], y[:, rows]) for rows in slices], x.shape[1], of, (x, y))
        copy = np.ascontiguousarray
        return self._batch([self._block(copy(x[:, rows]), copy(y[:, rows])) for rows in slices], x.shape[1], of)

    def reordered(self, batch: Batch, rows: Array) -> Batch:
        """Return a batch of the same rows in the order of ``rows``."""
        x, y = whole(batch)
        if batch.whole:
            return self.cut(x.T.take(rows, axis=0).T, y.take(rows, axis=1), batch.of)
        return self.cut(x.take(rows, axis=1), y.take(rows, axis=1), batch.of)

    def _slices(self, n: int) -> list[slice]:
        """Return the rows of each block."""
        rows = max(n, 1) if n <= self.block_rows else even_rows(n, self.block_rows, self._threads().threads)
        return [slice(k, min(k + rows, n)) for k in range(0, n, rows)] or [slice(0, 0)]

    def _block(self, x: Array, y: Array) -> Block:
        by = products(self.network, x.shape[1])
        operand: Any = by.operand(x)
        return Block(x, y, by, operand, by.transposed(operand))

    def _batch(self, blocks: list[Block], n: int, of: int | None, whole: tuple[Array, Array] | None = None) -> Batch:
        of = n if of is None else of
        return Batch(blocks, n, of, terms_of(self.network.loss_terms(of), self.dtype), whole)


def whole(batch: Batch) -> tuple[Array, Array]:
    """Return inputs ``[i + 1, n]`` and targets ``[o, n]`` of all rows."""
    if batch.whole:
        return batch.whole
    if len(batch.blocks) == 1:
        return batch.blocks[0].x, batch.blocks[0].y
    return np.concatenate([block.x for block in batch.blocks], 1), np.concatenate(
        [block.y for block in batch.blocks], 1
    )


def memory(batch: Batch) -> list[Array]:
    """Return the arrays that hold a batch."""
    if batch.whole:
        return [batch.whole[0].T, batch.whole[1]]
    return [array for block in batch.blocks for array in (block.x, block.y)]
