"""Promises that are not kept: equal bits, and refusals."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array
from backends.conformance.plain import Batch, Plain


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


class AcceptsAnything(Plain):
    """Places complex numbers by dropping half of them."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Keep the real part."""
        return super().place_batch(np.real(inputs), np.real(targets))


MUTANTS: dict[type[Plain], str] = {
    Random: "determinism",
    OtherInOtherProcess: "determinism",
    AcceptsAnything: "refusals",
}
"""Each fault, and the claim that must reject it."""
