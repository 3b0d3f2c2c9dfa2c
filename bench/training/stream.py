"""A table as a stream of chunks: read anew for each epoch of mini-batches, or kept if it fits into memory.

Rows stay in the chunk in which the file holds them. For each epoch the seed draws an order of the chunks and of the
rows in each, so that every backend sees the same rows in the same order, whether the table is kept or streamed.

Chunks are visited in a drawn order as far as the file can be read from their first row: in a Parquet file, from its
row groups; in a CSV file, from where a block of it was read before. Chunks of one long row group stay together, in its
order, since reading each alone would read the group again and again. A CSV file that is compressed, or in another
encoding than UTF-8, is one run of chunks.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from backends import Backend
from bench.basics.errors import UsageError
from bench.training.classes import Classes, one_hot
from bench.training.moments import Moments
from bench.training.read_ahead import read_ahead
from bench.training.reading import no_row_complete
from bench.training.split import class_targets
from bench.training.standardise import Floats, Standardisation
from bench.training.table_chunks import TableChunks
from bench.workload.memory import SPARE, process_free_bytes

HELD_SHARE = 4
"""A chunk's rows over this is the number of rows kept in memory for scoring, so that scoring reads no file."""

VISITS = 1 << 32
"""Part of the seed of the order of chunks, in the place that a chunk has in the seed of the order of its rows."""


