"""How far a correct result may lie from the exact one: proven rounding-error bounds, carried along as balls.

A `Ball` is an exact value and a radius; each function takes balls for what goes in and returns the ball that holds
every result a correct backend can compute, in any order of summation, with or without fused multiply-add. Judging one
stage from the backend's own previous output uses balls of radius zero; judging a fused step carries the radii along.

Notation: ``u`` unit round-off; ``gamma_m = m u / (1 - m u)``, the relative error of ``m`` roundings in a row (Higham,
*Accuracy and Stability of Numerical Algorithms*, lemma 3.1), and of a sum of ``m`` products in any order (section 3.1).
The oracle computes the exact value in an arithmetic of its own with unit ``u_o`` through the very same operations, so
its error obeys the same formula: ``gamma_m(u) + gamma_m(u_o) <= gamma_m(u + u_o)``, and every ``u`` below is the sum.
``A+ = |A| + dA`` is the largest magnitude within a ball: roundings act on what the backend holds, not on what is exact.

Underflow: a product, or any operation where subnormals are flushed, may lose up to ``floor``; each formula counts the
operations. No backend and no case here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from backends.base import Array
from backends.conformance.oracle import Arithmetic, affine, error_term, product

TANH_ULP = 4
"""Accuracy asked of tanh, in units in the last place: a relative error of ``2 * 4 u``."""

# The bounds themselves are computed in double precision, from sums of positive terms: relative error below n 2^-53.
SLACK = 1 + 2.0**-20

Radius = Array | float


@dataclass(frozen=True)
class Ball:
    """Exact values, and how far a correct result may lie from each.

    Attributes:
        exact: in the oracle's arithmetic.
        radius: in doubles, or the number zero.
    """

    exact: Array
    radius: Radius = 0.0

    @cached_property
    def magnitude(self) -> Array:
        """``|exact|`` in doubles."""
        return magnitude(self.exact)

    @cached_property
    def size(self) -> Array:
        """The largest magnitude of each entry: ``|exact| + radius``."""
        return np.asarray(self.magnitude + self.radius) if isinstance(self.radius, np.ndarray) else self.magnitude


@dataclass(frozen=True)
class Precision:
    """What a backend's arithmetic promises.

    Attributes:
        dtype: its name.
        unit: unit round-off of that dtype.
        arithmetic: what the oracle calculates in.
        floor: what one operation may lose to underflow.
        largest: its largest finite number.
        product_unit: unit round-off of the inputs of matrix products, where declared coarser than the dtype.
        sharp: the quality tier: ``3 sqrt(m) u`` in place of ``gamma_m``, what random roundings amount to.
    """

    dtype: str
    unit: float
    arithmetic: Arithmetic
    floor: float
    largest: float
    product_unit: float = 0.0
    sharp: bool = False

    @property
    def whole_unit(self) -> float:
        """The backend's unit and the oracle's own."""
        return self.unit + self.arithmetic.unit

    @property
    def tanh(self) -> float:
        """Relative error of a tanh."""
        return 2 * TANH_ULP * self.whole_unit

    def gamma(self, m: int) -> float:
        """Return ``gamma_m``; infinite, so that nothing is claimed, where ``m u >= 1``."""
        mu = m * self.whole_unit
        proven = mu / (1 - mu) if mu < 1 else math.inf
        return min(proven, 3 * math.sqrt(m) * self.whole_unit) if self.sharp else proven

    def gamma_of_products(self, m: int) -> float:
        """Return ``gamma_m`` for sums of ``m`` products, whose factors may be rounded first: ``(1 + u_in)^2``."""
        return self.gamma(m) + 2 * self.product_unit + self.product_unit**2


def magnitude(values: Array) -> Array:
    """Return ``|values|`` in doubles."""
    return np.asarray(np.abs(values), np.float64)


def ball_of_layer(h: Ball, w: Ball, b: Ball, p: Precision) -> Ball:
    """Return ``z = h W^T + b``.

    ``k`` products and ``k`` additions: ``gamma_{k+1} (H+ W+^T + b+)``, and the incoming errors by the product rule,
    ``dH W+^T + H+ dW^T + db``. Underflow: each product and each sum, and a factor flushed costs the other's magnitude.
    """
    fan_in = w.exact.shape[1]
    gamma = p.gamma_of_products(fan_in + 1)
    constant = gamma * b.size + b.radius + p.floor * (2 * fan_in + 2 + w.size.sum(axis=1))
    radius = product(h.size, (gamma * w.size + w.radius + p.floor).T) + constant
    return Ball(affine(h.exact, w.exact, b.exact), _plus_product(radius, h.radius, w.size.T))


def ball_of_tanh(z: Ball, p: Precision) -> Ball:
    """Return ``h = tanh(z)``.

    ``|tanh z' - tanh z| <= sup|tanh'| dZ`` over ``[z - dZ, z + dZ]``, where tanh' is largest nearest to zero; then the
    relative error of tanh itself, on what it returns.
    """
    radius = z.radius
    if not np.isfinite(z.magnitude).all():
        radius = np.where(np.isfinite(z.magnitude), radius, 0.0)
    nearest = np.clip(z.magnitude - radius, 0.0, 350.0)
    steepest = 1 / np.cosh(nearest) ** 2
    h = p.arithmetic.tanh(z.exact)
    return Ball(h, steepest * radius * (1 + p.tanh) + p.tanh * magnitude(h) + 2 * p.floor)


def ball_of_slope(h: Ball, p: Precision, exact: Array | None = None) -> Ball:
    """Return ``d = 1 - h^2``, tanh' from the stored output; ``exact`` where the oracle knows it better, from ``z``.

    ``|h'^2 - h^2| <= (|h| + H+) dH``; squaring and subtracting, in either factoring, ``gamma_4 (1 + H+)^2``; and
    ``4 T u H+^2`` for a slope taken from another tanh than the one stored.
    """
    if exact is None:
        exact = (1 - h.exact) * (1 + h.exact)
    radius = p.gamma(4) * (1 + h.size) ** 2 + 2 * p.tanh * h.size**2 + 2 * p.floor
    if isinstance(h.radius, np.ndarray):
        radius += (h.magnitude + h.size) * h.radius
    return Ball(exact, radius)


def ball_of_loss(predicted: Ball, y: Array, entries: int, p: Precision) -> Ball:
    """Return these rows' share of ``sum (predicted - y)^2 / N``.

    Subtraction (twice, being squared), square, ``N`` additions, division: ``gamma_{N+5}``, every term being positive.
    """
    difference = Ball(predicted.exact - y, predicted.radius)
    size = difference.size
    moved = 0.0
    if isinstance(predicted.radius, np.ndarray):
        moved = float(np.vdot(difference.magnitude + size, predicted.radius))
    radius = (p.gamma(entries + 5) * float(np.vdot(size, size)) + moved) / entries
    lost = p.floor * (size.size + 4 + 2 * size.sum() / entries)
    return Ball(np.asarray((difference.exact**2).sum() / entries), np.asarray(radius + lost))


def ball_of_error_term(predicted: Ball, y: Array, entries: int, p: Precision) -> Ball:
    """Return ``g = 2 (predicted - y) / N``: a subtraction, the factor ``2 / N`` (two where ``N`` rounds), a product."""
    roundings = 3 if entries * p.unit * 2 <= 1 else 4
    g = error_term(predicted.exact, y, entries)
    moved = predicted.radius * (2 / entries)
    return Ball(g, p.gamma(roundings) * (magnitude(g) + moved) + moved + 4 * p.floor)


def ball_pulled_back(g: Ball, w: Ball, slope: Ball, p: Precision) -> Ball:
    """Return ``(g W) * d``, the derivative by the ``z`` of the layer before.

    ``dG_H = gamma_m G+ W+ + dG W+ + G+ dW`` with ``m`` the fan-out, then the product with ``d`` and its rounding:
    ``(d+ dG_H + dD |G_H|)(1 + u) + u |G_Z|``.
    """
    fan_out = w.exact.shape[0]
    gamma = p.gamma_of_products(fan_out)
    gh = product(g.exact, w.exact)
    constant = p.floor * (2 * fan_out + 1 + w.size.sum(axis=0))
    dgh = product(g.size, gamma * w.size + w.radius + p.floor) + constant
    dgh = _plus_product(dgh, g.radius, w.size)
    gz = gh * slope.exact
    radius = slope.size * (dgh * (1 + p.whole_unit) + p.floor) + 2 * p.floor
    radius += (slope.radius * (1 + p.whole_unit) + p.floor) * magnitude(gh)
    radius += p.whole_unit * magnitude(gz)
    return Ball(gz, radius)


def ball_of_weights_gradient(g: Ball, h: Ball, rows: int, p: Precision) -> Ball:
    """Return these rows' share of ``g^T h``: ``gamma_n G+^T H+ + dG^T H+ + G+^T dH`` with ``n`` all rows."""
    gamma = p.gamma_of_products(rows)
    radius = g.size.T @ (gamma * h.size + h.radius + p.floor) + np.add(g.radius, p.floor).T @ h.size
    return Ball(g.exact.T @ h.exact, radius + p.floor * (2 * len(g.exact) + 1))


