"""Faults of training on ranks, each of which ``check --ranks`` must reject. They are tried by `check_on_ranks`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Layer, State
from backends.conformance.ranks import Dealt
from backends.shares import SharedBatch


class AnotherSeed(Dealt):
    """The last rank starts from other parameters, and nobody asks."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Place other biases."""
        if self.ranks.rank == self.ranks.size - 1:
            params = [
                Layer(weights, np.asarray(biases) + np.asarray(biases).dtype.type(1)) for weights, biases in params
            ]
        return self.inner.place_params(params) if state is None else self.inner.place_params(params, state)


class UpdateBeforeTheSum(Dealt):
    """Every rank updates with the gradients of its own rows, and only the loss is summed."""

    def step(self, params: Any, batch: SharedBatch, learning_rate: float) -> tuple[Any, Any]:
        """Sum too late."""
        total = self._scatters
        self._scatters = False
        mine = self.message(params, batch)
        self._scatters = total
        _, gradients = self.inner.from_message(mine.copy())
        return self.inner.update(params, gradients, learning_rate), self.ranks.sum(mine)[-1]


class OneMoreStep(Dealt):
    """The last rank takes one more step, of its own rows, after a long run."""

    def train(
        self, params: Any, batch: SharedBatch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Go on after the end."""
        params, losses = super().train(params, batch, learning_rate, steps, rows_per_step)
        if self.ranks.rank == self.ranks.size - 1 and steps > 100:
            self._scatters = False
            params, _ = self.step(params, batch, learning_rate)
            self._scatters = True
        return params, losses


class LosesARow(Dealt):
    """Each rank's first row is left out where a rank has thousands, as an off-by-one slice would."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> SharedBatch:
        """Leave one out."""
        whole = self.deal
        if sum(whole) < 4096:
            return super().place_batch(inputs, targets, of)
        self.deal = (whole[0] - 1, *whole[1:])
        return super().place_batch(np.asarray(inputs)[1:], np.asarray(targets)[1:], sum(whole))


class MeanOfMeans(Dealt):
    """Every rank's gradients are the mean over its own rows, and the sum is divided by the number of ranks."""

    def message(self, params: Any, batch: SharedBatch) -> Array:
        """Weigh all ranks alike."""
        rows = batch.rows[self.ranks.rank]
        weight = batch.of / max(rows, 1) / self.ranks.size
        scaled = [share._replace(scale=share.scale * weight) for share in batch.shares]
        return super().message(params, batch._replace(shares=scaled))


class DividedByRanks(Dealt):
    """The sum is divided by the number of ranks, though shares are scaled by all rows already."""

    def message(self, params: Any, batch: SharedBatch) -> Array:
        """Divide once too often."""
        message = super().message(params, batch)
        return np.asarray(message / message.dtype.type(self.ranks.size))


class LosesARank(Dealt):
    """What the last rank sends is nought."""

    def message(self, params: Any, batch: SharedBatch) -> Array:
        """Send nothing."""
        if self.ranks.rank == self.ranks.size - 1:
            batch = batch._replace(shares=[])
        return super().message(params, batch)


MUTANTS: dict[type[Dealt], str] = {
    AnotherSeed: "step",
    UpdateBeforeTheSum: "step",
    OneMoreStep: "bits",
    LosesARow: "exact sums",
    MeanOfMeans: "step",
    DividedByRanks: "step",
    LosesARank: "step",
}
"""Each fault, and the first claim that must reject it."""
