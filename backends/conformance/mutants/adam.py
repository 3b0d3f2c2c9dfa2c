"""Faults of Adam: a formula that is nearly right, a constant, a correction, the decay.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backends.base import Adam, Array
from backends.conformance.complete import Complete
from backends.conformance.plain import Plain


class AdamFault(Complete):
    """Adam in parts, each of which a mutant may replace; other optimisers are right."""

    def means(self, g: Array, m: Array, v: Array, w: Array) -> tuple[Array, Array]:
        """Return the new moments."""
        rule = self.rule
        return rule.beta1 * m + (1 - rule.beta1) * g, rule.beta2 * v + (1 - rule.beta2) * (g * g)

    def corrections(self, t: int) -> tuple[float, float]:
        """Return ``1 - beta^t`` of both."""
        return self.rule.corrections(t)

    def direction(self, m: Array, v: Array, c1: float, c2: float) -> Array:
        """Return the direction from corrected moments."""
        return np.asarray((m / c1) / (np.sqrt(v / c2) + self.rule.epsilon))

    def decayed(self, w: Array, step: Array, rate: Any) -> Array:
        """Return the new parameters."""
        return np.asarray(w - rate * (step + self.rule.weight_decay * w))

    @property
    def rule(self) -> Adam:
        """The optimiser's settings."""
        assert isinstance(self.optimizer, Adam)
        return self.optimizer

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        """Advance by the parts."""
        if not isinstance(self.optimizer, Adam):
            return super().advance(w, g, moments, t, rate)
        m, v = self.means(g, moments[0], moments[1], w)
        with np.errstate(all="ignore"):
            return self.decayed(w, self.direction(m, v, *self.corrections(t)), rate), (m, v)


class EpsilonInsideRoot(AdamFault):
    """Epsilon is added below the root."""

    def direction(self, m: Array, v: Array, c1: float, c2: float) -> Array:
        """Add it there."""
        return np.asarray((m / c1) / np.sqrt(v / c2 + self.rule.epsilon))


class EpsilonSquaredInsideRoot(AdamFault):
    """The square of epsilon is added below the root."""

    def direction(self, m: Array, v: Array, c1: float, c2: float) -> Array:
        """Add it there."""
        return np.asarray((m / c1) / np.sqrt(v / c2 + self.rule.epsilon**2))


class EpsilonBeforeCorrection(AdamFault):
    """Epsilon is added to the root before the root is corrected."""

    def direction(self, m: Array, v: Array, c1: float, c2: float) -> Array:
        """Correct the sum."""
        return np.asarray((m / c1) * np.sqrt(v.dtype.type(c2)) / (np.sqrt(v) + self.rule.epsilon))


class NoEpsilon(AdamFault):
    """Epsilon is left out, and zero over zero is zero."""

    def direction(self, m: Array, v: Array, c1: float, c2: float) -> Array:
        """Divide by the root."""
        return np.nan_to_num((m / c1) / np.sqrt(v / c2), posinf=0, neginf=0)


class UsualEpsilon(AdamFault):
    """Epsilon is its usual value whatever was asked for."""

    def direction(self, m: Array, v: Array, c1: float, c2: float) -> Array:
        """Take the usual one."""
        return np.asarray((m / c1) / (np.sqrt(v / c2) + 1e-8))


class NoCorrections(AdamFault):
    """Moments are used as they are."""

    def corrections(self, t: int) -> tuple[float, float]:
        """Return ones."""
        return 1.0, 1.0


class FirstCorrectionMissing(AdamFault):
    """The first moment is used as it is."""

    def corrections(self, t: int) -> tuple[float, float]:
        """Return the second alone."""
        return 1.0, super().corrections(t)[1]


class SecondCorrectionMissing(AdamFault):
    """The second moment is used as it is."""

    def corrections(self, t: int) -> tuple[float, float]:
        """Return the first alone."""
        return super().corrections(t)[0], 1.0


class CorrectionsOneStepAhead(AdamFault):
    """Corrections are those of the next update."""

    def corrections(self, t: int) -> tuple[float, float]:
        """Count one more."""
        return super().corrections(t + 1)


class CorrectionsOneStepBehind(AdamFault):
    """Corrections are those of the update before, from the second on."""

    def corrections(self, t: int) -> tuple[float, float]:
        """Count one less."""
        return super().corrections(max(t - 1, 1))


class CorrectionsEndEarly(AdamFault):
    """After fifty updates there are no corrections any more."""

    def corrections(self, t: int) -> tuple[float, float]:
        """End them."""
        return super().corrections(t) if t <= 50 else (1.0, 1.0)


class CountsInAByte(AdamFault):
    """The number of updates is kept in eight bits."""

    def corrections(self, t: int) -> tuple[float, float]:
        """Wrap around."""
        return super().corrections(t % 256 or 256)


