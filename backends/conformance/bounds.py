"""How far a correct result may lie from the exact one: proven rounding-error bounds, carried along as balls.

A `Ball` is an exact value and a radius; each function takes balls for what goes in and returns the ball that holds
every result a correct backend can compute, in any order of summation, with or without fused multiply-add. Judging one
stage from the backend's own previous output uses balls of radius zero; judging a fused step carries the radii along.
What depends on the activation or on the loss is in `elementwise`.

Notation: ``u`` unit round-off; ``gamma_m = (1 - u)^-m - 1 <= m u / (1 - m u)``, the relative error of ``m`` roundings
in a row (Higham, *Accuracy and Stability of Numerical Algorithms*, lemma 3.1), and of a sum of ``m`` products in any
order (section 3.1). It is finite for every ``m``. A term that is exactly zero adds no rounding in any order, so ``m``
counts the others, entry by entry.
The oracle computes the exact value in a separate arithmetic with unit ``u_o`` through the very same operations, so
its error obeys the same formula: ``gamma_m(u) + gamma_m(u_o) <= gamma_m(u + u_o)``, and every ``u`` below is the sum.
``A+ = |A| + dA`` is the largest magnitude within a ball: roundings act on what the backend holds, not on what is exact.

Underflow: a product, or any operation where subnormals are flushed, may lose up to ``floor``; each formula counts the
operations. Overflow: ``reach`` is the largest magnitude that a value on the way may have. No backend and no case here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from backends.base import Array
from backends.conformance.oracle import Arithmetic, affine, product

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
        reach: the largest magnitude of anything on the way, such as a sum before it is divided: where it lies beyond
            the largest number of the dtype, a correct result may be infinite or NaN.
        of: the sum that it is, if a fused step may add its terms to something else one by one.
    """

    exact: Array
    radius: Radius = 0.0
    reach: float = 0.0
    of: Sum | None = None

    @cached_property
    def magnitude(self) -> Array:
        """``|exact|`` in doubles."""
        return magnitude(self.exact)

    @cached_property
    def size(self) -> Array:
        """The largest magnitude of each entry: ``|exact| + radius``."""
        return np.asarray(self.magnitude + self.radius) if isinstance(self.radius, np.ndarray) else self.magnitude

    @cached_property
    def largest(self) -> float:
        """The largest magnitude of all finite entries and of what was on the way."""
        most = float(self.size.max(initial=0.0))
        if not math.isfinite(most):
            most = float(self.size.max(initial=0.0, where=np.isfinite(self.size)))
        return max(most, self.reach)

    @property
    def transposed(self) -> Ball:
        """The ball of the transposed matrix."""
        return Ball(self.exact.T, self.radius.T if isinstance(self.radius, np.ndarray) else self.radius, self.reach)


BallLayer = tuple[Ball, Ball]
"""Weights and biases."""


