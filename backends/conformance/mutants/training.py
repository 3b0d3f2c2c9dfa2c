"""Faults of `train` alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from backends.base import Array
from backends.conformance.plain import Plain


class ForgetsLastStep(Plain):
    """`train` does not apply its last update."""

    def train(
        self, params: Any, batch: Any, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Stop one update short."""
        params, losses = super().train(params, batch, learning_rate, max(steps - 1, 0), rows_per_step)
        if steps > 0:
            losses = np.append(losses, losses.dtype.type(super().step(params, batch, learning_rate)[1]))
        return params, losses


class SilentDivergence(Plain):
    """`train` returns NaN without a word."""

    def trained(self, params: Any, losses: Array, learning_rate: float) -> tuple[Any, Array]:
        """Return whatever came out."""
        return params, losses


MUTANTS: dict[type[Plain], str] = {
    ForgetsLastStep: "train",
    SilentDivergence: "train",
}
"""Each fault, and the claim that must reject it."""
