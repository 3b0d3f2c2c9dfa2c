"""Memory of large arrays, which is used again once they are gone: filling pages that the system has just given takes up
to twice as long.

Memory that waits to be used again is marked as free (``MADV_FREE``): the system takes it when it needs some.

Tests: `tests/backends/test_reused_memory.py`.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import weakref

import numpy as np

from backends.base import Array

POSSIBLE = hasattr(mmap, "MADV_FREE")
LEAST_BYTES = 1 << 22
"""Smaller arrays are left to malloc, which uses memory again by itself."""
MOST_PIECES = 4
"""Pieces that wait at most: inputs and targets of two batches, of which one is placed while the other is trained on."""
PAGE = 1 << 21
"""Bytes of a large page; pieces have whole ones."""

_waiting: list[mmap.mmap] = []
"""Last in, last out. Arrays may die in any thread and at any instruction: only single calls change this list."""


def empty_bytes(size: int) -> Array:
    """Return ``size`` bytes from the start of a page on, uninitialised; when all arrays of them are gone they wait."""
    length = -(-size // PAGE) * PAGE
    piece = _taken(length) or _mapped(length)
    owner = (ctypes.c_uint8 * length).from_buffer(piece)
    weakref.finalize(owner, _wait, piece).atexit = False
    return np.frombuffer(memoryview(owner), np.uint8, size)


def _taken(length: int) -> mmap.mmap | None:
    """Return the smallest piece that waits and is long enough, ``None`` if all others are over a quarter longer."""
    for piece in sorted(_waiting, key=len):
        if length <= len(piece) <= length + length // 4:
            with contextlib.suppress(ValueError):  # another thread was faster
                _waiting.remove(piece)
                return piece
    return None


def _mapped(length: int) -> mmap.mmap:
    """Return new memory, in large pages if the system has them."""
    piece = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without them
            piece.madvise(mmap.MADV_HUGEPAGE)
    return piece


def _wait(piece: mmap.mmap) -> None:
    """Let a piece wait; the one that has waited longest goes if there are too many."""
    with contextlib.suppress(OSError):
        piece.madvise(mmap.MADV_FREE)
        _waiting.append(piece)
    del _waiting[:-MOST_PIECES]
