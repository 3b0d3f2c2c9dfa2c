"""Balls of updates: new parameters and moments from gradients, by each optimiser of `backends.optimizers`.

Each optimiser is one entry of `OPTIMIZERS`. A backend may round its constants to the dtype first, and take ``1 - beta``
from the rounded ``beta``; it may write a mean as a step towards ``g``; it may divide by the corrections before or after
the root. All of these are right, so each radius covers the worst of them.

A correction ``c = 1 - beta^t`` may be a subtraction: ``beta`` rounded and raised to the power ``t`` by products, or by
a power right to a unit in the last place, is wrong by ``(2 t + 2) u beta^t``, which the subtraction leaves as it is.
So ``c`` has a relative error of `correction_error`, about ``4 u / c`` at first.

The direction of Adam is a quotient: ``n = m / c1`` over ``d = sqrt(v / c2) + epsilon``. With ``n`` wrong by ``dn`` and
``d`` by ``dd``, ``|n' / d' - n / d| <= (dn + |n / d| dd) / (d - dd)``, which is as wide as dividing intervals makes it.
If a gradient may be zero, so may ``d``, and nothing would be claimed. But ``m`` and ``v`` come from the same gradient:
with ``a = (1 - beta1) |g|`` and ``b = (1 - beta2) g^2``, ``a / sqrt(b)`` does not depend on ``g``. So no direction is
larger than `_largest_direction`, which is one at the first update, and the radius at most that and the direction.

Tests: `tests/backends/conformance/test_updates.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backends.base import Adam, Array, Descent, Momentum, Optimizer
from backends.conformance import bounds
from backends.conformance.bounds import Ball, BallLayer, Precision, Radius, magnitude

Moments = tuple[Ball, ...]
Advance = Callable[[Any, Ball, Ball, Moments, int, float, Precision], tuple[Ball, Moments]]
"""From an optimiser, parameters, gradients, moments, the number of this update and the rate: new parameters, moments"""

ADAM_ROUNDINGS = 8
"""Of the direction and its product with the rate: two corrections, a root, epsilon, its sum, a quotient, two products.
"""


@dataclass(frozen=True)
class BallState:
    """Parameters and the optimiser's state, as balls.

    Attributes:
        params: of each layer.
        moments: of each name in the optimiser's ``moments``, in order, in the form of the parameters.
        updates: how many updates there were, if the optimiser counts them.
    """

    params: list[BallLayer]
    moments: tuple[list[BallLayer], ...] = field(default=())
    updates: int = 0


def updated(optimizer: Optimizer, state: BallState, gradients: list[BallLayer], rate: float, p: Precision) -> BallState:
    """Return the state after one update; ``rate`` is rounded already."""
    advance, t = OPTIMIZERS[optimizer.name], state.updates + optimizer.counts_updates
    params: list[BallLayer] = []
    moments: tuple[list[BallLayer], ...] = tuple([] for _ in state.moments)
    with np.errstate(all="ignore"):
        for k, (layer, by) in enumerate(zip(state.params, gradients, strict=True)):
            new = [
                advance(optimizer, layer[part], by[part], tuple(m[k][part] for m in state.moments), t, rate, p)
                for part in (0, 1)
            ]
            params.append((new[0][0], new[1][0]))
            for moment, weights, biases in zip(moments, new[0][1], new[1][1], strict=True):
                moment.append((weights, biases))
    return BallState(params, moments, t)


def _descent(
    rule: Descent, w: Ball, g: Ball, moments: Moments, t: int, rate: float, p: Precision
) -> tuple[Ball, Moments]:
    return bounds.ball_of_update(w, g, rate, p), ()


def _momentum(
    rule: Momentum, w: Ball, g: Ball, moments: Moments, t: int, rate: float, p: Precision
) -> tuple[Ball, Moments]:
    """Return ``w - rate v`` and ``v = mu v + g``: ``gamma_3 (mu V+ + G+)``, mu being rounded, a product, a sum.

    ``w - rate g`` may come first, so that a sum on the way is as large as both parts of the step.
    """
    (before,) = moments
    mu = rule.momentum
    exact = p.arithmetic.array(mu) * before.exact + g.exact
    parts = mu * before.size + g.size
    radius = p.gamma(3) * parts * (before.size != 0) + mu * before.radius + g.radius + 4 * p.floor
    velocity = Ball(exact, np.asarray(radius), before.largest + g.largest)
    step = Ball(p.arithmetic.array(rate) * exact, abs(rate) * velocity.radius)
    return _moved(w, step, abs(rate) * parts, 3, rate, p, velocity.reach), (velocity,)


def _adam(rule: Adam, w: Ball, g: Ball, moments: Moments, t: int, rate: float, p: Precision) -> tuple[Ball, Moments]:
    """Return ``w - rate (direction + weight_decay w)``, ``m`` and ``v``.

    Decay may be a factor ``1 - rate weight_decay`` of ``w``, or be subtracted before or after the step.
    """
    m = _first_moment(rule.beta1, moments[0], g, p)
    v = _second_moment(rule.beta2, moments[1], g, p)
    direction, lost = _direction(rule, m, v, g, moments, t, p)
    array, decay = p.arithmetic.array, rule.weight_decay
    exact = array(rate) * (direction.exact + array(decay) * w.exact)
    step = Ball(exact, abs(rate) * (direction.radius + decay * w.radius) + lost)
    parts = abs(rate) * (direction.size + decay * w.size)
    if decay:
        parts = parts + w.size  # 1 - rate weight_decay is rounded
    return _moved(w, step, parts, 4, rate, p, max(m.largest, v.largest)), (m, v)


def _first_moment(beta: float, m: Ball, g: Ball, p: Precision) -> Ball:
    """Return ``beta m + (1 - beta) g``, also as ``m + (1 - beta) (g - m)`` or ``g + beta (m - g)``.

    In each of the three every rounding is of a number of at most ``M+ + G+``: ``gamma_4 (M+ + G+)``.
    """
    array = p.arithmetic.array
    exact = array(beta) * m.exact + (array(1.0) - array(beta)) * g.exact
    radius = p.gamma(4) * (m.size + g.size) + beta * m.radius + (1 - beta) * g.radius
    radius = radius + 5 * p.floor * ((m.size != 0) | (g.size != 0))
    return Ball(exact, np.asarray(radius), m.largest + g.largest)


def _second_moment(beta: float, v: Ball, g: Ball, p: Precision) -> Ball:
    """Return ``beta v + (1 - beta) g^2``, also as ``v + (1 - beta) (g^2 - v)``.

    Constants, squares, products and sums are ``gamma_5`` of the parts; ``1 - beta`` of the rounded ``beta`` is wrong
    by ``u``. ``|g'^2 - g^2| <= dG (|g| + G+)``.
    """
    array = p.arithmetic.array
    exact = array(beta) * v.exact + (array(1.0) - array(beta)) * (g.exact * g.exact)
    square = g.size * g.size
    moved = beta * v.radius + (1 - beta) * g.radius * (g.magnitude + g.size)
    radius = p.gamma(5) * (max(beta, 1 - beta) * v.size + (1 - beta) * square) + p.gamma(1) * square + moved
    return Ball(
        exact,
        np.asarray(radius + p.floor * (3 * g.size + 5) * ((v.size != 0) | (square != 0))),
        v.largest + g.largest * g.largest,
    )


def correction_error(beta: float, t: int, p: Precision) -> float:
    """Return the relative error of ``1 - beta^t``, which may be a subtraction."""
    power = beta**t
    return p.whole_unit * ((2 * t + 2) * power / (1 - power) + 1) if beta else 0.0


def _direction(rule: Adam, m: Ball, v: Ball, g: Ball, before: Moments, t: int, p: Precision) -> tuple[Ball, Array]:
    """Return ``(m / c1) / (sqrt(v / c2) + epsilon)``, by the rules of quotient and root.

    And what underflow may cost if ``m`` is multiplied by the rate before it is divided.
    """
    array, sqrt = p.arithmetic.array, p.arithmetic.sqrt
    c1, c2 = (array(1.0) - array(beta) ** t if beta else array(1.0) for beta in (rule.beta1, rule.beta2))
    first, second = (correction_error(beta, t, p) for beta in (rule.beta1, rule.beta2))
    corrected = m.exact / c1, v.exact / c2
    below1, below2 = float(c1), float(c2)
    dn = (m.radius + first * m.size + p.floor) / below1
    dv = (v.radius + second * v.size + p.floor) / below2 + p.floor
    root = sqrt(np.maximum(corrected[1], array(0.0)))
    roots, least = magnitude(root), np.sqrt(np.maximum(magnitude(corrected[1]) - dv, 0.0))
    dd = np.minimum(np.sqrt(dv), dv / (roots + least)) + p.whole_unit * rule.epsilon
    denominator = root + array(rule.epsilon)
    open_ends = magnitude(denominator) == 0  # 0 / 0, without an epsilon
    exact = np.where(open_ends, array(0.0), corrected[0] / np.where(open_ends, array(1.0), denominator))
    size = magnitude(exact)
    smallest = least + rule.epsilon * (1 - p.whole_unit)
    radius = (dn + size * dd) / smallest
    radius = radius * (1 + p.gamma(ADAM_ROUNDINGS)) + p.gamma(ADAM_ROUNDINGS) * size + p.floor
    if isinstance(g.radius, np.ndarray):
        room = 1 + p.gamma(2 * ADAM_ROUNDINGS) + first + second
        radius = np.fmin(radius, size + _largest_direction(rule, g, before, below1, below2, p) * room)
    overflows = (v.size + g.size**2) / below2 > p.largest / 2
    radius = np.where(overflows | open_ends | np.isnan(radius), np.inf, np.where(m.size == 0, 0.0, radius))
    return Ball(exact, radius), np.where(m.size == 0, 0.0, p.floor / smallest)


def _largest_direction(rule: Adam, g: Ball, before: Moments, c1: float, c2: float, p: Precision) -> Radius:
    """Return the largest magnitude of a direction for any gradient at all.

    ``|m / c1| <= (beta1 M+ + a) / c1``. The first part is over ``sqrt(beta2 v / c2) + epsilon`` or more, the second
    over ``sqrt(b / c2)`` or more, unless ``b`` underflows: then it is over ``epsilon``.
    """
    m, v = before
    least = np.sqrt(rule.beta2 * np.maximum(v.magnitude - v.radius, 0.0) / c2) + rule.epsilon
    old = np.where(m.size == 0, 0.0, rule.beta1 * m.size / (c1 * least))
    new = (1 - rule.beta1) / c1 * np.sqrt(c2 / (1 - rule.beta2))
    tiny = np.sqrt(64 * p.floor / (1 - rule.beta2))
    lost = np.where(g.size == 0, 0.0, (1 - rule.beta1) / c1 * np.minimum(tiny, g.size) / np.float64(rule.epsilon))
    return np.asarray(old + new + lost)


def _moved(w: Ball, step: Ball, parts: Array, roundings: int, rate: float, p: Precision, reach: float) -> Ball:
    """Return ``w - step``: ``gamma`` of the parts of the step, and two roundings of what is left on the way.

    ``step`` carries the errors that come in. A step of exact zeros rounds nothing. Of a rate beyond the largest number
    nothing is claimed.
    """
    new = w.exact - step.exact
    moved = w.radius + step.radius
    radius = (p.gamma(2) * (magnitude(new) + moved + parts) + p.gamma(roundings) * parts) * (parts != 0) + moved
    radius = np.asarray(radius + p.floor * (6 + abs(rate) + parts))
    if abs(rate) > p.largest:
        radius = np.full(radius.shape, np.inf)
    return Ball(new, radius, max(w.largest, reach, float(np.max(parts, initial=0.0))))


OPTIMIZERS: dict[str, Advance] = {"descent": _descent, "momentum": _momentum, "adam": _adam}
