"""Least squares with coefficients that are not negative, in numpy alone: importing scipy.optimize takes too long.

Tests: `tests/bench/advice/test_recommendation.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def nnls(a: Floats, b: Floats) -> Floats:
    """Return the ``x >= 0`` that makes ``|a x - b|`` least.

    Source: Lawson and Hanson, Solving Least Squares Problems (1974), chapter 23.

    Args:
        a: ``[rows, columns]``.
        b: ``[rows]``.
    """
    scale = np.linalg.norm(a, axis=0)
    scale[scale == 0] = 1.0
    scaled = a / scale
    x, free = np.zeros(a.shape[1]), np.zeros(a.shape[1], bool)
    tolerance = 1e-10 * max(float(np.linalg.norm(b)), 1e-300)
    for _ in range(5 * a.shape[1]):
        pull = scaled.T @ (b - scaled @ x)
        pull[free] = -np.inf
        if free.all() or pull.max() <= tolerance:
            break
        free[int(pull.argmax())] = True
        x = _settle(scaled, b, x, free)
    return np.asarray(x / scale)


def _settle(a: Floats, b: Floats, x: Floats, free: NDArray[np.bool_]) -> Floats:
    """Solve for the free coefficients; bind those that would turn negative, and solve again."""
    while True:
        trial = np.zeros_like(x)
        trial[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
        negative = free & (trial <= 0)
        if not negative.any():
            return trial
        way = float(np.min(x[negative] / (x[negative] - trial[negative] + 1e-300)))
        x = x + way * (trial - x)
        free &= x > 1e-15
        x[~free] = 0.0
        if not free.any():
            return x
