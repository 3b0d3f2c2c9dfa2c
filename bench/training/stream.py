"""A table as a stream of chunks: read anew for each epoch of mini-batches, or kept if it fits into memory.

Rows stay in the chunk in which the file holds them. For each epoch the seed draws an order of the chunks and of the
rows in each, so that every backend sees the same rows in the same order, whether the table is kept or streamed.

Chunks are visited in a drawn order as far as the file can be read from their first row: in a Parquet file, from its
row groups; in a CSV file, from where a block of it was read before. Chunks of one long row group stay together, in its
order, since reading each alone would read the group again and again. A CSV file that is compressed, or in another
encoding than UTF-8, is one run of chunks.
"""

from __future__ import annotations

import bisect
import itertools
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends import Backend
from bench.basics.errors import UsageError
from bench.training.classes import Classes, one_hot
from bench.training.files import TableFile
from bench.training.reading import no_row_complete, number_blocks
from bench.training.split import class_targets
from bench.training.standardise import CONSTANT_ULPS, Floats, Standardisation
from bench.workload.memory import SPARE, chunk_rows, room_bytes

HELD_SHARE = 4
"""At most this part of a chunk is kept for scoring, so that scoring needs no second pass."""

HOLD = 1 << 32
"""Part of the seed of what is held out, in the place that the epoch has in the seed of an order."""

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
    _read: _Reading = field(repr=False)
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
        runs = self._read.runs()
        drawn = np.random.default_rng([self._read.seed, epoch, VISITS]).permutation(len(runs))
        for number, batch in self._all(backend, [runs[k] for k in drawn]):
            order = np.random.default_rng([self._read.seed, epoch, number]).permutation(self.sizes[number])
            yield self.sizes[number], backend.reorder(batch, order)

    def chunks(self) -> Iterator[tuple[Floats, Floats]]:
        """Yield standardised inputs and targets of the rows trained on, chunk by chunk; the next is read meanwhile."""
        for number, chunk in enumerate(read_ahead(self._read.chunks(self.classes))):
            _, kept = self._read.parts(number, chunk)
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
        chunks = itertools.chain.from_iterable(self._read.chunks(self.classes, run) for run in runs)
        for number, chunk in zip(itertools.chain.from_iterable(runs), read_ahead(chunks), strict=True):
            _, kept = self._read.parts(number, chunk)
            x, y = self.standardised(kept)
            batch = backend.place_batch(x, y)
            del chunk, kept, x, y
            if self.keep:
                self._placed[number] = batch
            yield number, batch

    def standardised(self, rows: Floats) -> tuple[Floats, Floats]:
        """Return inputs and targets of rows as the file holds them; their memory is used."""
        count = len(self.inputs.columns)
        x, y = rows[:, :count], rows[:, count:]
        x = self.inputs.apply(x, out=x)
        return x, one_hot(y[:, 0], len(self.classes.names)) if self.classes else self.targets.apply(y, out=y)


