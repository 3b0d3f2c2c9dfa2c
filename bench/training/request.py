"""What a person asks of ``train``, and what can be checked before the rows are read: numbers, columns, network.

Tests: `tests/bench/cli/test_train.py`, `tests/bench/cli/test_train_refusals.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from backends import Network
from bench.basics.errors import UsageError
from bench.basics.formats import counted
from bench.training.classes import is_text
from bench.training.form import Form
from bench.training.reading import TableFile, check_known

HIDDEN_UNITS = 32
"""Units of the hidden layer if no network is named."""


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
        activation: of the hidden layers, if not said with the network.
        loss: ``"mse"`` or ``"cross-entropy"``.
        optimizer: as text, such as ``"adam"``.
        rows_per_step: of a mini-batch; all rows at each step if not given.
        epochs: passes over the table.
        patience: checks without a better held-out loss, after which training stops.
        chunks: whether each step takes all rows chunk by chunk from disk, for a table larger than memory.
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
    activation: str | None = None
    loss: str | None = None
    optimizer: str = "descent"
    rows_per_step: int | None = None
    epochs: int | None = None
    patience: int | None = None
    chunks: bool = False


def check_numbers(request: Request) -> None:
    """Refuse numbers that are out of range, and flags that contradict each other.

    Raises:
        UsageError: names the flag, what was expected and what was given.
    """
    rate = request.learning_rate
    for flag, value, fits, expected in (
        ("--steps", request.steps, request.steps is None or request.steps >= 1, "1 or more"),
        ("--learning-rate", rate, rate is None or (rate > 0 and math.isfinite(rate)), "a number above 0, such as 0.05"),
        ("--holdout", request.holdout, 0 <= request.holdout < 1, "a fraction from 0 to below 1, such as 0.2"),
        ("--seed", request.seed, request.seed >= 0, "0 or more"),
        ("--rows-per-step", request.rows_per_step, (request.rows_per_step or 1) >= 1, "1 or more"),
        ("--epochs", request.epochs, (request.epochs or 1) >= 1, "1 or more"),
        ("--patience", request.patience, (request.patience or 1) >= 1, "1 or more"),
    ):
        if not fits or (value == 0 and flag in ("--rows-per-step", "--epochs", "--patience")):
            raise UsageError(f"{flag} must be {expected}, got {value}")
    if request.chunks and request.rows_per_step:
        raise UsageError("--chunks takes all rows at each step and --rows-per-step a few; give one of them")
    if request.steps and request.epochs:
        raise UsageError("--steps and --epochs both say how long to train; give one of them")
    if request.patience and not request.holdout:
        raise UsageError("--patience watches the rows held out, and --holdout 0 holds none out; hold some out")


def input_columns(request: Request, file: TableFile, targets: Sequence[str]) -> list[str]:
    """Return the columns that are neither targets nor ignored.

    Raises:
        UsageError: an unknown column, one that is both target and ignored, or no column left.
    """
    check_known(targets, file.names, "--target", file.path, file.units)
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


def names_classes(request: Request, file: TableFile, targets: Sequence[str]) -> bool:
    """Return whether the target holds classes: the loss is cross-entropy, or no loss was named and the target is text.

    Raises:
        UsageError: cross-entropy for several targets.
    """
    if request.loss == "cross-entropy" and len(targets) > 1:
        raise UsageError(f"--loss cross-entropy learns the classes of one --target, got {len(targets)}: {targets}")
    return request.loss == "cross-entropy" or (request.loss is None and len(targets) == 1 and is_text(file, targets[0]))


def network_for(
    request: Request, inputs: Sequence[str], targets: Sequence[str], loss: str, outputs: int | None
) -> Network:
    """Return the network asked for, or by default one of one hidden layer, after checking that it fits the columns.

    Args:
        request: what was asked for.
        inputs: names of the input columns.
        targets: names of the target columns.
        loss: of the network.
        outputs: how many there must be: one a target, or one a class; ``None`` while the classes are not known.

    Raises:
        UsageError: the text is no network, or its sizes do not fit the table.
    """
    try:
        asked = Network.parse(request.network) if request.network else None
        activation = request.activation or (asked.activation if asked else "tanh")
        network = Network(asked.sizes if asked else (len(inputs), HIDDEN_UNITS, outputs or 2), activation, loss)
    except ValueError as error:
        raise UsageError(f"{'--network' if request.network else '--activation'}: {error}") from error
    fitting = "-".join(map(str, (len(inputs), *network.sizes[1:-1], outputs or network.outputs)))
    remedy = f"write --network {fitting}, or choose columns with --target and --ignore"
    if loss == "cross-entropy" and outputs not in (None, network.outputs):
        raise UsageError(
            f"--network {network} has {counted(network.outputs, 'output')}, but column {targets[0]!r} has {outputs} "
            f"classes; {remedy}"
        )
    for size, columns, what in ((network.inputs, inputs, "input"), (network.outputs, targets, "target")):
        if size != len(columns) and not (what == "target" and loss == "cross-entropy"):
            listed = ", ".join(columns[:8]) + (", ..." if len(columns) > 8 else "")
            raise UsageError(
                f"--network {network} has {counted(size, what)}, but the table has "
                f"{counted(len(columns), f'{what} column')} ({listed}); {remedy}"
            )
    return network
