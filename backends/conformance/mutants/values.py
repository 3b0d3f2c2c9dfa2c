"""Faults of certain values alone: rates, single entries that are not finite, narrow integers.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Layer, Params, State
from backends.conformance.plain import Batch, Plain


class PositiveRate(Plain):
    """Takes a negative rate for a positive one."""

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        """Drop the sign."""
        return super().update(params, gradients, abs(learning_rate))


class RateOfWholeNumbers(Plain):
    """Keeps the rate in the type of the first one: a whole number, if that came first."""

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        """Round to the type that was met first."""
        kind = self.__dict__.setdefault("kind", type(learning_rate))
        return super().update(params, gradients, kind(learning_rate))


class RateOfZeroMeansDefault(Plain):
    """Takes a rate of zero for none given."""

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        """Replace it."""
        return super().update(params, gradients, learning_rate or 0.01)


class ClipsRate(Plain):
    """Clips the rate to what it finds sensible."""

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        """Clip at a million."""
        return super().update(params, gradients, min(learning_rate, 1e6))


class SwallowsNaN(Plain):
    """Reads a NaN in any column of the inputs but the first as zero."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Replace them."""
        x, y = super().place_batch(inputs, targets)
        x[:, 1:] = np.nan_to_num(x[:, 1:], posinf=np.inf, neginf=-np.inf)
        return x, y


class SwallowsNaNOfTarget(Plain):
    """Leaves out the rows whose last target is NaN."""

    def error_term(self, predicted: Array, y: Array) -> Array:
        """Give such rows no error."""
        g = super().error_term(predicted, y)
        g[np.isnan(y[:, -1]), -1] = 0
        return g


class SwallowsNaNOfBias(Plain):
    """Reads a NaN in the last hidden bias as zero."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Params:
        """Replace it."""
        placed = super().place_params(params, state)
        placed[0].biases[-1] = np.nan_to_num(placed[0].biases[-1], posinf=np.inf, neginf=-np.inf)
        return placed


class WrapsAround(Plain):
    """Negates integers in their own type: the negative of an unsigned one is large."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Store the negative of the targets, and negate again."""
        y = np.asarray(targets)
        if y.dtype.kind == "u":
            self.host_batch(inputs, targets)
            return super().place_batch(inputs, -np.negative(y).astype(self.dtype))
        return super().place_batch(inputs, targets)


class RoundsTwice(Plain):
    """Takes doubles through half precision, as if no more digits were needed."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Round what is not of its own dtype."""
        x = np.asarray(inputs)
        if x.dtype.kind == "f" and x.dtype != np.dtype(self.dtype) and np.abs(x).max() < 1e4:
            return super().place_batch(x.astype(np.float16), targets)
        return super().place_batch(inputs, targets)


MUTANTS: dict[type[Plain], str] = {
    PositiveRate: "rates",
    RateOfWholeNumbers: "rates",
    RateOfZeroMeansDefault: "rates",
    ClipsRate: "rates",
    SwallowsNaN: "values",
    SwallowsNaNOfTarget: "values",
    SwallowsNaNOfBias: "values",
    WrapsAround: "layouts",
    RoundsTwice: "layouts",
}
"""Each fault, and the claim that must reject it."""
