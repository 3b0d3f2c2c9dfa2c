"""Faults of momentum: another formula of the velocity or of the step, a constant.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backends.base import Array, Momentum
from backends.conformance.complete import Complete
from backends.conformance.plain import Plain


class MomentumFault(Complete):
    """Momentum by other formulas; other optimisers are right."""

    def velocity(self, v: Array, g: Array, mu: float, rate: Any) -> Array:
        """Return the new velocity."""
        return np.asarray(mu * v + g)

    def step_of(self, v: Array, before: Array, g: Array, mu: float, rate: Any) -> Array:
        """Return what is subtracted."""
        return np.asarray(rate * v)

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        """Advance by the parts."""
        if not isinstance(self.optimizer, Momentum):
            return super().advance(w, g, moments, t, rate)
        mu = self.optimizer.momentum
        v = self.velocity(moments[0], g, mu, rate)
        return w - self.step_of(v, moments[0], g, mu, rate), (v,)


class Dampening(MomentumFault):
    """Gradients enter by one less momentum."""

    def velocity(self, v: Array, g: Array, mu: float, rate: Any) -> Array:
        """Dampen."""
        return np.asarray(mu * v + (1 - mu) * g)


class DampeningAfterTheFirst(MomentumFault):
    """Gradients enter by one less momentum, once there is a velocity."""

    def velocity(self, v: Array, g: Array, mu: float, rate: Any) -> Array:
        """Dampen."""
        return np.asarray(mu * v + ((1 - mu) if v.any() else 1) * g)


class Nesterov(MomentumFault):
    """The step looks ahead."""

    def step_of(self, v: Array, before: Array, g: Array, mu: float, rate: Any) -> Array:
        """Step as if the next gradient were the same."""
        return np.asarray(rate * (g + mu * v))


class OldVelocity(MomentumFault):
    """The step is of the velocity before."""

    def step_of(self, v: Array, before: Array, g: Array, mu: float, rate: Any) -> Array:
        """Step by it."""
        return np.asarray(rate * before)


class RateInVelocity(MomentumFault):
    """The velocity is of steps, not of gradients: at a new rate old gradients keep their rate."""

    def velocity(self, v: Array, g: Array, mu: float, rate: Any) -> Array:
        """Multiply by the rate first."""
        return np.asarray(mu * v + rate * g)

    def step_of(self, v: Array, before: Array, g: Array, mu: float, rate: Any) -> Array:
        """Step by the velocity."""
        return v


class UsualMomentum(MomentumFault):
    """Momentum is its usual value whatever was asked for."""

    def velocity(self, v: Array, g: Array, mu: float, rate: Any) -> Array:
        """Take the usual one."""
        return np.asarray(0.9 * v + g)


MUTANTS: dict[type[Plain], str] = dict.fromkeys(
    (
        Dampening,
        DampeningAfterTheFirst,
        Nesterov,
        OldVelocity,
        RateInVelocity,
        UsualMomentum,
    ),
    "optimizers",
)
"""Each fault, and the claim that must reject it."""
