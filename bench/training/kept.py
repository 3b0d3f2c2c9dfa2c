"""Rows of numbers kept in a temporary file, in order, so that a long table never lies in memory as a whole.

Tests: `tests/bench/training/test_kept.py`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator

import numpy as np

from bench.training.standardise import Floats


def in_chunks(blocks: Iterable[Floats], rows: int) -> Iterator[Floats]:
    """Yield the rows of some blocks again, ``rows`` at a time and the last of them fewer."""
    waiting: list[Floats] = []
    for block in blocks:
        waiting.append(block)
        while sum(map(len, waiting)) >= rows:
            joined = np.concatenate(waiting)
            yield joined[:rows]
            waiting = [joined[rows:]]
    if sum(map(len, waiting)):
        yield np.concatenate(waiting)


class KeptRows:
    """Rows ``[rows, columns]`` of float64 in a file that is gone when its ``with`` block ends.

    Args:
        columns: of each row.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.rows = 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `__exit__`

    def __enter__(self) -> KeptRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, block: Floats) -> None:
        """Keep some rows behind those that are there."""
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(block, np.float64).data)
        self.rows += len(block)

    def part(self, start: int, stop: int) -> Floats:
        """Return the rows from ``start`` to ``stop``, as many of them as there are."""
        count = max(0, min(stop, self.rows) - start)
        self._file.flush()
        self._file.seek(8 * self.columns * start)
        read = np.frombuffer(self._file.read(8 * self.columns * count), np.float64)
        return read.reshape(count, self.columns)

    def chunks(self, rows: int) -> Iterator[Floats]:
        """Yield all rows, some at a time."""
        for start in range(0, self.rows, rows):
            yield self.part(start, start + rows)
