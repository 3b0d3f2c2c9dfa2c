"""Shares of a batch that do not add up to it.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Layer, Params
from backends.conformance.plain import Plain


class PlainShares(Plain):
    """Correct, and places shares itself; the body of the mutants below."""

    capabilities = replace(Plain.capabilities, shares=True)

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> Any:
        """Keep the rows of the whole batch beside a share."""
        x, y = self.host_batch(inputs, targets, of)
        return x.copy(), y.copy(), len(x) if of is None else of

    def forward(self, params: Params, batch: Any) -> list[Array]:
        """Return every layer's output."""
        return super().forward(params, batch[:2])

    def backward(self, params: Params, batch: Any, tape: list[Array]) -> tuple[Any, Params]:
        """Divide by the rows of the whole batch."""
        x, y, of = batch
        return self.divided(params, x, y, tape, self.network.loss_terms(of))

    def divided(self, params: Params, x: Array, y: Array, tape: list[Array], terms: float) -> tuple[Any, Params]:
        """Return loss and gradients of some rows, divided by ``terms``."""
        error = tape[-1] - y
        g = error * error.dtype.type(2 / terms)
        gradients = []
        for k in range(len(params) - 1, -1, -1):
            gradients.append(Layer(self.product(g.T, tape[k - 1] if k else x), g.sum(axis=0)))
            if k:
                g = self.product(g, params[k].weights) * self.slope(tape[k - 1])
        return float((error**2).sum(dtype=self.dtype)) / terms, tuple(reversed(gradients))


class SumOfMeans(PlainShares):
    """Divides each share by its own rows."""

    def backward(self, params: Params, batch: Any, tape: list[Array]) -> tuple[Any, Params]:
        """Forget the batch."""
        return super().backward(params, (*batch[:2], max(1, len(batch[0]))), tape)


class MeanOfShareMeans(PlainShares):
    """Averages the means of two shares, as if they had the same rows: DistributedDataParallel's default."""

    def backward(self, params: Params, batch: Any, tape: list[Array]) -> tuple[Any, Params]:
        """Divide a share by its own rows, and by two."""
        x, y, of = batch
        shares = 1 + (len(x) < of)
        return super().backward(params, (x, y, max(1, shares * len(x))), tape)


class DividedByShares(PlainShares):
    """Divides the gradients of a share by their number once more; the loss is right."""

    def message(self, params: Params, batch: Any) -> Array:
        """Divide by two."""
        message = super().message(params, batch)
        if len(batch[0]) < batch[2]:
            message[:-1] /= 2
        return message


class LosesSmallShare(PlainShares):
    """Loses a share of fewer rows than an eighth of the batch."""

    def message(self, params: Params, batch: Any) -> Array:
        """Send zeros."""
        message = super().message(params, batch)
        return np.asarray(message * (8 * len(batch[0]) >= batch[2]))


class LosesLastRow(PlainShares):
    """Leaves the last row out of a share."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> Any:
        """Drop it."""
        x, y, whole = super().place_batch(inputs, targets, of)
        return (x[:-1], y[:-1], whole) if 1 < len(x) < whole else (x, y, whole)


class NarrowMessage(PlainShares):
    """Sends half as many bits of each number as it has."""

    def message(self, params: Params, batch: Any) -> Array:
        """Round once more."""
        narrow = "float16" if self.dtype == "float32" else "float32"
        return super().message(params, batch).astype(narrow).astype(self.dtype)


class LossOfOneShare(PlainShares):
    """Has the loss of the share with most rows alone; gradients are right."""

    def message(self, params: Params, batch: Any) -> Array:
        """Leave the loss of small shares out."""
        message = super().message(params, batch)
        message[-1] *= 2 * len(batch[0]) >= batch[2]
        return message


class UpdatesBeforeTheSum(PlainShares):
    """Moves the parameters by each share's gradients at once, so that the next share meets others."""

    def message(self, params: Params, batch: Any) -> Array:
        """Take a small step."""
        message = super().message(params, batch)
        for array, gradient in zip(params, self.from_message(message)[1], strict=True):
            for values, by in zip(array, gradient, strict=True):
                values -= values.dtype.type(1e-2) * by
        return message


class KeepsMessage(PlainShares):
    """Writes every message into the same memory."""

    def message(self, params: Params, batch: Any) -> Array:
        """Overwrite the one before."""
        message = super().message(params, batch)
        if not hasattr(self, "_kept"):
            self._kept = np.empty_like(message)
        self._kept[:] = message
        return self._kept


MUTANTS: dict[type[Plain], str] = dict.fromkeys(
    (
        SumOfMeans,
        MeanOfShareMeans,
        DividedByShares,
        LosesSmallShare,
        LosesLastRow,
        NarrowMessage,
        LossOfOneShare,
        UpdatesBeforeTheSum,
        KeepsMessage,
    ),
    "shares",
)
