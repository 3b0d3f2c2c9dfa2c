"""The activations and losses a network can have: one entry each, with its mathematics in plain numpy.

A backend computes the same in its own way, and its `Capabilities` say which of them it has. To add one, write its entry
here: `Network` then accepts the name, and each backend that gets a kernel for it adds it to its capabilities.

Tests: `tests/backends/test_activations_and_losses.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Activation:
    """``h = output(z)`` of a hidden layer, and its derivative by ``z`` from what is stored: ``slope(h)``.

    Both take and return arrays of any shape and real dtype.
    """

    output: Callable[[Array], Array]
    slope: Callable[[Array], Array]


def _sigmoid(z: Array) -> Array:
    """Return ``1 / (1 + exp(-z))``; no exponential here is of a positive number, so none overflows."""
    return np.asarray(np.exp(np.minimum(z, 0)) / (1 + np.exp(-abs(z))))


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(output=np.tanh, slope=lambda h: 1 - h * h),
    "relu": Activation(output=lambda z: np.maximum(z, 0), slope=lambda h: (h > 0).astype(h.dtype)),
    "sigmoid": Activation(output=_sigmoid, slope=lambda h: h * (1 - h)),
    "identity": Activation(output=np.copy, slope=np.ones_like),
}


@dataclass(frozen=True)
class Loss:
    """A loss that is a sum over all rows, divided by ``N``.

    Attributes:
        mean_over: what ``N`` counts: ``"entries"``, ``n * outputs``, or ``"rows"``, ``n``.
        total: the sum, from predicted and targets, ``[n, outputs]`` both.
        slope: its derivative by predicted, ``[n, outputs]``.
        targets: what targets are: ``"values"``, any real numbers, or ``"probabilities"`` of classes, one a column.
    """

    mean_over: Literal["entries", "rows"]
    total: Callable[[Array, Array], Any]
    slope: Callable[[Array, Array], Array]
    targets: Literal["values", "probabilities"] = "values"


def _softmax(predicted: Array) -> tuple[Array, Array]:
    """Return the logarithm of the softmax of each row, and the softmax; the row's maximum keeps it from overflow."""
    shifted = predicted - predicted.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1, keepdims=True)
    return shifted - np.log(total), exponentials / total


LOSSES: dict[str, Loss] = {
    "mse": Loss("entries", lambda p, y: ((p - y) ** 2).sum(), lambda p, y: 2 * (p - y)),
    "cross-entropy": Loss(
        "rows", lambda p, y: -(y * _softmax(p)[0]).sum(), lambda p, y: _softmax(p)[1] - y, targets="probabilities"
    ),
}
