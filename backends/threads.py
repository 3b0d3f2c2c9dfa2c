"""Run blocks of a batch on a pool of Python threads, for frameworks whose calls release the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, TypeVar

from backends.layout import rows_each

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

NEAR_BYTES, FAR_BYTES = 1 << 20, 1 << 21
"""A block's scratch stays in a thread's own cache of 1 MiB if that leaves it `MINIMUM_ROWS`. Networks too wide for that
gain more from long products, and their blocks of 2 MiB stay in the last cache.
"""
MINIMUM_ROWS = 2048
"""Fewer rows in a block, and wide layers' products leave the BLAS slower than the work between them gains."""
RUNS = 16
"""Runs of blocks whose gradients are added up together; fixed, so that sums do not depend on the number of threads."""


def rows_of_a_block(scratch_bytes: int) -> int:
    """Return how many rows make a block if each needs this many bytes of scratch."""
    near = NEAR_BYTES // scratch_bytes // 16 * 16
    return near if near >= MINIMUM_ROWS else max(MINIMUM_ROWS, FAR_BYTES // scratch_bytes // 16 * 16)


def even_rows(n: int, most: int, threads: int) -> int:
    """Return the rows of each block of ``n`` rows: about ``most`` at most, as many blocks for each thread, and no block
    much shorter than the others.
    """
    if n <= most:
        return n
    blocks = max(2, -(-n // (most + most // 16)))  # a little longer costs less than one more
    blocks += -blocks % threads
    rows = rows_each(n, blocks)
    return rows if rows % 512 else rows + 16  # rows a power of two apart share cache sets


class BlockThreads:
    """A pool that starts its threads when it first has more than one block to work on.

    Args:
        threads: number of threads; 1 runs everything in the calling thread.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[range], T], blocks: int) -> list[T]:
        """Call ``work`` on runs of consecutive blocks that cover ``range(blocks)``; return its results in order.

        Each runs in a copy of the caller's context, so that what `numpy.errstate` says holds there too.
        """
        runs = min(RUNS, blocks)
        ranges = [range(k * blocks // runs, (k + 1) * blocks // runs) for k in range(runs)]
        if runs == 1 or self.threads == 1:
            return [work(run) for run in ranges]
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self.threads, "blocks")
        contexts = [copy_context() for _ in ranges]
        return list(self._pool.map(Context.run, contexts, [work] * len(ranges), ranges))
