"""Faults that hide within the width of a bound: of many rows, or of roundings where every dimension is large.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backends.base import Array, Layer, Params
from backends.conformance.mutants.mathematics import rounded
from backends.conformance.plain import Batch, Plain

MANY = 1 << 20
LARGE = 128


class DropsTail(Plain):
    """Leaves out the rows beyond the last full thousand, in batches of a million."""

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[Any, Params]:
        """Sum up full blocks alone; the loss is right."""
        x, y = batch
        full = len(x) - len(x) % 1000 if len(x) >= MANY else len(x)
        gradients = super().backward(params, (x[:full], y[:full]), [h[:full] for h in tape])[1]
        scale = np.dtype(self.dtype).type(full / len(x))
        return super().backward(params, batch, tape)[0], tuple(Layer(w * scale, b * scale) for w, b in gradients)


class LossWithoutTail(Plain):
    """Leaves the last rows of a million out of the loss; gradients are right."""

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[Any, Params]:
        """Sum up the squares of full blocks."""
        loss, gradients = super().backward(params, batch, tape)
        rows = len(batch[0])
        if rows >= MANY:
            full = rows - rows % 1000
            loss = float(((tape[-1][:full] - batch[1][:full]) ** 2).sum(dtype=np.float64)) / batch[1].size
        return loss, gradients


class CountsRowTwice(Plain):
    """Blocks of 4,096 rows overlap by one."""

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[Any, Params]:
        """Sum up blocks, each of which begins with the last row of the one before."""
        rows = np.arange(len(batch[0]))
        rows = np.sort(np.concatenate([rows, rows[4095:-1:4096]]))
        x, y = batch[0][rows], batch[1][rows]
        gradients = super().backward(params, (x, y), [h[rows] for h in tape])[1]
        scale = np.dtype(self.dtype).type(len(rows) / len(batch[0]))
        return super().backward(params, batch, tape)[0], tuple(Layer(w * scale, b * scale) for w, b in gradients)


class MeanOfMeans(Plain):
    """Averages the gradients of blocks of 1,024 rows, the last of which is shorter."""

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[Any, Params]:
        """Give every block the same weight."""
        loss, gradients = super().backward(params, batch, tape)
        if len(batch[0]) < 1 << 16:
            return loss, gradients
        parts = []
        for start in range(0, len(batch[0]), 1024):
            rows = slice(start, start + 1024)
            block = batch[0][rows], batch[1][rows]
            parts.append(super().backward(params, block, [h[rows] for h in tape])[1])
        return loss, tuple(
            Layer(*(np.mean(arrays, axis=0).astype(self.dtype) for arrays in zip(*layers, strict=True)))
            for layers in zip(*parts, strict=True)
        )


class ScaledGradients(Plain):
    """All gradients are wrong by one part in a hundred thousand."""

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[Any, Params]:
        """Scale them."""
        loss, gradients = super().backward(params, batch, tape)
        return loss, tuple(Layer(*((a * 1.00001).astype(self.dtype) for a in layer)) for layer in gradients)


class Tf32WhereLarge(Plain):
    """Rounds the factors of a product to 11 bits where all its dimensions are large, undeclared."""

    bits = 11

    def product(self, a: Array, b: Array) -> Array:
        """Round both factors first."""
        if min(*a.shape, *b.shape) >= LARGE:
            a, b = rounded(a, self.bits), rounded(b, self.bits)
        return super().product(a, b)


class Bf16WhereLarge(Tf32WhereLarge):
    """Rounds them to 8 bits."""

    bits = 8


class CoarseSlope(Plain):
    """Takes tanh' from an output of 8 bits in a batch of a thousand rows or more."""

    def slope(self, h: Array) -> Array:
        """Round first."""
        return super().slope(rounded(h, 8) if len(h) >= 1000 else h)


MILLION, BLOCKS = "3-2-1/n=1048579/normal", "3-2-1/n=65537/normal"
SPARSE = "389-397-401/n=383/sparse"
SHOWN_BY: dict[type[Plain], str] = {
    DropsTail: MILLION,
    LossWithoutTail: MILLION,
    CountsRowTwice: "3-2-1/n=8192/normal",
    MeanOfMeans: BLOCKS,
    ScaledGradients: MILLION,
    Tf32WhereLarge: SPARSE,
    Bf16WhereLarge: SPARSE,
    CoarseSlope: BLOCKS,
}
"""The case of the stated set that shows each."""

MUTANTS: dict[type[Plain], str] = {
    DropsTail: "spikes",
    LossWithoutTail: "spikes",
    CountsRowTwice: "exact sums",
    MeanOfMeans: "spikes",
    ScaledGradients: "spikes",
    Tf32WhereLarge: "outputs",
    Bf16WhereLarge: "outputs",
    CoarseSlope: "spikes",
}
"""Each fault, and the claim that must reject it."""
