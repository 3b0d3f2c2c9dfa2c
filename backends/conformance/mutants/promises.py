"""Promises that are not kept: equal bits, and refusals.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Layer, Params
from backends.conformance.plain import Batch, Plain


class Random(Plain):
    """Adds up in a new order each time, yet declares that equal input gives equal bits."""

    def product(self, a: Array, b: Array) -> Array:
        """Shuffle the terms."""
        order = np.random.default_rng().permutation(a.shape[1])
        return super().product(a[:, order], b[order])


class OtherInOtherProcess(Plain):
    """Adds up in an order that depends on the process."""

    def product(self, a: Array, b: Array) -> Array:
        """Shuffle the terms by the process id."""
        order = np.random.default_rng(os.getpid()).permutation(a.shape[1])
        return super().product(a[:, order], b[order])


class RandomUpdate(Plain):
    """Rounds an update up or down by chance; the rest gives equal bits."""

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        """Move by one unit in the last place, or not."""
        new = super().update(params, gradients, learning_rate)
        return tuple(Layer(_perhaps_next(w), b) for w, b in new)

    def step(self, params: Params, batch: Batch, learning_rate: float) -> tuple[Params, float]:
        """Step as `Plain` does."""
        loss, gradients = self.backward(params, batch, self.forward(params, batch))
        return super().update(params, gradients, learning_rate), loss


class RandomLosses(Plain):
    """Sums the losses of `train` in a new order each time; its params give equal bits."""

    def train(
        self, params: Params, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Params, Array]:
        """Move each loss by one unit in the last place, or not."""
        params, losses = super().train(params, batch, learning_rate, steps, rows_per_step)
        return params, _perhaps_next(losses)


def _perhaps_next(values: Array) -> Array:
    """Return ``values``, each moved by one unit in the last place or not."""
    moved = np.random.default_rng().random(values.shape) < 0.5
    return np.asarray(np.where(moved, np.nextafter(values, values.dtype.type(np.inf)), values))


class AcceptsAnything(Plain):
    """Places complex numbers by dropping half of them."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Keep the real part."""
        return super().place_batch(np.real(inputs), np.real(targets))


MUTANTS: dict[type[Plain], str] = {
    Random: "determinism",
    OtherInOtherProcess: "determinism",
    RandomUpdate: "determinism",
    RandomLosses: "determinism",
    AcceptsAnything: "refusals",
}
"""Each fault, and the claim that must reject it."""
