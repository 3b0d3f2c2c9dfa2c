"""From a request to what can be trained: the table is read and split, steps and backend are chosen.

`bench.training.request` has the request and the checks that need no rows.

Tests: `tests/bench/cli/test_train.py`, `tests/bench/cli/test_train_workloads.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from backends import Backend, Network, parse_optimizer
from bench.basics.errors import UsageError
from bench.basics.formats import counted, format_bytes
from bench.training.choosing import choose_backend, load_backend
from bench.training.classes import Classes
from bench.training.reading import TableFile, open_table, read_numbers
from bench.training.request import Request, check_numbers, input_columns, names_classes, network_for
from bench.training.split import Split, split
from bench.training.stream import Stream, open_stream
from bench.training.table_chunks import TableChunks, rows_of_whole_steps
from bench.training.training import (
    Course,
    Keep,
    Notice,
    Training,
    default_learning_rate,
    start_params,
    train,
    train_chunks,
    train_epochs,
)
from bench.training.watch import Watch
from bench.workload.memory import SPARE, check_memory, free_bytes, shortage

DEFAULT_STEPS, DEFAULT_EPOCHS = 3000, 20
"""Of a request that names none: full-batch steps, epochs of mini-batches."""


@dataclass(frozen=True)
class Prepared:
    """What will be trained.

    Attributes:
        parts: the table, split and standardised; of a stream, the rows that serve for scoring.
        stream: where the rows of mini-batches or chunks come from, ``None`` if all rows are in memory.
        rows: rows trained on.
        rows_dropped: rows left out for a missing value.
        classes: of the target, if it names classes.
        backend: made for the network.
        why: the reason for this backend.
        learning_rate: of the optimiser.
        suggested: whether the learning rate was chosen here.
        steps: in all.
        rows_per_step: of a mini-batch, ``None`` if each step takes all rows.
        patience: checks of the held-out loss without a better one, after which training stops, if it does.
    """

    parts: Split
    stream: Stream | None
    rows: int
    rows_dropped: int
    classes: Classes | None
    backend: Backend
    why: str
    learning_rate: float
    suggested: bool
    steps: int
    rows_per_step: int | None
    patience: int | None

    @property
    def network(self) -> Network:
        """Layer sizes, activation and loss."""
        return self.backend.network

    def train(self, seed: int, notice: Notice, keep: Keep | None = None) -> Training:
        """Train from the parameters of a seed, with a word to ``notice`` now and then; ``keep`` as `train` has it.

        Raises:
            TrainingDiverged: a loss or a parameter is not finite.
        """
        parts, start = self.parts, start_params(self.network, seed)
        watch = Watch(parts.held_x, parts.held_y, self.patience) if self.patience else None
        course = Course(self.learning_rate, self.steps, notice, watch, keep)
        if self.stream and self.rows_per_step:
            return train_epochs(self.backend, start, self.stream, course, self.rows_per_step)
        if self.stream:
            return train_chunks(self.backend, start, self.stream, course)
        return train(self.backend, start, parts.x, parts.y, course)


class _Rows(NamedTuple):
    """The rows that a request trains on.

    Attributes:
        parts, stream, rows, rows_dropped, classes: as in `Prepared`.
        together: rows in memory at a time.
        epoch_steps: steps of a pass over them.
    """

    parts: Split
    stream: Stream | None
    rows: int
    rows_dropped: int
    classes: Classes | None
    together: int
    epoch_steps: int


def prepare(request: Request) -> Prepared:
    """Check the request, read its table and make the choices it leaves open.

    Raises:
        UsageError: something asked for cannot be; the message says what and how to mend it.
        BackendUnavailable: the backend or device is not on this machine.
    """
    check_numbers(request)
    try:
        optimizer = parse_optimizer(request.optimizer)
    except ValueError as error:
        raise UsageError(f"--optimizer: {error}") from error
    file = open_table(request.data, request.form)
    targets = tuple(dict.fromkeys(request.targets))
    inputs = input_columns(request, file, targets)
    classes = Classes(targets[0], []) if names_classes(request, file, targets) else None
    network = network_for(request, inputs, targets, *(("cross-entropy", None) if classes else ("mse", len(targets))))
    few = request.rows_per_step is not None
    _check_memory(network, request.rows_per_step or 1, request.steps or 1, request)
    if request.backend:  # before a long read
        load_backend(request.backend, network, request.dtype, request.device, optimizer, few)
    read = _streamed if request.rows_per_step or request.chunks else _in_memory
    table = read(request, file, inputs, targets, classes)
    default = DEFAULT_EPOCHS * table.epoch_steps if few else DEFAULT_STEPS
    steps = request.steps or (request.epochs * table.epoch_steps if request.epochs else default)
    if table.classes:
        network = network_for(request, inputs, targets, "cross-entropy", len(table.classes.names))
    _check_memory(network, request.rows_per_step or table.together, steps, request)
    if request.backend:
        backend = load_backend(request.backend, network, request.dtype, request.device, optimizer, few)
        why = "as asked for"
    else:
        backend, why = choose_backend(
            network, table.rows, steps, request.dtype, request.device, optimizer, request.rows_per_step
        )
    return Prepared(
        parts=table.parts,
        stream=table.stream,
        rows=table.rows,
        rows_dropped=table.rows_dropped,
        classes=table.classes,
        backend=backend,
        why=why,
        learning_rate=request.learning_rate or default_learning_rate(network, optimizer, few),
        suggested=request.learning_rate is None,
        steps=steps,
        rows_per_step=request.rows_per_step,
        patience=request.patience,
    )


def _streamed(
    request: Request, file: TableFile, inputs: Sequence[str], targets: Sequence[str], classes: Classes | None
) -> _Rows:
    """Read a table once, chunk by chunk, to learn what training on it as a stream needs."""
    columns = (*inputs, *targets)
    chunk_rows = rows_of_whole_steps(len(columns), request.rows_per_step or 1)
    table = TableChunks(file, columns, tuple(targets), request.drop_missing, request.holdout, request.seed, chunk_rows)
    stream = open_stream(table, np.dtype(request.dtype).itemsize, classes)
    if request.rows_per_step:
        _check_rows_per_step(request.rows_per_step, stream)
    parts = Split(stream.inputs, stream.targets, stream.sample_x, stream.sample_y, stream.held_x, stream.held_y)
    epoch_steps = stream.steps(request.rows_per_step) if request.rows_per_step else 1
    return _Rows(parts, stream, stream.rows, stream.rows_dropped, stream.classes, max(stream.sizes), epoch_steps)


def _in_memory(
    request: Request, file: TableFile, inputs: Sequence[str], targets: Sequence[str], classes: Classes | None
) -> _Rows:
    """Read a table whole, shuffle it and hold rows out."""
    table = read_numbers(file, [*inputs, *targets], targets, "drop" if request.drop_missing else "refuse", classes)
    if classes:
        classes, places = classes.in_order()
        table.values[:, -1] = places[table.values[:, -1].astype(np.intp)]
    parts = split(table, len(targets), request.holdout, request.seed, classes)
    return _Rows(parts, None, len(parts.x), table.rows_dropped, classes, len(parts.x), epoch_steps=1)


def _check_rows_per_step(rows_per_step: int, stream: Stream) -> None:
    if rows_per_step > stream.rows:
        raise UsageError(
            f"--rows-per-step {rows_per_step} is more than the {counted(stream.rows, 'row')} trained on; "
            "take fewer, or leave it out to take all rows at each step"
        )


def _check_memory(network: Network, rows: int, steps: int, request: Request) -> None:
    """Refuse what would not fit into memory: the network with its batch, and a loss for each step."""
    try:
        check_memory(network, rows, request.dtype, request.device)
    except UsageError as error:
        one_row_is_too_much = shortage(network, 1, request.dtype, request.device, 1, free_bytes(request.device))
        if request.chunks or request.rows_per_step or one_row_is_too_much:
            raise
        raise UsageError(f"{error}; or read all rows from disk at each step: --chunks") from None
    losses, free = steps * np.dtype(request.dtype).itemsize, SPARE * free_bytes()
    if losses > free:
        raise UsageError(
            f"--steps {steps} keeps {format_bytes(losses)} of losses, and {format_bytes(free)} are free; "
            f"take {int(free) // np.dtype(request.dtype).itemsize} or fewer"
        )
