"""Negative controls: backends that each differ from the plain correct one by a single fault.

A kit that cannot fail proves nothing. `MUTANTS` names, for each fault, the claim that must reject it; see one fail:

``python -m bench check --backend backends.conformance.mutants:Ascent``
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Layer, Params
from backends.conformance.plain import Batch, Plain


class Ascent(Plain):
    """The tutorial's sign: the error is ``y - predicted``, and the update still subtracts."""

    def error_term(self, predicted: Array, y: Array) -> Array:
        """Return it with the wrong sign."""
        return np.negative(super().error_term(predicted, y))


class MissingTwo(Plain):
    """The derivative of the square has lost its factor."""

    def error_term(self, predicted: Array, y: Array) -> Array:
        """Return half of it."""
        return np.divide(super().error_term(predicted, y), 2)


class MissingSlope(Plain):
    """Hidden layers are pulled back as if they were linear."""

    def slope(self, h: Array) -> Array:
        """Return ones."""
        return np.ones_like(h)


class Tf32(Plain):
    """The factors of every product keep 11 significant bits, undeclared."""

    bits = 11

    def product(self, a: Array, b: Array) -> Array:
        """Round both factors first."""
        return super().product(_rounded(a, self.bits), _rounded(b, self.bits))


class Bf16(Tf32):
    """The factors of every product keep 8 significant bits, undeclared."""

    bits = 8


class CoarseTanh(Plain):
    """A tanh right to a millionth of itself."""

    def tanh(self, z: Array) -> Array:
        """Add a relative error."""
        return np.asarray(super().tanh(z) * np.dtype(self.dtype).type(1 - 2e-6))


class SwappedBiases(Plain):
    """Each layer adds the biases of another."""

    def place_params(self, params: Sequence[Layer]) -> Params:
        """Deal the biases out in reverse order."""
        placed = self.host_params(params)
        return tuple(
            Layer(w, np.resize(other.biases, b.shape)) for (w, b), other in zip(placed, reversed(placed), strict=True)
        )


class AllZero(Plain):
    """Returns zeros for everything, fast."""

    def forward(self, params: Params, batch: Batch) -> list[Array]:
        """Return zeros."""
        return [np.zeros_like(h) for h in super().forward(params, batch)]

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        """Return zeros."""
        return 0.0, tuple(Layer(np.zeros_like(w), np.zeros_like(b)) for w, b in params)


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


class LostNaN(Plain):
    """A tanh by clipping, which turns NaN into a number, as compilers may once told that there is none."""

    def tanh(self, z: Array) -> Array:
        """Clip with comparisons that are false for NaN."""
        clipped = np.where(z < 20, np.where(z > -20, z, -20), 20)
        return super().tanh(np.asarray(clipped, z.dtype))


class Lopsided(Plain):
    """A tanh within its bound that is not odd."""

    def tanh(self, z: Array) -> Array:
        """Move positive results by one unit in the last place."""
        h = super().tanh(z)
        return np.asarray(np.where(h > 0, np.nextafter(h, h.dtype.type(0)), h))


class DroppedRows(Plain):
    """Works in blocks of 100 rows and drops the last when it is not full."""

    block_rows = 100

    def product(self, a: Array, b: Array) -> Array:
        """Add up full blocks alone."""
        terms = a.shape[1]
        full = terms - terms % self.block_rows if terms > self.block_rows else terms
        return super().product(a[:, :full], b[:full])


class MeanOverRows(Plain):
    """Divides the loss by the rows, not by all entries."""

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        """Scale the loss."""
        loss, gradients = super().backward(params, batch, tape)
        return loss * batch[1].shape[1], gradients


class LossAfterwards(Plain):
    """`step` returns the loss after the update instead of before."""

    def step(self, params: Any, batch: Any, learning_rate: float) -> tuple[Any, Any]:
        """Step, then look."""
        params, _ = super().step(params, batch, learning_rate)
        return params, self.backward(params, batch, self.forward(params, batch))[0]


class DoubleRate(Plain):
    """`update` moves twice as far."""

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        """Update at twice the rate."""
        return super().update(params, gradients, 2 * learning_rate)


class ForgetsLastStep(Plain):
    """`train` does not apply its last update."""

    def train(self, params: Any, batch: Any, learning_rate: float, steps: int) -> tuple[Any, Array]:
        """Stop one update short."""
        params, losses = super().train(params, batch, learning_rate, max(steps - 1, 0))
        if steps > 0:
            losses = np.append(losses, losses.dtype.type(super().step(params, batch, learning_rate)[1]))
        return params, losses


class SpoilsBatch(Plain):
    """`step` works in the memory of the placed targets; `train` does not."""

    def step(self, params: Any, batch: Any, learning_rate: float) -> tuple[Any, Any]:
        """Step, then leave other targets behind."""
        result = super().step(params, batch, learning_rate)
        batch[1][:] += 1
        return result

    def train(self, params: Any, batch: Any, learning_rate: float, steps: int) -> tuple[Any, Array]:
        """Train on a copy of the targets in each step."""
        losses = np.empty(self.checked_steps(steps), self.dtype)
        for k in range(steps):
            params, losses[k] = self.step(params, (batch[0], batch[1].copy()), learning_rate)
        return self.trained(params, losses, learning_rate)


class SilentDivergence(Plain):
    """`train` returns NaN without a word."""

    def trained(self, params: Any, losses: Array, learning_rate: float) -> tuple[Any, Array]:
        """Return whatever came out."""
        return params, losses


class AcceptsAnything(Plain):
    """Places complex numbers by dropping half of them."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Keep the real part."""
        return super().place_batch(np.real(inputs), np.real(targets))


def _rounded(values: Array, bits: int) -> Array:
    """Return ``values`` rounded to nearest with ``bits`` significant bits."""
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.round(mantissa * 2**bits) / 2**bits, exponent), values.dtype)


MUTANTS: dict[type[Plain], str] = {
    Ascent: "sign",
    MissingTwo: "biases gradients",
    MissingSlope: "weights gradients",
    Tf32: "outputs",
    Bf16: "outputs",
    CoarseTanh: "outputs",
    SwappedBiases: "outputs",
    AllZero: "outputs",
    Stale: "state",
    ReusedTape: "state",
    Aliasing: "state",
    SpoilsBatch: "state",
    ExposedMemory: "state",
    WritesInputs: "layouts",
    IgnoresStrides: "layouts",
    Random: "determinism",
    OtherInOtherProcess: "determinism",
    LostNaN: "values",
    Lopsided: "laws",
    DroppedRows: "weights gradients",
    MeanOverRows: "loss",
    LossAfterwards: "step",
    DoubleRate: "update",
    ForgetsLastStep: "train",
    SilentDivergence: "train",
    AcceptsAnything: "refusals",
}
"""Each fault, and the claim that must reject it."""
