"""Balls of what is done entry by entry: the activation and its slope, the loss and its error term.

Each activation is one entry of `ACTIVATIONS`, each loss one of `LOSSES`; everything else in the kit asks these tables.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from backends.base import Array
from backends.conformance.bounds import Ball, Precision, Sum, magnitude
from backends.conformance.oracle import error_term


@dataclass(frozen=True)
class Activation:
    """What the bounds know of an activation.

    Attributes:
        value: the ball of ``h`` from that of ``z``.
        slope: the ball of the derivative from that of ``h``, and the exact ``z`` if the oracle knows it.
        largest: the largest magnitude of any value; no derivative exceeds one.
    """

    value: Callable[[Ball, Precision], Ball]
    slope: Callable[[Ball, Precision, Array | None], Ball]
    largest: float


@dataclass(frozen=True)
class Loss:
    """What the bounds know of a loss.

    Attributes:
        share: some rows' share of the loss, from predictions, targets and the number of all entries.
        roundings: how many there are on top of the additions.
        error_term: the ball of the derivative by the predictions, from the same.
    """

    share: Callable[[Ball, Array, int, Precision], Sum]
    roundings: int
    error_term: Callable[[Ball, Array, int, Precision], Ball]


def ball_of_tanh(z: Ball, p: Precision) -> Ball:
    """Return ``h = tanh(z)``.

    ``|tanh z' - tanh z| <= sup|tanh'| dZ`` over ``[z - dZ, z + dZ]``, where tanh' is largest nearest to zero; then the
    relative error of tanh itself, on what it returns. The tanh of zero is zero.
    """
    radius = z.radius
    if not np.isfinite(z.magnitude).all():
        radius = np.where(np.isfinite(z.magnitude), radius, 0.0)
    nearest = np.clip(z.magnitude - radius, 0.0, 350.0)
    steepest = 1 / np.cosh(nearest) ** 2
    h = p.arithmetic.tanh(z.exact)
    floor = 2 * p.floor * (z.size != 0)
    return Ball(h, steepest * radius * (1 + p.tanh) + p.tanh * magnitude(h) + floor, z.reach)


def ball_of_tanh_slope(h: Ball, p: Precision, z: Array | None = None) -> Ball:
    """Return ``d = 1 - h^2``, tanh' from the stored output; as ``1 / cosh^2`` if the oracle knows ``z``.

    ``|h'^2 - h^2| <= (|h| + H+) dH``; squaring and subtracting, in either factoring, ``gamma_4 (1 + H+)^2``; and
    ``4 T u H+^2`` for a slope taken from another tanh than the one stored. At zero it is one, exactly.
    """
    exact = (1 - h.exact) * (1 + h.exact) if z is None else p.arithmetic.slope(z)
    radius = p.gamma(4) * (1 + h.size) ** 2 + 2 * p.tanh * h.size**2 + 2 * p.floor
    if isinstance(h.radius, np.ndarray):
        radius += (h.magnitude + h.size) * h.radius
    return Ball(exact, np.asarray(radius * (h.size != 0)), h.reach)


def share_of_mean_square(predicted: Ball, y: Array, entries: int, p: Precision) -> Sum:
    """Return these rows' share of ``sum (predicted - y)^2 / N``, every term being positive.

    On top of the additions: a subtraction (twice, being squared), a square, a division. The sum may be divided last.
    """
    difference = Ball(predicted.exact - y, predicted.radius)
    size = difference.size
    squares = float(np.vdot(size, size))
    moved = 0.0
    if isinstance(predicted.radius, np.ndarray):
        moved = float(np.vdot(difference.magnitude + size, predicted.radius)) / entries
    lost = p.floor * (size.size + 4 + 2 * size.sum() / entries)
    exact = np.asarray((difference.exact**2).sum() / entries)
    terms = float(np.count_nonzero(size))
    reach = max(squares if math.isfinite(squares) else 0.0, predicted.reach, predicted.reach * predicted.reach)
    return Sum(exact, np.asarray(squares / entries), moved, terms, lost, reach)


def ball_of_mean_square_error_term(predicted: Ball, y: Array, entries: int, p: Precision) -> Ball:
    """Return ``g = 2 (predicted - y) / N``: a subtraction, the factor ``2 / N`` (two if ``N`` rounds), a product.

    The factor may come last, so that on the way ``g`` is as large as the difference.
    """
    roundings = 3 if entries * p.unit * 2 <= 1 else 4
    g = error_term(predicted.exact, y, entries)
    moved = predicted.radius * (2 / entries)
    size = magnitude(g) + moved
    ball = Ball(g, np.asarray(p.gamma(roundings) * size + moved + 4 * p.floor * (size != 0)))
    return replace(ball, reach=max(predicted.reach, ball.largest * max(1.0, entries / 2)))


def ball_of_relu(z: Ball, p: Precision) -> Ball:
    """Return ``max(z, 0)``: exact, as near to the right one as ``z`` is, and zero where all of ``z`` is below."""
    exact = np.maximum(z.exact, p.arithmetic.array(0.0))
    radius = np.clip(np.minimum(z.radius, z.exact.astype(np.float64) + z.radius), 0.0, None)
    return Ball(exact, np.where(np.isnan(radius), z.radius, radius), z.reach)


def ball_of_relu_slope(h: Ball, p: Precision, z: Array | None = None) -> Ball:
    """Return 1 where ``h > 0``, else 0; either where ``z`` may lie on the other side of zero."""
    at = h.exact if z is None else z
    open_sides = (h.radius > 0) & ((at <= 0) | (at <= h.radius)) if isinstance(h.radius, np.ndarray) else False
    exact = p.arithmetic.array((at > 0).astype(np.float64) + 0 * h.magnitude)
    return Ball(exact, np.broadcast_to(np.where(open_sides, 1.0, 0.0), exact.shape), h.reach)


def ball_of_sigmoid(z: Ball, p: Precision) -> Ball:
    """Return ``1 / (1 + exp(-z))``: its slope is largest nearest to zero; then comes its own relative error.

    Below twice the smallest normal number it may be zero: there, or soon after, libraries let ``exp(-z)`` overflow.
    """
    exp, unity = p.arithmetic.exp, p.arithmetic.array(1.0)
    small = exp(-np.abs(z.exact))
    h = np.where(z.exact < 0, small, unity) / (unity + small)
    nearest = np.exp(-np.clip(z.magnitude - z.radius, 0.0, 700.0))
    steepest = nearest / (1 + nearest) ** 2
    return Ball(h, steepest * z.radius * (1 + p.tanh) + p.tanh * magnitude(h) + p.vanishing + 2 * p.floor, z.reach)


def ball_of_sigmoid_slope(h: Ball, p: Precision, z: Array | None = None) -> Ball:
    """Return ``h (1 - h)``: ``|h' (1 - h') - h (1 - h)| <= dH (1 + 2 H+)``; ``gamma_3``; another sigmoid's error."""
    radius = p.gamma(3) * h.size * (1 + h.size) + 2 * p.tanh * h.size + 2 * p.floor
    return Ball(h.exact * (1 - h.exact), np.asarray(radius + h.radius * (1 + 2 * h.size)), h.reach)


