"""A table in chunks of rows: how a file is cut, and which rows of a chunk are held out.

Tests: `tests/bench/training/test_stream.py`.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.training.classes import Classes
from bench.training.files import TableFile
from bench.training.reading import number_blocks
from bench.training.standardise import Floats
from bench.workload.memory import chunk_rows

HOLD = 1 << 32
"""Part of the seed of what is held out, in the place that the epoch has in the seed of an order."""


def rows_of_whole_steps(columns: int, rows_per_step: int) -> int:
    """Return the rows of a chunk: about as many as are read at once, and a multiple of the rows of a step."""
    return max(1, chunk_rows(columns) // rows_per_step) * rows_per_step


@dataclass
class TableChunks:
    """Cuts a table into chunks, the same ones at each pass over its file.

    Attributes:
        file: the table.
        columns: to be read, inputs first.
        targets: those of them that are targets.
        drop_missing: whether rows with a missing value are left out.
        holdout: the share of rows that is held out.
        seed: draws the rows that are held out.
        chunk_rows: rows of a chunk.
        last_held: the last chunk from which rows are held out; all rows of later ones are trained on.
        rows_read: rows read in the latest pass, including those left out for a missing value.
        firsts: by chunk, the number of its first row in the file; known after a pass.
        lengths: by chunk, its number of rows; known after a pass.
    """

    file: TableFile
    columns: tuple[str, ...]
    targets: tuple[str, ...]
    drop_missing: bool
    holdout: float
    seed: int
    chunk_rows: int
    last_held: int | None = None
    rows_read: int = 0
    firsts: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()

    def chunks(self, classes: Classes | None, run: range | None = None) -> Iterator[Floats]:
        """Yield the rows in chunks of ``chunk_rows``, the last one shorter; or only the chunks of a ``run``."""
        row = self.firsts[run.start] if run else 0
        firsts: list[int] = []
        lengths: list[int] = []
        chunk, filled = np.empty((self.chunk_rows, len(self.columns))), 0
        for read in number_blocks(self.file, self.columns, self.targets, self.drop_missing, classes, row):
            complete = ~np.isnan(read).any(axis=1) if self.drop_missing else np.ones(len(read), bool)
            block, numbers = read[complete] if self.drop_missing else read, row + np.flatnonzero(complete)
            row += len(read)
            while len(block):
                full = self.lengths[run[len(lengths)]] if run else self.chunk_rows
                if not filled:
                    firsts.append(int(numbers[0]))
                taken = block[: full - filled]
                chunk[filled : filled + len(taken)] = taken
                filled, block, numbers = filled + len(taken), block[len(taken) :], numbers[len(taken) :]
                if filled == full:
                    yield chunk[:filled]
                    lengths.append(filled)
                    chunk, filled = np.empty((self.chunk_rows, len(self.columns))), 0
                    if run and len(lengths) == len(run):
                        return
        if filled:
            yield chunk[:filled]
            lengths.append(filled)
        self.rows_read, self.firsts, self.lengths = row, tuple(firsts), tuple(lengths)

    def runs(self) -> list[range]:
        """Return runs of chunks that can be read one by one, each after skipping less than a chunk of rows."""
        starts = self.file.starts
        before = [first - starts[bisect.bisect_right(starts, first) - 1] for first in self.firsts]
        heads = [k for k, rows in enumerate(before) if k == 0 or (rows < self.chunk_rows and len(starts) > 1)]
        return [range(*pair) for pair in itertools.pairwise([*heads, len(self.firsts)])]

    def parts(self, number: int, chunk: Floats) -> tuple[Floats, Floats]:
        """Split a chunk: return a copy of the rows held out, and the other rows, moved to the front of its memory."""
        if not self.holdout or (self.last_held is not None and number > self.last_held):
            return chunk[:0].copy(), chunk
        count = min(max(number == 0, round(len(chunk) * self.holdout)), len(chunk) - 1)
        held = np.random.default_rng([self.seed, HOLD, number]).permutation(len(chunk))[:count]
        apart = chunk[held]
        others = np.ones(len(chunk), bool)
        others[held] = False
        positions = np.flatnonzero(others)
        for start in range(0, len(positions), 1024):  # in pieces, so that no second chunk is needed
            piece = positions[start : start + 1024]
            chunk[start : start + len(piece)] = chunk[piece]
        return apart, chunk[: len(positions)]