@dataclass
class Stream:
    """A table to train on, chunk by chunk.

    Attributes:
        inputs, targets: the standardisations, fitted to the rows trained on.
        sample_x, sample_y: the first rows trained on, standardised, for scoring.
        held_x, held_y: the rows held out, standardised.
        sizes: rows trained on of each chunk.
        rows_dropped: rows left out for a missing value.
        classes: of the target, if it names classes.
        keep: whether placed chunks are kept for the next epoch.
        table: reads the chunks of the file.
    """

    inputs: Standardisation
    targets: Standardisation
    sample_x: Floats
    sample_y: Floats
    held_x: Floats
    held_y: Floats
    sizes: tuple[int, ...]
    rows_dropped: int
    classes: Classes | None
    keep: bool
    table: TableChunks = field(repr=False)
    _placed: dict[int, Any] = field(default_factory=dict, repr=False)

    @property
    def rows(self) -> int:
        """Rows trained on in an epoch."""
        return sum(self.sizes)

    def steps(self, rows_per_step: int) -> int:
        """Return the steps of an epoch."""
        return sum(-(-size // rows_per_step) for size in self.sizes)

    def batches(self, backend: Backend, epoch: int) -> Iterator[tuple[int, Any]]:
        """Yield the chunks of an epoch in a drawn order: the number of rows of each, and these, placed and shuffled."""
        runs = self.table.runs()
        drawn = np.random.default_rng([self.table.seed, epoch, VISITS]).permutation(len(runs))
        for number, batch in self._all(backend, [runs[k] for k in drawn]):
            order = np.random.default_rng([self.table.seed, epoch, number]).permutation(self.sizes[number])
            yield self.sizes[number], backend.reorder(batch, order)

    def chunks(self) -> Iterator[tuple[Floats, Floats]]:
        """Yield standardised inputs and targets of the rows trained on, chunk by chunk; the next is read meanwhile."""
        for number, chunk in enumerate(read_ahead(self.table.chunks(self.classes))):
            _, kept = self.table.parts(number, chunk)
            x, y = self.standardised(kept)
            del chunk, kept
            yield x, y
            del x, y

    def _all(self, backend: Backend, runs: Sequence[range]) -> Iterator[tuple[int, Any]]:
        """Yield number and placed rows of the chunks of some runs."""
        if len(self._placed) == len(self.sizes):
            yield from ((number, self._placed[number]) for run in runs for number in run)
            return
        self._placed.clear()
        chunks = itertools.chain.from_iterable(self.table.chunks(self.classes, run) for run in runs)
        for number, chunk in zip(itertools.chain.from_iterable(runs), read_ahead(chunks), strict=True):
            _, kept = self.table.parts(number, chunk)
            x, y = self.standardised(kept)
            batch = backend.place_batch(x, y)
            del chunk, kept, x, y
            if self.keep:
                self._placed[number] = batch
            yield number, batch

    def standardised(self, rows: Floats) -> tuple[Floats, Floats]:
        """Return inputs and targets of rows as the file holds them; their memory is used."""
        return _standardised(rows, self.inputs, self.targets, self.classes)


def open_stream(table: TableChunks, itemsize: int, classes: Classes | None = None) -> Stream:
    """Read a table once: check every value, find the standardisation, hold rows out.

    Args:
        table: how its file is cut into chunks.
        itemsize: bytes of a number as it is placed.
        classes: to be filled, if the target names classes.

    Raises:
        UsageError: as `read_numbers`; or too few rows, or a target that is constant.
    """
    seen = _first_pass(table, classes)
    of_inputs = len(table.columns) - len(table.targets)
    inputs = seen.moments.standardisation(table.columns, 0, of_inputs)
    targets = seen.moments.standardisation(table.columns, of_inputs)
    if classes:
        classes, places = classes.in_order()
        for part in (seen.held, seen.sample):
            part[:, -1] = places[part[:, -1].astype(np.intp)]
        targets = class_targets(classes)
    elif targets.constant:
        raise UsageError(f"target {targets.constant[0]!r} is constant in the rows trained on; choose another --target")
    rows = sum(seen.sizes)
    if len(inputs.constant) == of_inputs:
        raise UsageError(f"all {of_inputs} input columns are constant over {rows:,} rows; nothing can be learnt")
    placed_bytes = 2 * itemsize * rows * (of_inputs + len(targets.columns))
    sample_x, sample_y = _standardised(seen.sample, inputs, targets, classes)
    held_x, held_y = _standardised(seen.held, inputs, targets, classes)
    return Stream(
        inputs=inputs,
        targets=targets,
        sample_x=sample_x,
        sample_y=sample_y,
        held_x=held_x,
        held_y=held_y,
        sizes=seen.sizes,
        rows_dropped=table.rows_read - seen.rows,
        classes=classes,
        keep=placed_bytes < SPARE * process_free_bytes(),
        table=table,
    )


def _standardised(
    rows: Floats, inputs: Standardisation, targets: Standardisation, classes: Classes | None
) -> tuple[Floats, Floats]:
    """Return standardised inputs and targets of rows as the file holds them; their memory is used."""
    count = len(inputs.columns)
    x, y = rows[:, :count], rows[:, count:]
    x = inputs.apply(x, out=x)
    return x, one_hot(y[:, 0], len(classes.names)) if classes else targets.apply(y, out=y)


class _FirstPass(NamedTuple):
    """What the first pass over a table found.

    Attributes:
        moments: of the rows trained on.
        held: the rows held out.
        sample: the first rows trained on.
        sizes: rows trained on of each chunk.
        rows: complete rows of the table, held out or trained on.
    """

    moments: Moments
    held: Floats
    sample: Floats
    sizes: tuple[int, ...]
    rows: int


def _first_pass(table: TableChunks, classes: Classes | None) -> _FirstPass:
    """Read every chunk once. Rows are held out until there are enough of them, and `TableChunks` is told where."""
    width, scored = len(table.columns), int(table.chunk_rows / HELD_SHARE)
    moments, sample = Moments(width), np.empty((0, width))
    held: list[Floats] = []
    sizes: list[int] = []
    rows = 0
    for number, chunk in enumerate(read_ahead(table.chunks(classes))):
        rows += len(chunk)
        apart, kept = table.parts(number, chunk)
        held.append(apart)
        if table.last_held is None and sum(map(len, held)) >= scored:
            table.last_held = number
        if len(sample) < scored:
            sample = np.concatenate([sample, kept[: scored - len(sample)]])
        moments.add(kept)
        sizes.append(len(kept))
    if rows == 0:
        raise UsageError(f"{table.file.path}: {no_row_complete(table.file, table.columns, table.rows_read)}")
    if sum(sizes) < 2:
        raise UsageError(f"{rows} rows leave {sum(sizes)} to train on, and training needs 2 or more; give more rows")
    return _FirstPass(moments, np.concatenate(held), sample, tuple(sizes), rows)
