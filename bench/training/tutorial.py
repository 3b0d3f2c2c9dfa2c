"""The tutorial's problem with its golden values, the same on a backend, and training until it is solved.

The network is 3-2-1; three samples of a hidden function; weights that the tutorial calls arbitrary.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

import backends
from backends import Backend, BackendUnavailable, Layer, Network, Params
from backends.base import Array

NETWORK = Network((3, 2, 1))
DTYPE = "float64"
INPUTS: Array = np.array([[4.0, 9.0, 1.0], [2.0, 5.0, 6.0], [1.0, 8.0, 3.0]])
UNSEEN: Array = np.array([[3.0, 3.0, 3.0]])
PARAMS: Params = (
    Layer(np.array([[0.5, 0.5, 0.5], [0.1, 0.1, 0.1]]), np.array([1.0, 1.0])),
    Layer(np.array([[1.0, 1.0]]), np.array([1.0])),
)

# The tutorial leaves the factor 2 / (n * outputs) out of its gradient; its step of 0.001 is this rate for the true one.
TUTORIAL_RATE = 0.001
TUTORIAL_STEP_RATE = TUTORIAL_RATE * len(INPUTS) / 2

# At 1e-3 the tutorial's problem hovers on the edge of stability; at half of it the loss falls smoothly.
TRAINING_RATE = 5e-4
TRAINING_STEPS = 20_000
RECOVERED_LOSS = 1e-6


def hidden_function(inputs: Array) -> Array:
    """Return ``2a - b + 5c`` for rows ``a, b, c``, as a column: what the network is to recover."""
    return np.asarray(inputs @ np.array([[2.0, -1.0, 5.0]]).T)


TARGETS: Array = hidden_function(INPUTS)

PARAMETERS = (
    *(f"hidden {unit}, {part}" for unit in (1, 2) for part in ("a", "b", "c", "bias")),
    *(f"output, {part}" for part in ("hidden 1", "hidden 2", "bias")),
)

# Calculated with 113 bits from the tutorial's float64 numbers, rounded to float64. The tutorial prints the first three
# groups; its output_weights_update, 33.06046194942191 and 32.379876941097336, is -3/2 times the gradient here.
GOLDEN: dict[str, dict[str, float]] = {
    "hidden": {
        "sample 1, unit 1": 0.9999997749296758,
        "sample 1, unit 2": 0.9836748576936802,
        "sample 2, unit 1": 0.9999993881955461,
        "sample 2, unit 2": 0.9800963962661914,
        "sample 3, unit 1": 0.9999983369439447,
        "sample 3, unit 2": 0.9757431300314515,
    },
    "predicted": {
        "sample 1": 2.983674632623356,
        "sample 2": 2.9800957844617377,
        "sample 3": 2.9757414669753963,
    },
    "loss": {"mean squared error": 238.12000783695962},
    "gradients": dict(
        zip(
            PARAMETERS,
            (
                *(-5.702910233880408e-05, -0.00021573801918512534, -0.00016773238542301818, -3.488867249820639e-05),
                *(-1.6475387804816846, -5.155525750620576, -4.701258364845517, -0.898065977245674),
                *(-22.040307966281272, -21.586584627398224, -22.04032541062634),
            ),
            strict=True,
        )
    ),
    "updated": dict(
        zip(
            PARAMETERS,
            (
                *(0.5000000855436535, 0.5000003236070287, 0.5000002515985781, 1.0000000523330088),
                *(0.10247130817072253, 0.10773328862593087, 0.10705188754726828, 1.0013470989658686),
                *(1.033060461949422, 1.0323798769410972, 1.0330604881159395),
            ),
            strict=True,
        )
    ),
}


@dataclass(frozen=True)
class Walk:
    """One iteration of the tutorial on one backend.

    Attributes:
        values: the same groups and labels as `GOLDEN`.
        ratio: the worst error, divided by its proven bound; at most 1 where the backend is right to rounding.
        claim: what that worst error was in.
    """

    values: dict[str, dict[str, float]]
    ratio: float
    claim: str


@dataclass(frozen=True)
class Recovery:
    """Training until the hidden function is recovered on the samples.

    Attributes:
        losses: before each step.
        step: the first step before which the loss is below `RECOVERED_LOSS`, ``None`` if it never is.
        predicted: for the three samples, after training.
        unseen: the prediction for `UNSEEN`, after training.
    """

    losses: Array
    step: int | None
    predicted: Array
    unseen: float


def load_all(device: str = "cpu") -> tuple[list[Backend], dict[str, str]]:
    """Return a backend of each name that works here, and why each of the others does not."""
    loaded, missing = [], {}
    for entry in backends.catalogue("best", "plugin"):
        try:
            loaded.append(backends.load(entry.name, NETWORK, DTYPE, device))
        except (BackendUnavailable, ValueError, TypeError) as error:
            missing[entry.name] = str(error)
    return loaded, missing


def walk(backend: Backend) -> Walk:
    """Run the tutorial's iteration, with the right sign and its own step, and judge it against the proven bounds."""
    from backends.conformance import check_cell

    params, batch = backend.place_params(PARAMS), backend.place_batch(INPUTS, TARGETS)
    tape = backend.forward(params, batch)
    outputs = [np.ravel(h) for h in backend.outputs(tape)]
    loss, gradients = backend.backward(params, batch, tape)
    host_gradients = backend.fetch(gradients)
    updated = backend.fetch(backend.update(params, gradients, TUTORIAL_STEP_RATE))
    numbers: tuple[Iterable[float], ...] = (
        *outputs,
        [float(loss)],
        _in_order(host_gradients),
        _in_order(updated),
    )
    values = {
        group: dict(zip(labels, map(float, got), strict=True))
        for (group, labels), got in zip(GOLDEN.items(), numbers, strict=True)
    }
    worst = check_cell(backend, PARAMS, INPUTS, TARGETS, TUTORIAL_STEP_RATE).worst
    return Walk(values, worst.ratio, worst.name)


def recover(backend: Backend) -> Recovery:
    """Train with `TRAINING_RATE` for `TRAINING_STEPS` steps from the tutorial's parameters.

    Raises:
        TrainingDiverged: the backend is wrong; a right one comes down smoothly.
    """
    placed = backend.place_params(PARAMS)
    placed, losses = backend.train(placed, backend.place_batch(INPUTS, TARGETS), TRAINING_RATE, TRAINING_STEPS)
    rows = np.concatenate([INPUTS, UNSEEN])
    predicted = backend.outputs(backend.forward(placed, backend.place_batch(rows, np.zeros((len(rows), 1)))))[
        -1
    ].ravel()
    below = losses < RECOVERED_LOSS
    step = int(below.argmax()) if below.any() else None
    return Recovery(losses, step, predicted[:-1], float(predicted[-1]))


def _in_order(params: Params) -> list[float]:
    """Return parameters or gradients in the order of `PARAMETERS`: unit by unit, weights then bias."""
    return [float(v) for layer in params for w, b in zip(*layer, strict=True) for v in (*w, b)]