@dataclass(frozen=True)
class Precision:
    """What a backend's arithmetic promises.

    Attributes:
        dtype: its name.
        unit: unit round-off of that dtype.
        arithmetic: what the oracle calculates in.
        floor: what one operation may lose to underflow.
        largest: its largest finite number.
        product_unit: unit round-off of the inputs of matrix products, if declared coarser than the dtype.
        sharp: the quality tier: ``3 sqrt(m) u`` in place of ``gamma_m``, what random roundings amount to.
        block_rows: rows of a block, if the backend says so: the quality tier expects sums over rows to be made of the
            sums of blocks.
    """

    dtype: str
    unit: float
    arithmetic: Arithmetic
    floor: float
    largest: float
    product_unit: float = 0.0
    sharp: bool = False
    block_rows: int | None = None

    @property
    def whole_unit(self) -> float:
        """The backend's unit and the oracle's own."""
        return self.unit + self.arithmetic.unit

    @property
    def tanh(self) -> float:
        """Relative error of a tanh."""
        return 2 * TANH_ULP * self.whole_unit

    @property
    def vanishing(self) -> float:
        """Twice the smallest normal number: what is computed by exponentials may be zero below it."""
        return 8 / self.largest

    def gamma(self, m: Any, block: int | None = None) -> Any:
        """Return ``gamma_m`` of a number of roundings, or of an array of them; ``block`` is for the quality tier alone.

        A sum of ``m`` terms by blocks of ``b`` rounds each term ``b + m / b`` times at most, once more for each block
        (Blanchard, Higham and Mary, SIAM J. Sci. Comput. 42 (2020), section 2); the proven tier allows any order.
        """
        proven = np.expm1(-np.log1p(-self.whole_unit) * np.asarray(m, np.float64))
        if not self.sharp:
            return proven
        chain = np.minimum(m, block + np.ceil(np.asarray(m) / block)) if block else m
        return np.minimum(proven, 3 * np.sqrt(chain) * self.whole_unit)

    def gamma_of_products(self, m: Any, block: int | None = None) -> Any:
        """Return ``gamma_m`` for sums of ``m`` products, whose factors may be rounded first: ``(1 + u_in)^2``."""
        return self.gamma(m, block) + (2 * self.product_unit + self.product_unit**2) * (np.asarray(m) > 0)


@dataclass(frozen=True)
class Sum:
    """A sum of products before its roundings are counted: sums of several parts of the rows add up.

    Attributes:
        exact: the sum in the oracle's arithmetic.
        size: the sum of the largest magnitudes of its terms.
        moved: what the errors of its factors amount to.
        terms: how many terms are not exactly zero: one number, or one an entry.
        lost: what underflow may lose.
        reach: the largest magnitude on the way.
    """

    exact: Array
    size: Array
    moved: Radius
    terms: Any
    lost: Radius
    reach: float

    def __add__(self, other: Sum) -> Sum:
        return Sum(
            np.asarray(self.exact + other.exact),
            np.asarray(self.size + other.size),
            self.moved + other.moved,
            self.terms + other.terms,
            self.lost + other.lost,
            self.reach + other.reach,
        )

    def ball(self, gamma: Any) -> Ball:
        """Return the sum with all its errors, ``gamma`` being that of its roundings."""
        radius = self.moved + self.lost + np.where(self.size == 0, 0.0, gamma * self.size)
        return Ball(self.exact, np.asarray(radius), self.reach, self)


def magnitude(values: Array) -> Array:
    """Return ``|values|`` in doubles."""
    return np.asarray(np.abs(values), np.float64)


def sum_of_products(a: Ball, b: Ball, p: Precision, exact: Array | None = None) -> Sum:
    """Return ``a b``: ``A+ B+`` is rounded, ``dA B+ + A+ dB`` is moved by the product rule.

    Underflow: each product and each sum, and a factor flushed costs the other's magnitude.
    """
    m, n = a.size, b.size
    moved: Radius = 0.0
    if isinstance(a.radius, np.ndarray):
        moved = moved + product(a.radius, n)
    if isinstance(b.radius, np.ndarray):
        moved = moved + product(m, np.broadcast_to(b.radius, n.shape))
    fan = m.shape[1]
    if m.all() and n.all():
        terms: Any = fan
        lost = p.floor * (2 * fan + m.sum(axis=1)[:, None] + n.sum(axis=0))
    else:
        there = (m != 0).astype(np.float64, order="K"), (n != 0).astype(np.float64, order="K")
        terms = product(*there)
        lost = p.floor * (product(m + there[0], n + there[1]) + terms)
    reach = max(a.largest, b.largest, fan * a.largest * b.largest)
    return Sum(product(a.exact, b.exact) if exact is None else exact, product(m, n), moved, terms, lost, reach)


