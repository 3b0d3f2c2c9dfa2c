"""What `numpy_backend` computes in place: each activation, loss and optimiser in one table, line by line as in `base`.

Arrays are feature-major, ``[features, rows]``; ``room`` is scratch of the shape of the first argument.

Tests: `tests/backends/test_activations_and_losses.py`, `tests/backends/test_optimizers.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from backends.base import Adam, Array, Momentum

ONE = {dtype: np.ones((), dtype) for dtype in map(np.dtype, ("float32", "float64"))}
"""One as an array: numpy takes twice as long for a small array and a number of Python's, which it has to convert."""


class Terms(NamedTuple):
    """How many terms a loss has, as a number, and ``2 / terms``, an array of no dimension; both of the dtype."""

    number: Any
    slope: Array


def terms_of(number: int, dtype: str) -> Terms:
    """Return so many terms."""
    real = np.dtype(dtype).type
    return Terms(real(number), np.array(2 / real(number)))


def _tanh(z: Array, room: Array) -> None:
    np.tanh(z, z)


def _relu(z: Array, room: Array) -> None:
    np.maximum(z, 0, out=z)


def _sigmoid(z: Array, room: Array) -> None:
    np.abs(z, room)
    np.negative(room, room)
    np.exp(room, room)
    np.add(room, ONE[room.dtype], room)
    np.minimum(z, 0, out=z)
    np.exp(z, z)
    np.divide(z, room, z)


def _times_tanh_slope(g: Array, h: Array, room: Array) -> None:
    np.multiply(h, h, room)
    np.subtract(ONE[room.dtype], room, room)
    np.multiply(g, room, g)


def _times_relu_slope(g: Array, h: Array, room: Array) -> None:
    np.sign(h, room)
    np.multiply(g, room, g)


def _times_sigmoid_slope(g: Array, h: Array, room: Array) -> None:
    np.subtract(ONE[room.dtype], h, room)
    np.multiply(h, room, room)
    np.multiply(g, room, g)


Activate = Callable[[Array, Array], Any]
"""Turns ``z`` into ``h`` in place."""
TimesSlope = Callable[[Array, Array, Array], Any]
"""Multiplies ``g`` by the slope, from ``h``, in place."""

ACTIVATIONS: dict[str, tuple[Activate, TimesSlope]] = {
    "tanh": (_tanh, _times_tanh_slope),
    "relu": (_relu, _times_relu_slope),
    "sigmoid": (_sigmoid, _times_sigmoid_slope),
    "identity": (lambda z, room: None, lambda g, h, room: None),
}


def _squared_error(predicted: Array, y: Array, terms: Terms, g: Array, flat: Array) -> Any:
    np.subtract(predicted, y, g)
    total = flat.dot(flat)
    np.multiply(g, terms.slope, g)
    return total


def _cross_entropy(predicted: Array, y: Array, terms: Terms, g: Array, flat: Array) -> Any:
    np.subtract(predicted, predicted.max(axis=0), g)
    along = np.einsum("or,or->", y, g)
    np.exp(g, g)
    sums = g.sum(axis=0)
    np.divide(g, sums, g)
    np.subtract(g, y, g)
    np.divide(g, terms.number, g)
    return np.log(sums, sums).sum() - along


LOSSES: dict[str, Callable[[Array, Array, Terms, Array, Array], Any]] = {
    "mse": _squared_error,
    "cross-entropy": _cross_entropy,
}
"""Writes ``g``, the derivative by predicted of the loss of ``terms`` terms; returns the block's sum of terms.

``flat`` is a view of ``g``.
"""


def _descend(w: Array, g: Array, moments: list[Array], updates: list[int], rate: Any, rule: Any, room: Array) -> None:
    np.multiply(g, rate, room)
    np.subtract(w, room, w)


def _descend_with_momentum(
    w: Array, g: Array, moments: list[Array], updates: list[int], rate: Any, rule: Momentum, room: Array
) -> None:
    v = moments[0]
    np.multiply(v, w.dtype.type(rule.momentum), v)
    np.add(v, g, v)
    np.multiply(v, rate, room)
    np.subtract(w, room, w)


def _adam(w: Array, g: Array, moments: list[Array], updates: list[int], rate: Any, rule: Adam, room: Array) -> None:
    real = w.dtype.type
    m, v = moments
    updates[0] += 1
    m_correction, v_correction = rule.corrections(updates[0])
    rate = float(rate)
    np.multiply(m, real(rule.beta1), m)
    np.multiply(g, real(1 - rule.beta1), room)
    np.add(m, room, m)
    np.multiply(v, real(rule.beta2), v)
    np.multiply(g, g, room)
    np.multiply(room, real(1 - rule.beta2), room)
    np.add(v, room, v)
    np.divide(v, real(v_correction), room)
    np.sqrt(room, room)
    np.add(room, real(rule.epsilon), room)
    np.divide(m, room, room)
    np.multiply(room, real(rate / m_correction), room)
    if rule.weight_decay:
        np.multiply(w, real(1 - rate * rule.weight_decay), w)
    np.subtract(w, room, w)


OPTIMIZERS: dict[str, Callable[..., None]] = {
    "descent": _descend,
    "momentum": _descend_with_momentum,
    "adam": _adam,
}
"""Makes one update of all parameters ``w``, one vector, of its moments and of the number of updates, in place; ``rate``
is an array of no dimension.
"""
