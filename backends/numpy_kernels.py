"""What `numpy_backend` computes in place: each activation, loss and optimiser in one table, line by line as in `base`.

Arrays are feature-major, ``[features, rows]``; ``scratch`` has the shape of the first argument.

Tests: `tests/backends/test_activations_and_losses.py`, `tests/backends/test_optimizers.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from backends.base import Adam, Array, Momentum
from backends.caches import l2_cache_bytes

ONE = {dtype: np.ones((), dtype) for dtype in map(np.dtype, ("float32", "float64"))}
"""One as an array: numpy takes twice as long for a small array and a number of Python's, which it has to convert."""
ZERO = {dtype: np.zeros((), dtype) for dtype in ONE}


class Terms(NamedTuple):
    """How many terms a loss has, as a number, and ``2 / terms``, an array of no dimension; both of the dtype."""

    number: Any
    slope: Array


def terms_of(number: int, dtype: str) -> Terms:
    """Return the terms of this number."""
    real = np.dtype(dtype).type
    return Terms(real(number), np.array(2 / real(number)))


def _tanh(z: Array, scratch: Array) -> None:
    np.tanh(z, z)


def _relu(z: Array, scratch: Array) -> None:
    np.maximum(z, ZERO[z.dtype], out=z)


def _sigmoid(z: Array, scratch: Array) -> None:
    np.abs(z, scratch)
    np.negative(scratch, scratch)
    np.exp(scratch, scratch)
    np.add(scratch, ONE[scratch.dtype], scratch)
    np.minimum(z, 0, out=z)
    np.exp(z, z)
    np.divide(z, scratch, z)


def _times_tanh_slope(g: Array, h: Array, out: Array) -> None:
    np.multiply(h, h, out)
    np.subtract(ONE[out.dtype], out, out)
    np.multiply(g, out, out)


def _times_relu_slope(g: Array, h: Array, out: Array) -> None:
    np.greater(h, ZERO[h.dtype], out=out, casting="unsafe")  # `sign` in place is no vector loop: 12 times as long
    np.multiply(g, out, out)


def _times_sigmoid_slope(g: Array, h: Array, out: Array) -> None:
    np.subtract(ONE[out.dtype], h, out)
    np.multiply(h, out, out)
    np.multiply(g, out, out)


def _times_one(g: Array, h: Array, out: Array) -> None:
    np.copyto(out, g)


class Activation(NamedTuple):
    """One activation.

    Attributes:
        activate: replaces ``z`` by ``h`` in place; the second argument is scratch.
        times_slope: writes ``g``, with as many features as ``h`` or one for all, times the slope at the outputs ``h``.
        in_place: whether `times_slope` may write to ``h``, and ``activate`` needs no scratch.
    """

    activate: Callable[[Array, Array], Any]
    times_slope: Callable[[Array, Array, Array], Any]
    in_place: bool = True


ACTIVATIONS = {
    "tanh": Activation(_tanh, _times_tanh_slope),
    "relu": Activation(_relu, _times_relu_slope),
    "sigmoid": Activation(_sigmoid, _times_sigmoid_slope, in_place=False),
    "identity": Activation(lambda z, scratch: None, _times_one),
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

``g`` may be the memory of predicted; ``flat`` is a view of it.
"""


def _descend(w: Array, g: Array, moments: list[Array], updates: int, rate: Any, rule: Any, scratch: Array) -> None:
    np.multiply(g, rate, scratch)
    np.subtract(w, scratch, w)


def _descend_with_momentum(
    w: Array, g: Array, moments: list[Array], updates: int, rate: Any, rule: Momentum, scratch: Array
) -> None:
    v = moments[0]
    np.multiply(v, w.dtype.type(rule.momentum), v)
    np.add(v, g, v)
    np.multiply(v, rate, scratch)
    np.subtract(w, scratch, w)


def _adam(w: Array, g: Array, moments: list[Array], updates: int, rate: Any, rule: Adam, scratch: Array) -> None:
    real = w.dtype.type
    m, v = moments
    m_correction, v_correction = rule.corrections(updates)
    rate = float(rate)
    np.multiply(m, real(rule.beta1), m)
    np.multiply(g, real(1 - rule.beta1), scratch)
    np.add(m, scratch, m)
    np.multiply(v, real(rule.beta2), v)
    np.multiply(g, g, scratch)
    np.multiply(scratch, real(1 - rule.beta2), scratch)
    np.add(v, scratch, v)
    np.divide(v, real(v_correction), scratch)
    np.sqrt(scratch, scratch)
    np.add(scratch, real(rule.epsilon), scratch)
    np.divide(m, scratch, scratch)
    np.multiply(scratch, real(rate / m_correction), scratch)
    if rule.weight_decay:
        np.multiply(w, real(1 - rate * rule.weight_decay), w)
    np.subtract(w, scratch, w)


OPTIMIZERS: dict[str, Callable[..., None]] = {
    "descent": _descend,
    "momentum": _descend_with_momentum,
    "adam": _adam,
}
"""Makes one update of parameters ``w``, a vector, and of its moments in place; ``updates`` counts this one, ``rate`` is
an array of no dimension.
"""


def pieces(numbers: int, bytes_each: int) -> list[slice]:
    """Return the pieces of vectors to update one after the other; together they take so many bytes for each number.

    An update passes over its vectors up to thirteen times. If the L2 cache does not hold them, it holds two pieces.
    """
    if numbers * bytes_each <= l2_cache_bytes():
        return [slice(numbers)]
    each = l2_cache_bytes() // 2 // bytes_each
    return [slice(k, k + each) for k in range(0, numbers, each)]
