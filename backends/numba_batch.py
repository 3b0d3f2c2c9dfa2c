"""Batches of `numba_backend`: inputs and targets in one array, in blocks of rows, with the numbers that its loops need.

No kernels here. Large batches are copied by the kernels of `numba_place`.

Tests: `tests/backends/test_numba_blocks.py`, `tests/backends/test_minibatches.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numba
import numpy as np

from backends.base import Array, Network
from backends.layout import aligned_empty, copy_blocks
from backends.numba_blocking import FEW_ROWS, SHORT_ROWS, Blocking, team_of
from backends.threads import SHARED_BYTES, BlockThreads

SLACK = 64
"""Numbers that vectors may read beyond the last row of a batch or of weights."""
IN_PLACE = np.empty(0, np.int64)
"""The order of a batch that has not been reordered."""

Products = Literal["rows", "short", "tiles", "blas"]


class Told(NamedTuple):
    """What the training loop is told of a batch and parameters, to be told again: to gather it takes some 5 us.

    Attributes:
        train: the loop.
        numbers: what it is told (`numba_chunks.told_of`): addresses among them.
        params: the parameters; with those that are another object, or a backend that has another plan, it is not valid.
        plan: that of the backend.
    """

    train: Any
    numbers: Array
    params: Any
    plan: Array


@dataclass(slots=True)
class Batch:
    """A batch of ``n`` rows, or a share of one of ``of``.

    Attributes:
        xy: inputs and then targets: feature-major ``[blocks, i + o, pitch]``, or row-major ``[1, n, i + o]`` for
            networks whose products are the BLAS's.
        task: number of chunks, numbers from the first row of a step to that of the next, pitch, ``n``, rows of a step,
            ``of``.
        tiny: whether `numba_registers` trains on it in one pass.
        products: how products are computed: by ``tiles``; for few rows by ``short`` tiles; for fewer rows row by row,
            by ``rows``; or by the ``blas``.
        parallel: whether its chunks run on threads.
        scratch_key: number of chunks and pitch; batches with the same ones share scratch.
        team: how many threads share a single step as a team; 0 if no team does.
        team_again: the same if this batch took a step just before.
        order: if not empty, row ``k`` of the batch is row ``order[k]`` of ``xy``. A team reads rows in any order; for
            others they are copied first (`settled`).
        told: what the training loop was told of it and of the parameters that took the last step.
    """

    xy: Array
    n: int
    of: int
    task: Array
    tiny: bool
    products: Products
    parallel: bool
    scratch_key: tuple[int, int]
    team: int
    team_again: int
    order: Array
    told: Told | None = field(default=None, init=False)


class Batches:
    """Places batches of one network, and takes rows out of them.

    Args:
        network: whose batches they are.
        dtype: of the arrays, a name.
        blocking: how batches are cut.
        in_registers: whether `numba_registers` trains on a block that is a whole batch.
        one_thread: whether the backend was asked for one thread.
    """

    def __init__(self, network: Network, dtype: str, blocking: Blocking, in_registers: bool, one_thread: bool) -> None:
        self.network = network
        self.rows_major = blocking.family in ("wide", "huge")
        self._dtype = np.dtype(dtype)
        self._blocking = blocking
        self._in_registers = in_registers
        self._one_thread = one_thread
        self._placing: BlockThreads | None = None

    def place(self, x: Array, y: Array, of: int | None = None) -> Batch:
        """Return a batch of host inputs ``[n, i]`` and targets ``[n, o]``, or a share; a step takes all of its rows."""
        n, inputs = x.shape
        pitch = self._blocking.cut(max(n, 1))
        blocks = -(-n // pitch)
        features = inputs + self.network.outputs
        xy = memory((1, n, features) if self.rows_major else (blocks, features, pitch), self._dtype)
        large = xy.nbytes >= SHARED_BYTES
        copy_inputs = _compiled_copy() if large and not self.rows_major and inputs > 1 else copy_blocks

        def copy(part: slice) -> None:
            """Copy these rows, or these blocks."""
            if self.rows_major:
                np.concatenate((x[part], y[part]), axis=1, out=xy[0, part])
                return
            rows = slice(part.start * pitch, part.stop * pitch)
            copy_inputs(x[rows], xy[part, :inputs])
            copy_blocks(y[rows], xy[part, inputs:])

        parts = n if self.rows_major else blocks
        if large:
            self._threads().copy(copy, parts)
        else:
            copy(slice(0, parts))
        return self._batch(xy, n, n, pitch, n if of is None else of)

    def in_parts(self, batch: Batch, rows: int) -> Batch:
        """Return a batch of which each step takes the next ``rows`` rows; feature-major ones are in whole blocks."""
        pitch = self._blocking.cut(rows)
        if self.rows_major:
            cut = self._batch(batch.xy, batch.n, rows, pitch, batch.n)
            if cut.team:
                cut.order = batch.order
            else:
                cut.xy = settled(batch).xy
            return cut
        x, y = self.host(batch)
        inputs, blocks, parts = x.shape[1], -(-rows // pitch), -(-batch.n // rows)
        xy = memory((parts * blocks, inputs + y.shape[1], pitch), self._dtype)
        for part in range(parts):
            to, of_part = slice(part * blocks, (part + 1) * blocks), slice(part * rows, (part + 1) * rows)
            copy_blocks(x[of_part], xy[to, :inputs])
            copy_blocks(y[of_part], xy[to, inputs:])
        return self._batch(xy, batch.n, rows, pitch, batch.n)

    def reordered(self, batch: Batch, rows: Array) -> Batch:
        """Return a batch of the same rows in the order of ``rows``."""
        if self.rows_major:
            return replace(batch, order=batch.order[rows] if batch.order.size else rows)
        x, y = self.host(batch)
        return self.place(x[rows], y[rows], batch.of)

    def host(self, batch: Batch) -> tuple[Array, Array]:
        """Return views of inputs and targets of all rows, ``[n, i]`` and ``[n, o]``."""
        xy = settled(batch).xy
        features = xy if self.rows_major else xy.transpose(0, 2, 1)
        rows = features.reshape(-1, features.shape[2])[: batch.n]
        return rows[:, : self.network.inputs], rows[:, self.network.inputs :]

    def _batch(self, xy: Array, n: int, rows: int, pitch: int, of: int) -> Batch:
        """Return a batch of which a step takes ``rows``, in blocks of ``pitch``."""
        blocks = max(1, -(-rows // pitch))
        chunks = min(self._blocking.chunks, blocks)
        features = self.network.inputs + self.network.outputs
        stride = features * (rows if self.rows_major else blocks * pitch)
        task = np.array([chunks, stride, pitch, n, rows, of], np.int64)
        tiny = self._in_registers and blocks == 1 and rows == n == of
        parallel = chunks > 1 and self._thread_count() > 1
        teams = self.team(rows), self.team(rows, math.inf)
        return Batch(xy, n, of, task, tiny, self._products(rows), parallel, (chunks, pitch), *teams, IN_PLACE)

    def team(self, rows: int, steps: float = 1) -> int:
        """Return how many threads share steps of ``rows``, so many in a call, as a team; 0 if no team does."""
        return team_of(self.network, self._dtype, rows, self._thread_count(), steps) if self.rows_major else 0

    def _thread_count(self) -> int:
        return 1 if self._one_thread else numba.get_num_threads()

    def _products(self, rows: int) -> Products:
        """Return how products of this many rows are made."""
        if self.rows_major:
            return "blas"
        return "rows" if rows <= FEW_ROWS else "short" if rows <= SHORT_ROWS else "tiles"

    def _threads(self) -> BlockThreads:
        """Return the threads that place a batch."""
        if self._placing is None:
            self._placing = BlockThreads(self._thread_count())
        return self._placing


def memory(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return memory with `SLACK` numbers behind it, since vectors may read beyond its end."""
    size = int(np.prod(shape))
    return aligned_empty((size + SLACK,), dtype)[:size].reshape(shape)


def settled(batch: Batch) -> Batch:
    """Return the batch after copying its rows into their order, if they are not in order."""
    if batch.order.size:
        xy = memory(batch.xy.shape, batch.xy.dtype)
        np.take(batch.xy, batch.order, 1, xy, mode="clip")  # every number is in range: clipping saves a copy
        batch.xy, batch.order = xy, IN_PLACE
    return batch


def _compiled_copy() -> Callable[[Array, Array], None]:
    """Return the compiled function that copies rows into blocks; compiling pays for large batches only."""
    from backends.numba_place import copy_blocks

    return copy_blocks
