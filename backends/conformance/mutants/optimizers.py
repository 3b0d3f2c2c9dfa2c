"""Faults of momentum and Adam: a formula that is nearly right, a constant, and what becomes of their state.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from backends.base import Adam, Array, Layer, Momentum, Params, State
from backends.conformance.complete import Complete
from backends.conformance.plain import Batch, Plain


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


class StateOfInstance(Complete):
    """One state an instance: all its params share it."""

    def update(self, params: Any, gradients: Params, learning_rate: float) -> Any:
        """Take the moments of the last update."""
        latest = self.__dict__.get("latest", params)
        new = super().update(params._replace(moments=latest.moments), gradients, learning_rate)
        self.__dict__["latest"] = new
        return new


class StateOfClass(Complete):
    """One state for all instances of a network and an optimiser."""

    kept: ClassVar[dict[Any, tuple[Params, ...]]] = {}

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Start anew for all."""
        placed = super().place_params(params, state)
        self.kept[self.network, self.optimizer, self.dtype] = placed.moments
        return placed

    def update(self, params: Any, gradients: Params, learning_rate: float) -> Any:
        """Take the moments of the last update of any instance."""
        key = self.network, self.optimizer, self.dtype
        new = super().update(params._replace(moments=self.kept[key]), gradients, learning_rate)
        self.kept[key] = new.moments
        return new


class NotReset(Complete):
    """Params placed without a state go on with the last one."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Keep the state."""
        placed = super().place_params(params, state)
        latest = self.__dict__.get("latest")
        return placed if state is not None or latest is None else placed._replace(moments=latest.moments)

    def update(self, params: Any, gradients: Params, learning_rate: float) -> Any:
        """Remember."""
        new = super().update(params, gradients, learning_rate)
        self.__dict__["latest"] = new
        return new


class CountNotReset(NotReset):
    """The number of updates goes on when params are placed without a state."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Keep the count."""
        placed = Complete.place_params(self, params, state)
        latest = self.__dict__.get("latest")
        return placed if state is not None or latest is None else placed._replace(updates=latest.updates)


class CountNotPlaced(Complete):
    """A placed state begins to count at zero."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Drop the count."""
        return super().place_params(params, state)._replace(updates=0)


class CountNotUsed(Complete):
    """A placed state tells its count, and counts from zero."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Remember the count."""
        placed = super().place_params(params, state)
        self.__dict__["offset"] = placed.updates
        return placed

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        """Count from there."""
        return super().advance(w, g, moments, max(t - self.__dict__["offset"], 1), rate)


class CountsLayers(Complete):
    """Each layer counts as an update."""

    def update(self, params: Any, gradients: Params, learning_rate: float) -> Any:
        """Count them."""
        self.__dict__["arrays"] = 0
        new = super().update(params, gradients, learning_rate)
        more = (len(gradients) - 1) * self.optimizer.counts_updates
        return new._replace(updates=new.updates + more)

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        """Count arrays, two a layer."""
        layer = self.__dict__["arrays"] // 2
        self.__dict__["arrays"] += 1
        return super().advance(w, g, moments, t + layer * self.optimizer.counts_updates, rate)


class CountsLayersUnseen(CountsLayers):
    """Each layer counts as an update within one, and the count that is told is right."""

    def update(self, params: Any, gradients: Params, learning_rate: float) -> Any:
        """Tell another count."""
        new = super().update(params, gradients, learning_rate)
        return new._replace(updates=params.updates + self.optimizer.counts_updates)


class MomentsNotPlaced(Complete):
    """A placed state keeps its count, and its moments begin at zero."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Drop the moments."""
        fresh = super().place_params(params)
        return fresh if state is None else fresh._replace(updates=state.updates)


class KeepsCallersMoments(Complete):
    """A placed state is the caller's memory."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Keep the arrays."""
        placed = super().place_params(params, state)
        return placed if state is None else placed._replace(moments=tuple(state.moments.values()))


class FetchesViews(Complete):
    """A fetched state is the memory of the params."""

    def fetch_state(self, params: Any) -> State:
        """Return the arrays."""
        return State(params.updates, dict(zip(self.optimizer.moments, params.moments, strict=True)))


class StepForgetsState(Complete):
    """`step` moves the parameters, and leaves the state as it was."""

    def step(self, params: Any, batch: Batch, learning_rate: float) -> tuple[Any, Any]:
        """Keep the old state."""
        new, loss = super().step(params, batch, learning_rate)
        return new._replace(moments=params.moments, updates=params.updates), loss


class TrainBeginsAfresh(Complete):
    """`train` begins with moments of zero."""

    def train(self, params: Any, batch: Any, *arguments: Any, **named: Any) -> Any:
        """Forget the state."""
        fresh = super().place_params(params.layers)
        return super().train(fresh, batch, *arguments, **named)


class TrainCountsAfresh(Complete):
    """`train` begins to count at zero, and tells the right count in the end."""

    def train(self, params: Any, batch: Any, learning_rate: float, steps: int, rows_per_step: int | None = None) -> Any:
        """Forget the count, and put it back."""
        new, losses = super().train(params._replace(updates=0), batch, learning_rate, steps, rows_per_step)
        return new._replace(updates=params.updates + steps * self.optimizer.counts_updates), losses


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
        Rounded,
        RoundedFirstBeta,
        RoundedFactors,
        Dampening,
        DampeningAfterTheFirst,
        Nesterov,
        OldVelocity,
        RateInVelocity,
        UsualMomentum,
        StateOfInstance,
        StateOfClass,
        NotReset,
        CountNotReset,
        CountNotPlaced,
        CountNotUsed,
        CountsLayers,
        CountsLayersUnseen,
        MomentsNotPlaced,
        KeepsCallersMoments,
        FetchesViews,
        StepForgetsState,
        TrainBeginsAfresh,
        TrainCountsAfresh,
        BiasesWithoutState,
        NoUpdateAtRateZero,
        RateWithoutSign,
        ClipsGradients,
    ),
    "optimizers",
)
"""Each fault, and the claim that must reject it."""
