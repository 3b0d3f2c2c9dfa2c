"""How exact each framework's functions are: the worst relative error of tanh, sigmoid and softmax, in units of ``2 u``.

    python -m backends.conformance.accuracy [BACKEND ...]

The bounds allow `bounds.TANH_ULP` units for tanh, for the sigmoid, for each exponential of the softmax and for its
logarithm. The table has what a backend reaches on points that are exact in the dtype. Where a sigmoid is below twice
the smallest normal number, the bounds let it be zero, and the table leaves it out. The softmax is of outputs at most
one apart: differences of outputs are rounded too, and have a bound of their own.

Tests: `tests/backends/conformance/test_workload_claims.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

import numpy as np

from backends.base import DTYPES, Array, Backend, Layer, Network
from backends.registry import available, load

POINTS = 200_000
FAR = {"float32": 86.5, "float64": 707.5}
"""Beyond it a sigmoid is below twice the smallest normal number."""


def points(dtype: str) -> Array:
    """Return numbers of either sign, near zero, evenly spread, and far out."""
    rng = np.random.default_rng(0)
    near = rng.standard_normal(POINTS) * np.exp2(rng.uniform(-20, 0, POINTS))
    return np.concatenate([near, rng.uniform(-20, 20, POINTS), rng.uniform(-FAR[dtype], FAR[dtype], POINTS)]).astype(
        dtype
    )


def units(got: Array, exact: Array) -> float:
    """Return the worst relative error, in units of twice the unit round-off."""
    there = exact != 0
    return float((np.abs(got - exact)[there] / np.abs(exact[there])).max() / np.finfo(got.dtype).eps)


def of_activation(name: str, function: Callable[[Array], Array]) -> Callable[[str, str], float]:
    """Return how to measure an activation: of one hidden unit whose pre-activation is the input."""

    def measured(backend: str, dtype: str) -> float:
        network = Network((1, 1, 1), name)
        one = Layer(np.ones((1, 1)), np.zeros(1))
        instance, z = load(backend, network, dtype), points(dtype)
        tape = _tape(instance, (one, one), z[:, None], z[:, None])
        return units(tape[0][:, 0], function(z.astype(np.longdouble)))

    return measured


def of_softmax(backend: str, dtype: str) -> float:
    """Return the error of the softmax of two classes: a batch of one row, its target the other class."""
    instance = load(backend, Network((1, 1, 2), "identity", "cross-entropy"), dtype)
    worst = 0.0
    for z in np.linspace(-1, 0, 60).astype(dtype):
        params = instance.place_params(
            (Layer(np.zeros((1, 1)), np.zeros(1)), Layer(np.zeros((2, 1)), np.array([z, 0])))
        )
        batch = instance.place_batch(np.ones((1, 1)), np.array([1]))
        _, gradients = instance.backward(params, batch, instance.forward(params, batch))
        got = instance.fetch(gradients)[1].biases[:1]
        exact = 1 / (1 + np.exp(-np.longdouble(z)))
        worst = max(worst, units(got, np.array([exact])))
    return worst


def _tape(backend: Backend, params: tuple[Layer, ...], x: Array, y: Array) -> tuple[Array, ...]:
    placed, batch = backend.place_params(params), backend.place_batch(x, y)
    return backend.outputs(backend.forward(placed, batch))


FUNCTIONS: dict[str, Callable[[str, str], float]] = {
    "tanh": of_activation("tanh", np.tanh),
    "sigmoid": of_activation("sigmoid", lambda z: 1 / (1 + np.exp(-z))),
    "softmax": of_softmax,
}


def table(names: Iterable[str]) -> str:
    """Return the table, in Markdown; a dash where a backend does not offer a function."""
    lines = [f"| backend | dtype | {' | '.join(FUNCTIONS)} |", f"| --- | --- |{' ---: |' * len(FUNCTIONS)}"]
    for name in names:
        for dtype in DTYPES:
            reached = []
            for measure in FUNCTIONS.values():
                try:
                    reached.append(f"{measure(name, dtype):.1f}")
                except ValueError:
                    reached.append("-")
            lines.append(f"| {name} | {dtype} | {' | '.join(reached)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(sys.argv[1:] or available()))
