"""Faults in the mathematics: a sign, a factor, a slope, a sum, a rounding.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backends.base import Array, Layer, Params, State
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
        return super().product(rounded(a, self.bits), rounded(b, self.bits))


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

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Params:
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


def rounded(values: Array, bits: int) -> Array:
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
    LostNaN: "values",
    Lopsided: "laws",
    DroppedRows: "weights gradients",
    MeanOverRows: "loss",
    LossAfterwards: "step",
    DoubleRate: "update",
}
"""Each fault, and the claim that must reject it."""
