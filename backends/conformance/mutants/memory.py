"""Faults of memory: buffers that are shared, reused or written to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Params
from backends.conformance.plain import Batch, Plain


class Stale(Plain):
    """Keeps one set of buffers a number of rows, and forgets to fill it again."""

    def forward(self, params: Params, batch: Batch) -> list[Array]:
        """Return the buffers of the first batch of this size."""
        buffers: dict[int, list[Array]] = self.__dict__.setdefault("buffers", {})
        return buffers.setdefault(len(batch[0]), super().forward(params, batch))


class ReusedTape(Plain):
    """Writes each tape over the one before."""

    def forward(self, params: Params, batch: Batch) -> list[Array]:
        """Return the same arrays again, filled anew."""
        buffers: dict[int, list[Array]] = self.__dict__.setdefault("buffers", {})
        tape = super().forward(params, batch)
        kept = buffers.setdefault(len(batch[0]), tape)
        for old, new in zip(kept, tape, strict=True):
            old[...] = new
        return kept


class Aliasing(Plain):
    """Keeps the caller's arrays instead of copies."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Keep views."""
        return self.host_batch(inputs, targets)


class ExposedMemory(Plain):
    """Hands out its own memory as host arrays."""

    def fetch(self, params: Params) -> Params:
        """Return the arrays themselves."""
        return params


class WritesInputs(Plain):
    """Works in place on what it was given."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Copy, and leave a mark in the caller's memory."""
        placed = super().place_batch(inputs, targets)
        if isinstance(inputs, np.ndarray) and inputs.flags.writeable:
            inputs[0] = 0
        return placed


class IgnoresStrides(Plain):
    """Reads memory in the order in which it lies."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Flatten in memory order."""
        self.host_batch(inputs, targets)
        x, y = (np.array(array, self.dtype, order="K") for array in (inputs, targets))
        return x.ravel(order="K").reshape(x.shape), y.ravel(order="K").reshape(y.shape)


class SpoilsBatch(Plain):
    """`step` works in the memory of the placed targets; `train` does not."""

    def step(self, params: Any, batch: Any, learning_rate: float) -> tuple[Any, Any]:
        """Step, then leave other targets behind."""
        result = super().step(params, batch, learning_rate)
        batch[1][:] += 1
        return result

    def train(
        self, params: Any, batch: Any, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Train on a copy of the targets in each step."""
        losses = np.empty(self.checked_steps(steps), self.dtype)
        for k in range(steps):
            params, losses[k] = self.step(params, (batch[0], batch[1].copy()), learning_rate)
        return self.trained(params, losses, learning_rate)


MUTANTS: dict[type[Plain], str] = {
    Stale: "state",
    ReusedTape: "state",
    Aliasing: "state",
    ExposedMemory: "state",
    WritesInputs: "layouts",
    IgnoresStrides: "layouts",
    SpoilsBatch: "state",
}
"""Each fault, and the claim that must reject it."""
