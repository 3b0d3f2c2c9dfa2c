"""Faults of certain shapes alone: a remainder of a vector's length, a width, a depth, a number of rows.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from backends.base import Array, Params
from backends.conformance.plain import Batch, Plain

VECTOR = 16


class WrongShape(Plain):
    """The last entry of every gradient is wrong, wherever `affects` says so of a batch."""

    def affects(self, rows: int) -> bool:
        """Return whether a batch of this many rows is computed wrong."""
        raise NotImplementedError

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[Any, Params]:
        """Spoil the last entry."""
        loss, gradients = super().backward(params, batch, tape)
        if self.affects(len(batch[0])):
            for layer in gradients:
                layer.biases[-1] *= 1.5
        return loss, gradients


class ResidueOfRows(WrongShape):
    """A tail of 13 rows."""

    def affects(self, rows: int) -> bool:
        """By the rows."""
        return rows % VECTOR == 13


class ResidueOfInputs(WrongShape):
    """A tail of 5 inputs."""

    def affects(self, rows: int) -> bool:
        """By the network."""
        return self.network.inputs % VECTOR == 5


class ResidueOfHidden(WrongShape):
    """A tail of 11 units in any hidden layer."""

    def affects(self, rows: int) -> bool:
        """By the network."""
        return any(size % VECTOR == 11 for size in self.network.sizes[1:-1])


class ResidueOfOutputs(WrongShape):
    """A tail of 14 outputs."""

    def affects(self, rows: int) -> bool:
        """By the network."""
        return self.network.outputs % VECTOR == 14


class WideInputs(WrongShape):
    """More inputs than a table has room for."""

    def affects(self, rows: int) -> bool:
        """By the network."""
        return self.network.inputs >= 258


class WideOutputs(WrongShape):
    """More outputs than a table has room for."""

    def affects(self, rows: int) -> bool:
        """By the network."""
        return self.network.outputs > 257


class WideHidden(WrongShape):
    """More hidden units than a table has room for."""

    def affects(self, rows: int) -> bool:
        """By the network."""
        return max(self.network.sizes[1:-1]) >= 5000


class TwoWide(WrongShape):
    """Two wide layers side by side."""

    def affects(self, rows: int) -> bool:
        """By the network."""
        sizes = self.network.sizes
        return any(min(pair) >= 500 for pair in itertools.pairwise(sizes))


class Deep(WrongShape):
    """Four hidden layers."""

    def affects(self, rows: int) -> bool:
        """By the network."""
        return len(self.network.sizes) >= 6


class ShortIndex(WrongShape):
    """Numbers rows in 16 bits, so that those beyond 65,535 are read from the beginning again."""

    def affects(self, rows: int) -> bool:
        """By the rows."""
        return rows > 1 << 16

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[Any, Params]:
        """Let the row numbers wrap around."""
        rows = np.arange(len(batch[0])).astype(np.uint16)
        return Plain.backward(self, params, (batch[0][rows], batch[1]), tape)


MUTANTS: dict[type[Plain], str] = {
    ResidueOfRows: "biases gradients",
    ResidueOfInputs: "biases gradients",
    ResidueOfHidden: "biases gradients",
    ResidueOfOutputs: "biases gradients",
    WideInputs: "biases gradients",
    WideOutputs: "biases gradients",
    WideHidden: "biases gradients",
    TwoWide: "biases gradients",
    Deep: "biases gradients",
    ShortIndex: "exact sums",
}
"""Each fault, and the claim that must reject it."""
