"""Student's t distribution and the gamma function's kin, in numpy alone: importing scipy takes longer than a comparison."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

MOST_DOF = 1e4
"""Beyond this many degrees of freedom the normal distribution is as near as any use here needs."""


def upper_tail(t: ArrayLike, dof: ArrayLike) -> Floats:
    """Return the probability of a value above ``t``, for finite ``dof`` > 0; NaN where either is NaN.

    Source: Abramowitz and Stegun 26.7.1, by the regularised incomplete beta function.
    """
    values, freedom = np.broadcast_arrays(np.asarray(t, float), np.minimum(np.asarray(dof, float), MOST_DOF))
    with np.errstate(over="ignore", invalid="ignore"):
        x = freedom / (freedom + values**2)
    tail = 0.5 * incomplete_beta(freedom / 2, 0.5, x)
    return np.asarray(np.where(values < 0, 1 - tail, tail))


def quantile(probability: float, dof: ArrayLike) -> Floats:
    """Return the value that a t variable with ``dof`` degrees of freedom stays below with ``probability`` >= 1/2."""
    distinct, where = np.unique(np.asarray(dof, float), return_inverse=True)
    freedom = distinct[np.isfinite(distinct)]
    low, high = np.zeros(freedom.shape), np.full(freedom.shape, 1e4)
    for _ in range(80):
        middle = (low + high) / 2
        above = upper_tail(middle, freedom) > 1 - probability
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    values = np.full(distinct.shape, np.nan)
    values[np.isfinite(distinct)] = high
    return values[where].reshape(np.shape(dof))


def digamma(x: float) -> float:
    """Return the derivative of log gamma at ``x`` > 0. Source: Abramowitz and Stegun 6.3.5, 6.3.18."""
    shift = 0.0
    while x < 10:
        shift, x = shift - 1 / x, x + 1
    y = 1 / x**2
    return shift + math.log(x) - 0.5 / x - y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y / 240)))


def trigamma(x: float) -> float:
    """Return the derivative of `digamma` at ``x`` > 0. Source: Abramowitz and Stegun 6.4.6, 6.4.12."""
    shift = 0.0
    while x < 10:
        shift, x = shift + 1 / x**2, x + 1
    y = 1 / x**2
    return shift + 1 / x + y / 2 + y / x * (1 / 6 - y * (1 / 30 - y * (1 / 42 - y / 30)))


def inverse_trigamma(value: float) -> float:
    """Return the ``x`` of which `trigamma` is ``value`` > 0."""
    low, high = 1e-6, 1e6
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if trigamma(middle) > value else (low, middle)
    return high


def incomplete_beta(a: ArrayLike, b: ArrayLike, x: ArrayLike) -> Floats:
    """Return the regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz's method).

    Source: Press et al., Numerical Recipes, 6.4.
    """
    a, b, x = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float), np.clip(np.asarray(x, float), 0.0, 1.0))
    swap = x > (a + 1) / (a + b + 2)  # the fraction converges fast on this side of the mean only
    p, q, y = np.where(swap, b, a), np.where(swap, a, b), np.where(swap, 1 - x, x)
    with np.errstate(divide="ignore"):
        front = np.exp(_log_gamma(p + q) - _log_gamma(p) - _log_gamma(q) + p * np.log(y) + q * np.log1p(-y)) / p
    value = front * _fraction(p, q, y)
    return np.where(np.isnan(x), np.nan, np.where(swap, 1 - value, value))


def _fraction(a: Floats, b: Floats, x: Floats) -> Floats:
    """Return the continued fraction of the incomplete beta function."""
    tiny = 1e-300
    c = np.ones_like(x)
    d = 1 / _away_from_zero(1 - (a + b) * x / (a + 1), tiny)
    result = d.copy()
    for m in range(1, 200):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = result
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d, tiny)
            c = _away_from_zero(1 + term / c, tiny)
            result = result * c * d
        if np.allclose(result, before, rtol=1e-13, atol=0, equal_nan=True):
            break
    return result


def _away_from_zero(values: Floats, tiny: float) -> Floats:
    return np.where(np.abs(values) < tiny, tiny, values)


_log_gamma = np.vectorize(math.lgamma, otypes=[float])