def ball_of_layer(h: Ball, w: Ball, b: Ball, p: Precision) -> Ball:
    """Return ``z = h W^T + b``: ``k`` products and ``k`` additions, ``gamma_{k+1} (H+ W+^T + b+)``, and ``db``."""
    products = sum_of_products(h, w.transposed, p, affine(h.exact, w.exact, b.exact))
    moved = products.moved + b.radius
    lost = products.lost + 2 * p.floor * (b.size != 0)
    whole = Sum(products.exact, products.size + b.size, moved, products.terms, lost, products.reach + b.largest)
    return whole.ball(p.gamma_of_products(np.where(products.terms, products.terms + 1, 0)))


def ball_pulled_back(g: Ball, w: Ball, slope: Ball, p: Precision) -> Ball:
    """Return ``(g W) * d``, the derivative by the ``z`` of the layer before.

    ``dG_H = gamma_m G+ W+ + dG W+ + G+ dW`` with ``m`` the fan-out, then the product with ``d`` and its rounding:
    ``(d+ dG_H + dD |G_H|)(1 + u) + u |G_Z|``.
    """
    products = sum_of_products(g, w, p)
    gh = products.ball(p.gamma_of_products(products.terms))
    gz = gh.exact * slope.exact
    radius = (slope.size * gh.radius + slope.radius * gh.magnitude) * (1 + p.whole_unit) + p.whole_unit * magnitude(gz)
    radius += p.floor * (slope.size + 2 + gh.magnitude) * (gh.size != 0)
    return Ball(gz, radius, max(gh.reach, slope.reach))


def sum_for_weights(g: Ball, h: Ball, p: Precision) -> Sum:
    """Return these rows' share of ``g^T h``, of which ``gamma_n`` is the error, ``n`` being all rows."""
    return sum_of_products(g.transposed, h, p)


def sum_for_biases(g: Ball, p: Precision) -> Sum:
    """Return these rows' share of the sum of ``g``, of which ``gamma_{n-1}`` is the error, ``n`` being all rows."""
    there = g.size != 0
    ones = np.ones(len(g.exact))
    exact = ones @ g.exact if g.exact.dtype == np.float64 else g.exact.sum(axis=0)
    moved = ones @ g.radius if isinstance(g.radius, np.ndarray) else 0.0
    terms = there.sum(axis=0).astype(np.float64)
    return Sum(np.asarray(exact), ones @ g.size, moved, terms, 2 * p.floor * terms, len(ones) * g.largest)


def ball_of_update(w: Ball, g: Ball, rate: float, p: Precision) -> Ball:
    """Return ``w - rate * g``: ``u |new| + gamma_2 |rate| |g|``, and the incoming errors. ``rate`` is rounded already.

    In a fused step, the ``T`` terms that ``g`` is the sum of may be added to ``w`` one by one, ``w`` being first, as a
    product with ``beta = 1`` does: the last addition rounds ``new``, and ``T - 1`` before it round ``w`` and the terms:
    ``gamma_{T-1} |W+|`` on top, and the sum of their magnitudes in place of ``|g|``.

    Subtracting an exact zero rounds nothing. A rate beyond the largest number of the dtype is infinite there, and so is
    what it leads to, unless the gradient may be zero.
    """
    size = abs(rate)
    if size > p.largest:
        certain = g.magnitude > g.radius + p.floor
        return Ball(np.where(certain, -np.sign(g.exact) * math.copysign(math.inf, rate), math.nan), 0.0, math.inf)
    moved = w.radius + size * g.radius
    new = w.exact - p.arithmetic.array(rate) * g.exact
    step = size * (g.size if g.of is None else np.maximum(g.size, g.of.size))
    again = 0.0 if g.of is None else p.gamma(np.maximum(g.of.terms - 1, 0)) * w.size
    radius = (p.gamma(1) * (magnitude(new) + moved) + p.gamma(2) * step + again) * (step != 0) + moved
    reach = max(w.largest, g.reach, size * g.largest)
    return Ball(new, np.asarray(radius + p.floor * (3 + size + g.size)), reach)
