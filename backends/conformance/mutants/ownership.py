"""Faults of ownership: memory of the caller that is kept, and memory of a result that is written to later.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Layer, Params, State
from backends.conformance.mutants.params import filled, flat, mapped
from backends.conformance.plain import Batch, Plain


class SharesResults(Plain):
    """Returns every updated set of params in the same memory."""

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        """Write over what the last update returned."""
        new = super().update(params, gradients, learning_rate)
        return filled(self.__dict__.setdefault("room", new), new)


class SharesGradients(Plain):
    """Returns every set of gradients in the same memory."""

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        """Write over what the last call returned."""
        loss, new = super().backward(params, batch, tape)
        return loss, filled(self.__dict__.setdefault("room", new), new)


class SpoilsGradients(Plain):
    """`update` scales the gradients in their own memory."""

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        """Scale in place, then subtract."""
        for g in flat(gradients):
            g *= g.dtype.type(learning_rate)
        return super().update(params, gradients, 1.0)


class SpoilsTape(Plain):
    """`backward` computes the error term in the memory of the tape."""

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        """Leave the error where the predictions were."""
        result = super().backward(params, batch, tape)
        tape[-1] -= batch[1]
        return result


class KeepsLargeMemory(Plain):
    """Keeps large arrays of the caller, since copying them takes long."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Copy small arrays alone."""
        x, y = self.host_batch(inputs, targets)
        return (x, y) if x.nbytes > 1 << 15 else (x.copy(), y.copy())


class KeepsAlignedMemory(Plain):
    """Keeps inputs of the caller that start on a cache line."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Copy what is not aligned."""
        x, y = self.host_batch(inputs, targets)
        return x if x.ctypes.data % 64 == 0 else x.copy(), y.copy()


class KeepsColumnMajorMemory(Plain):
    """Wants its inputs feature-major, and takes those that are for its own."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Transpose, which copies unless the caller's array lies that way already."""
        _, y = super().place_batch(inputs, targets)
        return np.ascontiguousarray(np.asarray(inputs, self.dtype).T).T, y


class KeepsAlignedWeights(Plain):
    """Keeps weights of the caller that start on a cache line."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Params:
        """Copy what is not aligned."""
        copied = super().place_params(params)
        return tuple(
            Layer(np.asarray(w, self.dtype) if np.asarray(w).ctypes.data % 64 == 0 else copy, b)
            for (w, _), (copy, b) in zip(params, copied, strict=True)
        )


class ForwardMovesParams(Plain):
    """`forward` leaves the output biases a little larger."""

    def forward(self, params: Params, batch: Batch) -> list[Array]:
        """Run, then spoil."""
        tape = super().forward(params, batch)
        params[-1].biases[...] *= params[-1].biases.dtype.type(1.25)
        return tape


class BackwardMovesParams(Plain):
    """`backward` leaves the weights of the first layer a little smaller."""

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        """Run, then spoil."""
        result = super().backward(params, batch, tape)
        params[0].weights[...] *= params[0].weights.dtype.type(0.5)
        return result


class LossesAreViews(Plain):
    """Returns the losses of `train` in one buffer."""

    def train(
        self, params: Any, batch: Any, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Return a part of the buffer."""
        params, losses = super().train(params, batch, learning_rate, steps, rows_per_step)
        room: Array = self.__dict__.setdefault("room", np.zeros(4096, self.dtype))
        room[:steps] = losses
        return params, room[:steps]


class FetchIsAView(Plain):
    """Fetches views that cannot be written to, and change when the params do."""

    def fetch(self, params: Params) -> Params:
        """Return views."""
        views = mapped(lambda w: w.view(), params)
        for view in flat(views):
            view.flags.writeable = False
        return views

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        """Update in place."""
        return filled(params, super().update(params, gradients, learning_rate))


MUTANTS: dict[type[Plain], str] = dict.fromkeys(
    (
        SharesResults,
        SharesGradients,
        SpoilsGradients,
        SpoilsTape,
        KeepsLargeMemory,
        KeepsAlignedMemory,
        KeepsColumnMajorMemory,
        KeepsAlignedWeights,
        ForwardMovesParams,
        BackwardMovesParams,
        LossesAreViews,
        FetchIsAView,
    ),
    "state",
)
"""Each fault, and the claim that must reject it."""
