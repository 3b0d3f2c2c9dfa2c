"""Memory layouts that several backends use: aligned to cache lines, feature-major, in blocks of rows.

Tests: `tests/backends/test_layout.py`.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np

from backends import reused_memory
from backends.base import Array

Vector = TypeVar("Vector", bound=Any)

ALIGNMENT = 64
"""Bytes of a cache line; JAX on a CPU takes over a numpy array without a copy if it starts on one."""

_TILE_BYTES, _LEAST_TILE_ROWS = 1 << 20, 256
"""A plain transposed copy of a wide table touches each cache line again and again; a tile stays in cache."""


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return memory that starts on a cache line; a large array may get the memory of one that is gone."""
    size = math.prod(shape) * dtype.itemsize
    if size >= reused_memory.LEAST_BYTES and reused_memory.POSSIBLE:
        return reused_memory.empty_bytes(size).view(dtype).reshape(shape)
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return memory, on a cache line only if it is large: to find that line takes longer than to copy a few rows."""
    if math.prod(shape) * dtype.itemsize >= reused_memory.LEAST_BYTES:
        return aligned_empty(shape, dtype)
    return np.empty(shape, dtype)


def rows_each(n: int, blocks: int) -> int:
    """Return the rows of each of several blocks that hold ``n`` rows, a multiple of 16 so that vectors are full."""
    rows = -(-n // blocks)
    return rows + -rows % 16


def equal_blocks(n: int, rows: int) -> tuple[int, int]:
    """Return how many blocks to cut ``n`` rows into, and of how many rows: about ``rows``, or down to half of that if
    then nothing is left over, since a rest is compiled separately. Fewer than two blocks are not cut.
    """
    if n < 2 * rows:
        return 1, n
    fewest = -(-n // (rows + rows // 16))  # a little longer costs less than one more
    for blocks in range(fewest, 2 * fewest):
        if n % blocks == 0:
            return blocks, n // blocks
    return n // rows, rows


def copy_with_ones(table: Array, with_ones: Array) -> None:
    """Copy ``[n, f]`` into the first columns of ``[n, f + 1]``, and ones into the last while the rows are in cache."""
    tile = max(_LEAST_TILE_ROWS, _TILE_BYTES // (with_ones.shape[1] * with_ones.itemsize))
    for start in range(0, len(table), tile):
        rows = slice(start, start + tile)
        with_ones[rows, :-1] = table[rows]
        with_ones[rows, -1] = 1


def copy_feature_major(rows_major: Array, feature_major: Array) -> None:
    """Copy ``[n, f]`` into ``[f, n]``, by tiles of rows that stay in cache."""
    n, features = rows_major.shape
    tile = max(_LEAST_TILE_ROWS, _TILE_BYTES // (features * rows_major.itemsize))
    for start in range(0, n, tile):
        rows = slice(start, start + tile)
        feature_major[:, rows] = rows_major[rows].T


def copy_blocks(rows_major: Array, blocks: Array) -> None:
    """Copy ``[n, f]`` into ``[blocks, f, rows]``, with zeros for rows that the last block lacks."""
    n, features = rows_major.shape
    rows = blocks.shape[2]
    whole = n // rows
    blocks[:whole] = rows_major[: whole * rows].reshape(whole, rows, features).transpose(0, 2, 1)
    if n % rows:
        blocks[whole, :, : n % rows] = rows_major[whole * rows :].T
        blocks[whole, :, n % rows :] = 0


def copy_run(rows_major: Array, memory: Array, run: slice, rows: int, ones: int = 0) -> None:
    """Copy a run of the rows of ``[n, f]`` to its place in ``memory [n * (f + ones)]``, which holds all rows as blocks.

    A block is ``[f + ones, rows]``, its last rows ones, and the last of a run may be shorter. All blocks of a run are
    copied by one call if they are small: threads that copy meet at the interpreter lock once for each call.
    """
    features = rows_major.shape[1]
    whole = run.start + (run.stop - run.start) // max(rows, 1) * rows
    for start, stop, each in ((run.start, whole, rows), (whole, run.stop, run.stop - whole)):
        if start == stop:
            continue
        blocks = memory[start * (features + ones) : stop * (features + ones)].reshape(-1, features + ones, each)
        by_block = rows_major[start:stop].reshape(-1, each, features)
        if features == 1 or each * features * rows_major.itemsize <= _TILE_BYTES:
            blocks[:, :features] = by_block.transpose(0, 2, 1)
        else:
            for of_block, block in zip(by_block, blocks, strict=True):
                copy_feature_major(of_block, block[:features])
        blocks[:, features:] = 1


def blocks_of(memory: Vector, size: int, rows: int, last: int) -> list[Vector]:
    """Return the blocks ``[size, rows]`` that a vector, an array or a tensor, holds one after the other.

    The last one has ``last`` rows.
    """
    whole = len(memory) - size * last
    if not whole:
        return [memory.reshape(size, last)]
    return [*memory[:whole].reshape(-1, size, rows), memory[whole:].reshape(size, last)]