class CoupledDecay(AdamFault):
    """Weight decay is a part of the gradient, as L2 regularisation."""

    def means(self, g: Array, m: Array, v: Array, w: Array) -> tuple[Array, Array]:
        """Add it to the gradient."""
        return super().means(g + self.rule.weight_decay * w, m, v, w)

    def decayed(self, w: Array, step: Array, rate: Any) -> Array:
        """Step alone."""
        return np.asarray(w - rate * step)


class NoDecay(AdamFault):
    """Weight decay is left out."""

    def decayed(self, w: Array, step: Array, rate: Any) -> Array:
        """Step alone."""
        return np.asarray(w - rate * step)


class DecayWithoutRate(AdamFault):
    """Weight decay does not depend on the rate."""

    def decayed(self, w: Array, step: Array, rate: Any) -> Array:
        """Decay by itself."""
        return np.asarray(w - rate * step - self.rule.weight_decay * w)


class DecayOfSteppedWeights(AdamFault):
    """Weight decay takes what is left after the step."""

    def decayed(self, w: Array, step: Array, rate: Any) -> Array:
        """Step, then decay."""
        stepped = w - rate * step
        return np.asarray(stepped - rate * self.rule.weight_decay * stepped)


class DecayOfWeightsAlone(AdamFault):
    """Biases do not decay."""

    def decayed(self, w: Array, step: Array, rate: Any) -> Array:
        """Decay matrices."""
        return super().decayed(w, step, rate) if w.ndim == 2 else np.asarray(w - rate * step)


class DecayTwice(AdamFault):
    """Weight decay is subtracted twice."""

    def decayed(self, w: Array, step: Array, rate: Any) -> Array:
        """Decay again."""
        return np.asarray(super().decayed(w, step, rate) - rate * self.rule.weight_decay * w)


class Amsgrad(AdamFault):
    """The second moment never falls."""

    def means(self, g: Array, m: Array, v: Array, w: Array) -> tuple[Array, Array]:
        """Keep the larger."""
        m, new = super().means(g, m, v, w)
        return m, np.maximum(new, v)


class AdaBelief(AdamFault):
    """The second moment is of what the first did not foresee."""

    def means(self, g: Array, m: Array, v: Array, w: Array) -> tuple[Array, Array]:
        """Square the difference."""
        new, _ = super().means(g, m, v, w)
        return new, np.asarray(self.rule.beta2 * v + (1 - self.rule.beta2) * (g - new) ** 2)


class OldFirstMoment(AdamFault):
    """The direction is of the first moment before the update."""

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        """Take the moment that was given."""
        new, kept = super().advance(w, g, moments, t, rate)
        if isinstance(self.optimizer, Adam) and t > 1:
            new = self.decayed(w, self.direction(moments[0], kept[1], *self.corrections(t)), rate)
        return new, kept


class SwappedBetas(AdamFault):
    """Each moment has the other's beta."""

    def means(self, g: Array, m: Array, v: Array, w: Array) -> tuple[Array, Array]:
        """Swap them."""
        rule = self.rule
        return rule.beta2 * m + (1 - rule.beta2) * g, rule.beta1 * v + (1 - rule.beta1) * (g * g)


class RoundedFirstBeta(AdamFault):
    """The first beta is kept in sixteen bits."""

    def means(self, g: Array, m: Array, v: Array, w: Array) -> tuple[Array, Array]:
        """Round it."""
        beta = float(np.float16(self.rule.beta1))
        return beta * m + (1 - beta) * g, super().means(g, m, v, w)[1]


class RoundedFactors(AdamFault):
    """The factors of moments, though not of gradients, are kept in sixteen bits."""

    def means(self, g: Array, m: Array, v: Array, w: Array) -> tuple[Array, Array]:
        """Round them."""
        beta1, beta2 = (float(np.float16(beta)) for beta in (self.rule.beta1, self.rule.beta2))
        return beta1 * m + (1 - self.rule.beta1) * g, beta2 * v + (1 - self.rule.beta2) * (g * g)


MUTANTS: dict[type[Plain], str] = dict.fromkeys(
    (
        EpsilonInsideRoot,
        EpsilonSquaredInsideRoot,
        EpsilonBeforeCorrection,
        NoEpsilon,
        UsualEpsilon,
        NoCorrections,
        FirstCorrectionMissing,
        SecondCorrectionMissing,
        CorrectionsOneStepAhead,
        CorrectionsOneStepBehind,
        CorrectionsEndEarly,
        CountsInAByte,
        CoupledDecay,
        NoDecay,
        DecayWithoutRate,
        DecayOfSteppedWeights,
        DecayOfWeightsAlone,
        DecayTwice,
        Amsgrad,
        AdaBelief,
        OldFirstMoment,
        SwappedBetas,
        RoundedFirstBeta,
        RoundedFactors,
    ),
    "optimizers",
)
"""Each fault, and the claim that must reject it."""
