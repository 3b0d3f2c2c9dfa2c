"""Run blocks of a batch on a pool of Python threads, for frameworks whose calls release the interpreter lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from backends.caches import BLOCK_BYTES
from backends.layout import rows_each
from backends.tuned import tuned

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

P = TypeVar("P")
T = TypeVar("T")

NEAR_BYTES = tuned("numpy-near-bytes", BLOCK_BYTES.near)
"""A block's scratch takes about this many bytes, of which a thread's own cache holds half."""
LONG_ROWS = tuned("numpy-long-rows", 1 << 16)
"""Most rows of a block."""
MINIMUM_ROWS = 2048
"""Least rows of a block: fewer, and wide layers' products leave the BLAS slower than the work between them gains."""
SHARED_BYTES = 1 << 20
"""From this many bytes on a copy is shared among threads: it takes some 100 us, of which they cost 20."""
RUNS = 16
"""Runs of blocks whose gradients are added up together; fixed, so that sums do not depend on the number of threads."""
PLACING_RUNS = 4
"""Runs of blocks that are placed by one call each: a thread that is late leaves more of them to the others."""


def rows_of_a_block(scratch_bytes: int) -> int:
    """Return how many rows make a block if each needs this many bytes of scratch."""
    return max(MINIMUM_ROWS, min(LONG_ROWS, NEAR_BYTES // scratch_bytes // 16 * 16))


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


class KeptThreads:
    """Threads that start when there is first something for them to do, and are kept for the next.

    A process that is forked has none of its parent's threads, and would wait for them for ever: it starts its own.

    Args:
        count: threads.
        name: their names begin with it.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count, self._name = count, name
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    def pool(self) -> ThreadPoolExecutor:
        """Return the pool of this process."""
        if self._pool is None or self._process != os.getpid():
            from concurrent.futures import ThreadPoolExecutor

            self._pool, self._process = ThreadPoolExecutor(self._count, self._name), os.getpid()
        return self._pool

    def drop(self) -> None:
        """Cancel what has not begun, and let the threads end."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


class BlockThreads:
    """The calling thread and a pool of others, which start when there is first something for them to do.

    Args:
        threads: number of threads; 1 runs everything in the calling thread.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._kept = KeptThreads(threads - 1, "blocks")

    def map(self, work: Callable[[range], T], blocks: int, runs: int = RUNS) -> list[T]:
        """Call ``work`` on runs of consecutive blocks that cover ``range(blocks)``; return its results in order."""
        runs = min(runs, blocks)
        return self._shared(work, [range(k * blocks // runs, (k + 1) * blocks // runs) for k in range(runs)])

    def copy(self, work: Callable[[slice], object], n: int) -> None:
        """Call ``work``, which copies rows, on slices that cover ``n`` rows, one for each thread."""
        rows = rows_each(n, self.threads)
        self._shared(work, [slice(k, min(k + rows, n)) for k in range(0, n, rows)])

    def _shared(self, work: Callable[[P], T], parts: Sequence[P]) -> list[T]:
        """Call ``work`` on each part; return its results in order.

        A thread takes the next part when it is done with its last. Each works in a copy of the caller's context, so
        that what `numpy.errstate` says holds there too.
        """
        if len(parts) == 1 or self.threads == 1:
            return [work(part) for part in parts]
        pool = self._kept.pool()
        numbers, results = iter(range(len(parts))), dict[int, T]()

        def take() -> None:
            while (k := next(numbers, None)) is not None:
                results[k] = work(parts[k])

        others = [pool.submit(copy_context().run, take) for _ in range(min(self.threads, len(parts)) - 1)]
        try:
            take()
        finally:
            for other in others:
                other.result()
        return [results[k] for k in range(len(parts))]
