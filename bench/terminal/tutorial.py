"""The tutorial's walk as text: its numbers side by side, the erratum, and how the hidden function was recovered."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from bench.terminal.terminal import curve, format_count, format_number, table
from bench.training.tutorial import GOLDEN, INPUTS, RECOVERED_LOSS, TARGETS, UNSEEN, Recovery, Walk, hidden_function

# More digits than elsewhere: these numbers are there to be compared, with each other and with the tutorial's.
DIGITS = {"hidden": 7, "predicted": 7, "loss": 7, "gradients": 5, "updated": 7}
STAGES = {
    "hidden": (
        "1. Forward: the hidden layer",
        "Each hidden unit weighs the inputs, adds its bias and squashes the sum: h = tanh(x W^T + b). The sums are "
        "large here, so tanh is close to its limit 1.",
    ),
    "predicted": ("2. Forward: the prediction", "The output unit weighs the hidden units, and squashes nothing."),
    "loss": (
        "3. How wrong it is",
        "The mean of (predicted - y)^2 over the samples: the loss, which training makes small.",
    ),
    "gradients": (
        "4. Backward: the gradient",
        "How the loss changes with each parameter, by the chain rule, from the output back. 'hidden 1, a' is the "
        "weight of input a in hidden unit 1. Negative: a larger parameter lowers the loss. Hidden unit 1 barely "
        "counts, as its tanh is flat up there.",
    ),
    "updated": (
        "5. Update",
        "parameter - learning rate * gradient: one step downhill, here as long as the tutorial's own step.",
    ),
}


def side_by_side(group: str, walks: Mapping[str, Walk]) -> Table:
    """Return one group of numbers: golden values, then each backend's."""
    rows = [
        [
            label,
            *(
                _digits(value, DIGITS[group])
                for value in (golden, *(walk.values[group][label] for walk in walks.values()))
            ),
        ]
        for label, golden in GOLDEN[group].items()
    ]
    return table(["", ("golden", "right"), *((name, "right") for name in walks)], rows)


def verdicts(walks: Mapping[str, Walk]) -> Table:
    """Return how near each backend came to its proven bound."""
    rows = [(name, walk.ratio, walk.claim, "right" if walk.ratio <= 1 else "WRONG") for name, walk in walks.items()]
    return table(["backend", ("error / bound", "right"), "largest in", "verdict"], rows)


def samples() -> Table:
    """Return the three samples of the hidden function."""
    rows = [[f"{value:g}" for value in (*inputs, target[0])] for inputs, target in zip(INPUTS, TARGETS, strict=True)]
    return table([(name, "right") for name in ("a", "b", "c", "y = 2a - b + 5c")], rows)


def erratum(printed: Mapping[int, float], mended: Mapping[int, float]) -> Table:
    """Return the mean squared error after some iterations, with either sign."""
    rows = [(format_count(step), _digits(printed[step]), _digits(mended[step])) for step in printed]
    return table([("iterations", "right"), ("as printed", "right"), ("sign mended", "right")], rows)


def recovered(recovery: Recovery) -> Table:
    """Return what the trained network says of the samples, and of one that it never saw."""
    truth = hidden_function(UNSEEN)[0, 0]
    rows = [
        (_sample(inputs), f"{target[0]:g}", _digits(value), format_number(abs(float(value - target[0]))))
        for inputs, target, value in zip(INPUTS, TARGETS, recovery.predicted, strict=True)
    ]
    off_by = format_number(abs(recovery.unseen - truth))
    rows.append((f"{_sample(UNSEEN[0])} (unseen)", f"{truth:g}", _digits(recovery.unseen), off_by))
    return table(["a, b, c", ("hidden function", "right"), ("network", "right"), ("off by", "right")], rows)


def recovery_curve(recovery: Recovery) -> str:
    """Return the loss over the steps as a chart."""
    reached = ""
    if recovery.step is not None:
        reached = f", below {format_number(RECOVERED_LOSS)} after {format_count(recovery.step)} steps"
    return curve(recovery.losses, f"Loss while training{reached}", "mean squared error", height=10)


def _sample(inputs: object) -> str:
    return ", ".join(f"{value:g}" for value in inputs)  # type: ignore[attr-defined]


def _digits(value: float, digits: int = 6) -> str:
    """Return a fixed number of significant digits, as ``238.120`` or ``-5.70291e-5``."""
    if 1e-3 <= abs(value) < 1e6:
        return f"{value:#.{digits}g}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa}e{int(exponent)}"