def open_stream(
    file: TableFile,
    inputs: Sequence[str],
    targets: Sequence[str],
    drop_missing: bool,
    holdout: float,
    seed: int,
    rows_per_step: int,
    itemsize: int,
    classes: Classes | None = None,
) -> Stream:
    """Read a table once: check every value, find the standardisation, hold rows out.

    Raises:
        UsageError: as `read_numbers`; or too few rows, or a target that is constant.
    """
    width = len(inputs) + len(targets)
    of_chunk = max(1, chunk_rows(width) // rows_per_step) * rows_per_step
    reading = _Reading(file, (*inputs, *targets), tuple(targets), drop_missing, holdout, seed, of_chunk)
    moments, scored = _Moments(width), int(of_chunk / HELD_SHARE)
    held: list[Floats] = []
    sample: Floats = np.empty((0, width))
    sizes: list[int] = []
    rows = 0
    for number, chunk in enumerate(read_ahead(reading.chunks(classes))):
        rows += len(chunk)
        apart, kept = reading.parts(number, chunk)
        held.append(apart)
        if reading.last_held is None and sum(map(len, held)) >= scored:
            reading.last_held = number
        if len(sample) < scored:
            sample = np.concatenate([sample, kept[: scored - len(sample)]])
        moments.add(kept)
        sizes.append(len(kept))
    if rows == 0:
        raise UsageError(f"{file.path}: {no_row_complete(file, reading.columns, reading.rows_read)}")
    if sum(sizes) < 2:
        raise UsageError(f"{rows} rows leave {sum(sizes)} to train on, and training needs 2 or more; give more rows")
    apart = np.concatenate(held)
    count = len(inputs)
    x_scale = moments.standardisation(reading.columns, 0, count)
    y_scale = moments.standardisation(reading.columns, count)
    if classes:
        classes, places = classes.in_order()
        for part in (apart, sample):
            part[:, -1] = places[part[:, -1].astype(np.intp)]
        y_scale = class_targets(classes)
    elif y_scale.constant:
        raise UsageError(f"target {y_scale.constant[0]!r} is constant in the rows trained on; choose another --target")
    if len(x_scale.constant) == count:
        raise UsageError(f"all {count} input columns are constant over {sum(sizes):,} rows; nothing can be learnt")
    need = 2 * itemsize * sum(sizes) * (count + (len(classes.names) if classes else len(targets)))
    nothing = np.empty((0, 0))
    stream = Stream(
        inputs=x_scale,
        targets=y_scale,
        sample_x=nothing,
        sample_y=nothing,
        held_x=nothing,
        held_y=nothing,
        sizes=tuple(sizes),
        rows_dropped=reading.rows_read - rows,
        classes=classes,
        keep=need < SPARE * memory_room(),
        _read=reading,
    )
    stream.sample_x, stream.sample_y = stream.standardised(sample)
    stream.held_x, stream.held_y = stream.standardised(apart)
    return stream


@dataclass
class _Reading:
    """How a table is cut into chunks, the same at each pass.

    Attributes:
        last_held: the last chunk of which rows are held out; those of later ones are trained on.
        rows_read: rows of the latest pass, with those left out.
        firsts: of each chunk the number of its first row in the file, known after a pass.
        lengths: likewise its rows.
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
        """Yield the complete rows of the table in chunks of ``chunk_rows``, the last one shorter; or those of a run."""
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
        """Return the runs of chunks of which each can be read by itself, with less than a chunk of rows before it."""
        starts = self.file.starts
        before = [first - starts[bisect.bisect_right(starts, first) - 1] for first in self.firsts]
        heads = [k for k, rows in enumerate(before) if k == 0 or (rows < self.chunk_rows and len(starts) > 1)]
        return [range(*pair) for pair in itertools.pairwise([*heads, len(self.firsts)])]

    def parts(self, number: int, chunk: Floats) -> tuple[Floats, Floats]:
        """Return copies of the rows of a chunk that are held out, and the others, moved together in its memory."""
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


class _Moments:
    """Mean and spread of columns, merged chunk by chunk; in extended precision, whose squares do not overflow."""

    def __init__(self, columns: int) -> None:
        self._count = 0
        self._mean: NDArray[Any] = np.zeros(columns, np.longdouble)
        self._squares: NDArray[Any] = np.zeros(columns, np.longdouble)
        self._low, self._high = np.full(columns, math.inf), np.full(columns, -math.inf)

    def add(self, rows: Floats) -> None:
        """Take rows into account."""
        for start in range(0, len(rows), 1024):
            block = rows[start : start + 1024].astype(np.longdouble)
            count, mean = len(block), block.mean(axis=0)
            apart, total = mean - self._mean, self._count + count
            self._squares += ((block - mean) ** 2).sum(axis=0) + apart**2 * (self._count * count / total)
            self._mean += apart * (count / total)
            self._count = total
        if len(rows):
            self._low, self._high = np.minimum(self._low, rows.min(axis=0)), np.maximum(self._high, rows.max(axis=0))

    def standardisation(self, columns: Sequence[str], start: int, end: int | None = None) -> Standardisation:
        """Return the standardisation of some columns."""
        part = slice(start, end)
        largest = np.maximum(abs(self._low), abs(self._high))
        constant = self._high - self._low <= CONSTANT_ULPS * np.finfo(np.float64).eps * largest
        scales = np.where(constant, 0.0, np.sqrt(self._squares / max(1, self._count)).astype(np.float64))
        means = np.where(constant, self._low, self._mean.astype(np.float64))
        return Standardisation(tuple(columns[part]), tuple(map(float, means[part])), tuple(map(float, scales[part])))


def read_ahead(chunks: Iterator[Floats]) -> Iterator[Floats]:
    """Yield what ``chunks`` yields; the next one is read in a thread while this one is worked on, and no more."""
    ready: Queue[Floats | BaseException | None] = Queue()
    wanted = threading.Semaphore(1)
    stopped = threading.Event()

    def read() -> None:
        try:
            wanted.acquire()
            for chunk in chunks:
                ready.put(chunk)
                del chunk
                wanted.acquire()
                if stopped.is_set():
                    return
            ready.put(None)
        except BaseException as error:  # raised where the chunks are awaited
            ready.put(error)

    reader = threading.Thread(target=read, daemon=True)
    try:
        reader.start()
    except RuntimeError:  # no more threads for this account
        yield from chunks
        return
    try:
        while True:
            chunk = ready.get()
            if chunk is None:
                return
            if isinstance(chunk, BaseException):
                raise chunk
            wanted.release()
            yield chunk
            del chunk
    finally:
        stopped.set()
        wanted.release()
        reader.join()


def memory_room() -> int:
    """Return the bytes free for this process: of the machine, its container, and its limit of address space."""
    room = room_bytes()
    try:
        import resource

        limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return room
    return min([room, *(max(0, limit - used) for limit in limits if limit != resource.RLIM_INFINITY)])