def ball_of_identity(z: Ball, p: Precision) -> Ball:
    """Return ``z``."""
    return z


def ball_of_identity_slope(h: Ball, p: Precision, z: Array | None = None) -> Ball:
    """Return ones."""
    return Ball(p.arithmetic.array(np.ones(h.exact.shape)), 0.0, h.reach)


@dataclass(frozen=True)
class Softmax:
    """The softmax of each row, its logarithm, and what may be wrong of them.

    Attributes:
        values: ``s = exp(P - max) / sum``.
        log: its logarithm.
        relative: error of ``s`` divided by ``s``: of the exponential ``T``, of the sum of ``o`` of them their mean and
            ``gamma_o``, of the quotient; ``u`` of each difference below an exponential; and ``exp(2 dP) - 1`` of the
            predictions. ``s`` is ``exp(P - max) / sum``, ``exp(P - max - log sum)`` or ``exp(P - (max + log sum))``.
        absolute: error of the logarithm: the same of the sum, and ``u`` of each difference and of what goes into it.
    """

    values: Array
    log: Array
    relative: Array
    absolute: Array


def softmax(predicted: Ball, p: Precision) -> Softmax:
    """Return the softmax of predictions."""
    below = predicted.exact - predicted.exact.max(axis=1, keepdims=True)
    exponentials = p.arithmetic.exp(below)
    total = exponentials.sum(axis=1, keepdims=True)
    log = below - p.arithmetic.log(total)
    moved = np.broadcast_to(predicted.radius, below.shape).max(axis=1, keepdims=True)
    logarithm = p.tanh * (1 + magnitude(p.arithmetic.log(total)))
    largest = predicted.size.max(axis=1, keepdims=True)
    single = magnitude(below) * p.whole_unit + p.tanh
    whole = (magnitude(exponentials) * single).sum(axis=1, keepdims=True) / magnitude(total) + p.gamma(below.shape[1])
    differences = (largest + magnitude(log) + magnitude(below)) * p.whole_unit
    relative = np.expm1(2 * moved) + np.expm1(p.tanh + differences + whole + logarithm + p.gamma(3))
    absolute = 2 * moved + whole + logarithm + p.gamma(2) * (2 * predicted.size + 2 * magnitude(log) + 1)
    return Softmax(exponentials / total, log, relative, absolute)


def share_of_cross_entropy(predicted: Ball, y: Array, entries: int, p: Precision) -> Sum:
    """Return these rows' share of ``-sum(y log s) / N``, every term being positive; ``sum y`` is about one."""
    s = softmax(predicted, p)
    weights = magnitude(y)
    off = np.abs(magnitude(y.sum(axis=1)) - 1) * predicted.size.max(axis=1)
    moved = (float((weights * s.absolute).sum()) + 2 * float(off.sum())) / entries
    exact = np.asarray(-(y * s.log).sum() / entries)
    size = np.asarray(float((weights * magnitude(s.log)).sum()) / entries)
    return Sum(exact, size, moved, float(np.count_nonzero(weights)), p.floor * weights.size, predicted.largest)


def ball_of_cross_entropy_error_term(predicted: Ball, y: Array, entries: int, p: Precision) -> Ball:
    """Return ``g = (s - y) / N``: the error of ``s``, a subtraction, a division (a product with ``1 / N``)."""
    s = softmax(predicted, p)
    g = (s.values - y) / entries
    moved = s.relative * magnitude(s.values) / entries
    return Ball(g, np.asarray(p.gamma(3) * (magnitude(g) + moved) + moved + p.vanishing + 4 * p.floor), predicted.reach)


ACTIVATIONS = {
    "tanh": Activation(ball_of_tanh, ball_of_tanh_slope, 1.0),
    "relu": Activation(ball_of_relu, ball_of_relu_slope, math.inf),
    "sigmoid": Activation(ball_of_sigmoid, ball_of_sigmoid_slope, 1.0),
    "identity": Activation(ball_of_identity, ball_of_identity_slope, math.inf),
}
LOSSES = {
    "mse": Loss(share_of_mean_square, 5, ball_of_mean_square_error_term),
    "cross-entropy": Loss(share_of_cross_entropy, 3, ball_of_cross_entropy_error_term),
}
