"""Student's t distribution and the gamma function's kin, by plain arithmetic: importing scipy takes too long."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

MOST_DOF = 1e4
"""Beyond this many degrees of freedom the normal distribution is as near as any use here needs."""


def upper_tail(t: ArrayLike, dof: ArrayLike) -> Floats:
    """Return the probability of a value above ``t``, elementwise; NaN if either is NaN."""
    return np.asarray(_tails(t, dof))


def quantile(probability: float, dof: ArrayLike) -> Floats:
    """Return the value that a t variable stays below with ``probability`` > 1/2, elementwise; NaN if ``dof`` is."""
    return np.asarray(_quantiles(probability, np.round(np.asarray(dof, float), 2)))


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


def _tail(t: float, dof: float) -> float:
    """Return `upper_tail` of two numbers. Source: Abramowitz and Stegun 26.7.1."""
    if math.isnan(t) or math.isnan(dof) or dof <= 0:
        return math.nan
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    dof = min(dof, MOST_DOF)
    tail = 0.5 * _beta(dof / 2, 0.5, dof / (dof + t * t))
    return tail if t >= 0 else 1 - tail


@lru_cache(maxsize=4096)
def _quantile(probability: float, dof: float) -> float:
    """Return `quantile` of one number: Newton's method, kept inside a bracket."""
    if math.isnan(dof) or dof <= 0:
        return math.nan
    dof = min(dof, MOST_DOF)
    log_peak = math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2) - 0.5 * math.log(dof * math.pi)
    low, high, t = 0.0, 1e6, 2.0
    for _ in range(200):
        excess = _tail(t, dof) - (1 - probability)
        low, high = (t, high) if excess > 0 else (low, t)
        density = math.exp(log_peak - (dof + 1) / 2 * math.log1p(t * t / dof))
        step = t + excess / max(density, 1e-300)
        following = step if low < step < high else (low + high) / 2
        if abs(following - t) <= 1e-12 * t:
            break
        t = following
    return t


def _beta(a: float, b: float, x: float) -> float:
    """Return I_x(a, b) by its continued fraction. Source: Press et al., Numerical Recipes, 6.4."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on one side of the mean only
        return 1 - _beta(b, a, 1 - x)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(front) * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of the incomplete beta function, by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    result = d
    for m in range(1, 300):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = result
        for term in (even, odd):
            d = 1 / ((1 + term * d) or tiny)
            c = (1 + term / c) or tiny
            result *= c * d
        if abs(result - before) <= 1e-14 * abs(result):
            break
    return result


_tails = np.vectorize(_tail, otypes=[float])
_quantiles = np.vectorize(_quantile, otypes=[float])
