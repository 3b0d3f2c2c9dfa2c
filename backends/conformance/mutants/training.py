"""Faults of `train`: in its middle, at its end, in its losses, and in what it says when values leave the numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backends.base import Array, TrainingDiverged
from backends.conformance.plain import Plain


class Trainer(Plain):
    """Trains step by step, each step at a rate and with losses that a mutant may change."""

    def rate_of(self, k: int, steps: int, batch: Any) -> float:
        """Return the factor of the rate at step ``k`` of ``steps``."""
        return 1.0

    def told(self, losses: Array) -> Array:
        """Return the losses that are told."""
        return losses

    def train(
        self, params: Any, batch: Any, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Train at these rates, and tell these losses."""
        losses = np.empty(self.checked_steps(steps), self.dtype)
        for k in range(steps):
            params, losses[k] = self.step(params, batch, learning_rate * self.rate_of(k, steps, batch))
        return self.trained(params, self.told(losses), learning_rate)


class ForgetsLastStep(Trainer):
    """`train` does not apply its last update."""

    def rate_of(self, k: int, steps: int, batch: Any) -> float:
        """Stand still at the last step."""
        return float(k < steps - 1)


class WrongInTheMiddle(Trainer):
    """The tenth step goes the wrong way, unless it is the last."""

    def rate_of(self, k: int, steps: int, batch: Any) -> float:
        """Turn round once."""
        return -1.0 if k == 9 and steps > 10 else 1.0


class DecaysItsRate(Trainer):
    """From the ninth step on the rate decays."""

    def rate_of(self, k: int, steps: int, batch: Any) -> float:
        """Decay by one per cent a step."""
        return 0.99 ** max(k - 8, 0)


class DecaysLate(Trainer):
    """After five hundred steps the rate is a hundredth smaller."""

    def rate_of(self, k: int, steps: int, batch: Any) -> float:
        """Decay once."""
        return 0.99 if k > 500 else 1.0


class WrongForFourSteps(Trainer):
    """Training for exactly four steps takes them all too short."""

    def rate_of(self, k: int, steps: int, batch: Any) -> float:
        """Shorten."""
        return 0.9 if steps == 4 else 1.0


class WrongForManySteps(Trainer):
    """A run of more than twenty steps takes them all too short."""

    def rate_of(self, k: int, steps: int, batch: Any) -> float:
        """Shorten."""
        return 0.999 if steps > 20 else 1.0


class WrongForTwoHiddenLayers(Trainer):
    """With two hidden layers every step after the first is too long."""

    def rate_of(self, k: int, steps: int, batch: Any) -> float:
        """Lengthen."""
        return 1.01 if k and len(self.network.sizes) > 3 else 1.0


class WrongForManyOutputs(Trainer):
    """With more than eight outputs every step is too long."""

    def rate_of(self, k: int, steps: int, batch: Any) -> float:
        """Lengthen."""
        return 1.01 if self.network.outputs > 8 else 1.0


class WrongForSeveralBlocks(Trainer):
    """With more than 4,000 rows every step after the first is too long."""

    def rate_of(self, k: int, steps: int, batch: Any) -> float:
        """Lengthen."""
        return 1.05 if k and len(batch[0]) > 4000 else 1.0


class WarmsUp(Trainer):
    """After a warm-up of twelve steps each step goes on a little in the direction of the one before."""

    def train(
        self, params: Any, batch: Any, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Add momentum from the thirteenth step on."""
        losses, before = np.empty(self.checked_steps(steps), self.dtype), None
        for k in range(steps):
            losses[k], gradients = self.backward(params, batch, self.forward(params, batch))
            params = self.update(params, gradients, learning_rate)
            if k > 12 and before is not None:
                params = self.update(params, before, 0.1 * learning_rate)
            before = gradients
        return self.trained(params, losses, learning_rate)


class RepeatsALoss(Trainer):
    """Tells the loss of the fifth step twice, in runs of more than eight."""

    def told(self, losses: Array) -> Array:
        """Repeat one."""
        if len(losses) > 8:
            losses[5] = losses[4]
        return losses


class LosesFarLosses(Trainer):
    """Tells NaN's neighbour, the loss before, for every loss between the six hundredth and the seven hundredth."""

    def told(self, losses: Array) -> Array:
        """Repeat many."""
        losses[600:700] = losses[600:601]
        return losses


class LossesEveryOther(Trainer):
    """Looks at the loss in every other step alone, and repeats it."""

    def told(self, losses: Array) -> Array:
        """Repeat each."""
        losses[1::2] = losses[: len(losses) - 1 : 2][: len(losses[1::2])]
        return losses


class KeepsFirstRateOfTraining(Trainer):
    """`train` keeps the rate of its first call."""

    def train(
        self, params: Any, batch: Any, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Train at the first rate."""
        return super().train(params, batch, self.__dict__.setdefault("rate", learning_rate), steps)


class RoundsRateToHalf(Trainer):
    """`train` takes its rate with eleven significant bits."""

    def train(
        self, params: Any, batch: Any, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Round the rate."""
        mantissa, exponent = math.frexp(learning_rate)
        return super().train(params, batch, math.ldexp(round(mantissa * 2048) / 2048, exponent), steps)


class SilentDivergence(Plain):
    """`train` returns NaN without a word."""

    def trained(self, params: Any, losses: Array, learning_rate: float) -> tuple[Any, Array]:
        """Return whatever came out."""
        return params, losses


class LooksAtLossesAlone(Plain):
    """`train` does not see that only the last update overflowed."""

    def trained(self, params: Any, losses: Array, learning_rate: float) -> tuple[Any, Array]:
        """Look at the losses."""
        return (params, losses) if np.isfinite(losses).all() else super().trained(params, losses, learning_rate)


class ShortensLosses(Plain):
    """Keeps the finite losses alone when training has diverged."""

    def trained(self, params: Any, losses: Array, learning_rate: float) -> tuple[Any, Array]:
        """Cut them."""
        try:
            return super().trained(params, losses, learning_rate)
        except TrainingDiverged as error:
            error.losses = error.losses[: error.step]
            raise


class CountsFromOne(Plain):
    """Says the step of divergence counted from one."""

    def trained(self, params: Any, losses: Array, learning_rate: float) -> tuple[Any, Array]:
        """Add one."""
        try:
            return super().trained(params, losses, learning_rate)
        except TrainingDiverged as error:
            error.step += 1
            raise


class ForgetsLastFiniteLoss(Plain):
    """Says no last finite loss."""

    def trained(self, params: Any, losses: Array, learning_rate: float) -> tuple[Any, Array]:
        """Drop it."""
        try:
            return super().trained(params, losses, learning_rate)
        except TrainingDiverged as error:
            error.last_finite_loss = None
            raise


MUTANTS: dict[type[Plain], str] = dict.fromkeys(
    (
        ForgetsLastStep,
        WrongInTheMiddle,
        DecaysItsRate,
        DecaysLate,
        WrongForFourSteps,
        WrongForManySteps,
        WrongForTwoHiddenLayers,
        WrongForManyOutputs,
        WrongForSeveralBlocks,
        WarmsUp,
        RepeatsALoss,
        LosesFarLosses,
        LossesEveryOther,
        KeepsFirstRateOfTraining,
        RoundsRateToHalf,
        SilentDivergence,
        LooksAtLossesAlone,
        ShortensLosses,
        CountsFromOne,
        ForgetsLastFiniteLoss,
    ),
    "train",
)
"""Each fault, and the claim that must reject it."""
