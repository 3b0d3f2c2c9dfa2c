"""Standardise columns to mean 0 and standard deviation 1, and back; fitted to one table, kept, applied to others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A column whose values differ by rounding alone says nothing; dividing by such a spread would blow the rounding up.
CONSTANT_ULPS = 16


@dataclass(frozen=True)
class Standardisation:
    """``(value - mean) / scale`` for each column.

    Attributes:
        columns: their names, in order.
        means: one a column, in the column's unit.
        scales: the standard deviation of each column, in its unit; 0 marks a constant column, which becomes 0.
    """

    columns: tuple[str, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]

    @classmethod
    def fit(cls, columns: Sequence[str], values: Floats) -> Standardisation:
        """Return the standardisation of ``values [rows, columns]``, finite and with at least one row."""
        means, scales = [], []
        for column in values.T:
            largest = float(np.abs(column).max())
            if is_constant(column):
                means.append(float(column[0]))
                scales.append(0.0)
                continue
            unit = column / largest  # so that neither sums nor squares overflow
            means.append(largest * float(unit.mean()))
            scales.append(largest * float(unit.std()))
        return cls(tuple(columns), tuple(means), tuple(scales))

    @property
    def constant(self) -> tuple[str, ...]:
        """Columns that hold one value only."""
        return tuple(name for name, scale in zip(self.columns, self.scales, strict=True) if scale == 0)

    def apply(self, values: Floats, out: Floats | None = None) -> Floats:
        """Return ``values [rows, columns]`` standardised, in the memory of ``out`` if given.

        A constant column becomes 0 whatever it holds.
        """
        scales = np.array(self.scales)
        centred = np.subtract(values, np.array(self.means), out=out)
        return np.asarray(np.divide(centred, np.where(scales == 0, np.inf, scales), out=centred))

    def undo(self, standardised: Floats) -> Floats:
        """Return values in their original units."""
        return np.asarray(standardised * np.array(self.scales) + np.array(self.means))


def is_constant(column: Floats) -> bool:
    """Return whether the values of a column, one or more, differ by no more than rounding."""
    low, high = float(column.min()), float(column.max())
    return high - low <= CONSTANT_ULPS * float(np.finfo(np.float64).eps) * max(abs(low), abs(high))
