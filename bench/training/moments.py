"""Mean, variance and range of the columns of a table that is read chunk by chunk.

Tests: `tests/bench/training/test_stream.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.training.standardise import CONSTANT_ULPS, Floats, Standardisation


class Moments:
    """Mean, variance and range of columns, updated chunk by chunk.

    Sums are kept in extended precision, in which the squares of float64 numbers do not overflow.
    """

    def __init__(self, columns: int) -> None:
        self._count = 0
        self._mean: NDArray[Any] = np.zeros(columns, np.longdouble)
        self._squares: NDArray[Any] = np.zeros(columns, np.longdouble)
        self._low, self._high = np.full(columns, math.inf), np.full(columns, -math.inf)

    def add(self, rows: Floats) -> None:
        """Add rows ``[n, columns]``."""
        for start in range(0, len(rows), 1024):
            block = rows[start : start + 1024].astype(np.longdouble)
            count, mean = len(block), block.mean(axis=0)
            apart, total = mean - self._mean, self._count + count
            self._squares += ((block - mean) ** 2).sum(axis=0) + apart**2 * (self._count * count / total)
            self._mean += apart * (count / total)
            self._count = total
        if len(rows):
            self._low, self._high = np.minimum(self._low, rows.min(axis=0)), np.maximum(self._high, rows.max(axis=0))

    def standardisation(self, columns: Sequence[str], start: int, end: int | None = None) -> Standardisation:
        """Return the standardisation of columns ``start`` to ``end``."""
        part = slice(start, end)
        largest = np.maximum(abs(self._low), abs(self._high))
        constant = self._high - self._low <= CONSTANT_ULPS * np.finfo(np.float64).eps * largest
        scales = np.where(constant, 0.0, np.sqrt(self._squares / max(1, self._count)).astype(np.float64))
        means = np.where(constant, self._low, self._mean.astype(np.float64))
        return Standardisation(tuple(columns[part]), tuple(map(float, means[part])), tuple(map(float, scales[part])))
