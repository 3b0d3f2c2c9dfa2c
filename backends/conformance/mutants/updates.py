"""Faults of updates by any optimiser: rounded constants, a rate or a gradient that is changed first, arrays left out.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from backends.base import Adam, Array, Momentum, Params
from backends.conformance.complete import Complete
from backends.conformance.plain import Plain


class Rounded(Complete):
    """The optimiser's constants are kept in sixteen bits."""

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        """Round them."""
        rule, half = self.optimizer, np.float16
        if isinstance(rule, Adam):
            rule = replace(rule, beta1=float(half(rule.beta1)), beta2=float(half(rule.beta2)))
        elif isinstance(rule, Momentum):
            rule = replace(rule, momentum=float(half(rule.momentum)))
        return rule.advance(w, g, moments, t, rate)


class BiasesWithoutState(Complete):
    """Biases follow plain descent."""

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        """Descend."""
        return super().advance(w, g, moments, t, rate) if w.ndim == 2 else (w - rate * g, moments)


class NoUpdateAtRateZero(Complete):
    """At a rate of zero the state stays."""

    def update(self, params: Any, gradients: Params, learning_rate: float) -> Any:
        """Return what was given."""
        return super().update(params, gradients, learning_rate) if learning_rate else params


class RateWithoutSign(Complete):
    """A negative rate is taken as positive."""

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        """Drop the sign."""
        return super().advance(w, g, moments, t, abs(rate) if self.optimizer.moments else rate)


class ClipsGradients(Complete):
    """Gradients are cut at one by optimisers with a state."""

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        """Cut."""
        return super().advance(w, np.clip(g, -1, 1) if moments else g, moments, t, rate)


MUTANTS: dict[type[Plain], str] = dict.fromkeys(
    (
        Rounded,
        BiasesWithoutState,
        NoUpdateAtRateZero,
        RateWithoutSign,
        ClipsGradients,
    ),
    "optimizers",
)
"""Each fault, and the claim that must reject it."""
