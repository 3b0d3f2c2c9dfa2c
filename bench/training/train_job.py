"""From what a person asks to what can be trained: columns picked, rows read and split, network and backend chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from backends import Backend, Network
from bench.errors import UsageError
from bench.formats import counted, format_bytes
from bench.memory import SPARE, check_room, room_bytes
from bench.training.form import Form
from bench.training.reading import TableFile, check_known, open_table, read_numbers
from bench.training.split import Split, split
from bench.training.training import DEFAULT_STEPS, HIDDEN_UNITS, choose_backend, default_learning_rate, load_backend


@dataclass(frozen=True)
class Request:
    """What was asked for; ``None`` leaves the choice to `prepare`.

    Attributes:
        data: path of the table.
        targets: columns to predict.
        ignore: columns to leave out.
        drop_missing: whether rows with missing values are left out rather than refused.
        holdout: fraction of rows kept for scoring.
        network: layer sizes as text.
        steps: of gradient descent.
        learning_rate: of gradient descent.
        seed: of the split and of the first parameters.
        backend: by name.
        dtype: of the computation.
        device: of the computation.
        form: how the table is written.
    """

    data: str
    targets: tuple[str, ...]
    ignore: tuple[str, ...] = ()
    drop_missing: bool = False
    holdout: float = 0.2
    network: str | None = None
    steps: int | None = None
    learning_rate: float | None = None
    seed: int = 0
    backend: str | None = None
    dtype: str = "float32"
    device: str = "cpu"
    form: Form = field(default_factory=Form)


@dataclass(frozen=True)
class Job:
    """What will be trained.

    Attributes:
        parts: the table, split and standardised.
        rows_dropped: rows left out for a missing value.
        backend: made for the network.
        why: the reason for this backend.
        learning_rate: of gradient descent.
        steps: of gradient descent.
    """

    parts: Split
    rows_dropped: int
    backend: Backend
    why: str
    learning_rate: float
    steps: int

    @property
    def network(self) -> Network:
        """Layer sizes."""
        return self.backend.network


def prepare(request: Request) -> Job:
    """Check the request, read its table and make the choices it leaves open.

    Raises:
        UsageError: something asked for cannot be; the message says what and how to mend it.
        BackendUnavailable: the backend or device is not on this machine.
    """
    _check_numbers(request)
    file = open_table(request.data, request.form)
    targets = tuple(dict.fromkeys(request.targets))
    inputs = _input_columns(request, file, targets)
    network = _network(request.network, inputs, targets)
    steps = request.steps or DEFAULT_STEPS
    _check_room(network, 1, steps, request)
    if request.backend:  # before a long read
        load_backend(request.backend, network, request.dtype, request.device)
    table = read_numbers(file, [*inputs, *targets], targets, "drop" if request.drop_missing else "refuse")
    parts = split(table, len(targets), request.holdout, request.seed)
    _check_room(network, len(parts.x), steps, request)
    if request.backend:
        backend, why = load_backend(request.backend, network, request.dtype, request.device), "as asked for"
    else:
        backend, why = choose_backend(network, len(parts.x), steps, request.dtype, request.device)
    rate = request.learning_rate or default_learning_rate(network)
    return Job(parts, table.rows_dropped, backend, why, rate, steps)


def _check_room(network: Network, rows: int, steps: int, request: Request) -> None:
    """Refuse what would not fit into memory: the network with its batch, and a loss for each step."""
    check_room(network, rows, request.dtype, request.device)
    losses, room = steps * np.dtype(request.dtype).itemsize, SPARE * room_bytes()
    if losses > room:
        raise UsageError(
            f"--steps {steps} keeps {format_bytes(losses)} of losses, and {format_bytes(room)} are free; "
            f"take {int(room) // np.dtype(request.dtype).itemsize} or fewer"
        )


def _check_numbers(request: Request) -> None:
    rate = request.learning_rate
    for flag, value, fits, expected in (
        ("--steps", request.steps, request.steps is None or request.steps >= 1, "1 or more"),
        ("--learning-rate", rate, rate is None or (rate > 0 and math.isfinite(rate)), "a number above 0, such as 0.05"),
        ("--holdout", request.holdout, 0 <= request.holdout < 1, "a fraction from 0 to below 1, such as 0.2"),
        ("--seed", request.seed, request.seed >= 0, "0 or more"),
    ):
        if not fits:
            raise UsageError(f"{flag} must be {expected}, got {value}")


def _input_columns(request: Request, file: TableFile, targets: Sequence[str]) -> list[str]:
    """Return every column that is neither target nor ignored."""
    check_known(targets, file.names, "--target", file.path)
    check_known(request.ignore, file.names, "--ignore", file.path)
    if both := [name for name in targets if name in request.ignore]:
        raise UsageError(f"column {both[0]!r} is both --target and --ignore; take it out of one of them")
    inputs = [name for name in file.names if name not in targets and name not in request.ignore]
    if not inputs:
        raise UsageError(
            f"no input column is left of {len(file.names)} in {file.path}: {len(targets)} --target and "
            f"{len(set(request.ignore))} --ignore; name fewer of them"
        )
    return inputs


def _network(text: str | None, inputs: Sequence[str], targets: Sequence[str]) -> Network:
    """Return the network asked for, or one hidden layer, once it fits the columns."""
    if text is None:
        return Network((len(inputs), HIDDEN_UNITS, len(targets)))
    try:
        network = Network.parse(text)
    except ValueError as error:
        raise UsageError(f"--network: {error}") from error
    for size, columns, what in ((network.inputs, inputs, "input"), (network.outputs, targets, "target")):
        if size != len(columns):
            listed = ", ".join(columns[:8]) + (", ..." if len(columns) > 8 else "")
            fitting = "-".join(map(str, (len(inputs), *network.sizes[1:-1], len(targets))))
            raise UsageError(
                f"--network {network} has {counted(size, what)}, but the table has "
                f"{counted(len(columns), f'{what} column')} ({listed}); write --network {fitting}, "
                "or choose columns with --target and --ignore"
            )
    return network