def ball_of_biases_gradient(g: Ball, rows: int, p: Precision) -> Ball:
    """Return these rows' share of the sum of ``g``: ``gamma_{n-1} sum G+ + sum dG``, ``n`` being all rows."""
    one = np.ones(len(g.exact))
    radius = p.gamma_of_products(rows - 1) * (one @ g.size) + one @ g.radius
    exact = one @ g.exact if g.exact.dtype == np.float64 else g.exact.sum(axis=0)
    return Ball(exact, radius + p.floor * 2 * len(g.exact))


def ball_of_update(w: Ball, g: Ball, rate: float, p: Precision) -> Ball:
    """Return ``w - rate * g``: ``u |W| + gamma_2 rate |g|``, and the incoming errors. ``rate`` is rounded already."""
    moved = w.radius + rate * g.radius
    new = w.exact - p.arithmetic.array(rate) * g.exact
    radius = p.gamma(1) * (magnitude(new) + moved) + p.gamma(2) * rate * g.size + moved
    return Ball(new, radius + p.floor * (3 + rate))


def add(one: Ball | None, other: Ball) -> Ball:
    """Return the sum of two shares of one total."""
    return other if one is None else Ball(np.asarray(one.exact + other.exact), one.radius + other.radius)


def _plus_product(radius: Array, a: Radius, b: Array) -> Array:
    """Return ``radius + a @ b``; nothing is computed where ``a`` is the radius zero."""
    return radius + product(a, b) if isinstance(a, np.ndarray) else radius
