"""The arrays of `numpy_backend`: parameters as one vector, and scratch for the outputs and error terms of a block.

Views are made once, since making one costs as much as a product of a small batch.

Tests: `tests/backends/test_contract.py`, `tests/backends/test_threads.py`.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from backends.base import Array, Network, Params

FEW_OUTPUTS, MANY_INPUTS = 16, 128
"""Gradients of a layer of up to this many outputs, and of this many inputs or more, are computed transposed: with the
long side first the BLAS takes 0.3 to 0.65 of the time.
"""


class Vector(NamedTuple):
    """All parameters, or all gradients, in one vector.

    ``layers`` are its views ``[o, i + 1]``, biases last; ``transposed`` their weights alone as ``[i, o]``.
    """

    flat: Array
    layers: list[Array]
    transposed: list[Array]


class Trained(NamedTuple):
    """The params of this backend: a `Vector`, and each moment of the optimiser as a vector like ``flat``.

    ``updates`` holds one number, how many updates the optimiser has made.
    """

    flat: Array
    layers: list[Array]
    transposed: list[Array]
    moments: list[Array]
    updates: list[int]


class Outputs(NamedTuple):
    """Every layer's output ``h [size, rows]`` of one block.

    ``with_ones [size + 1, rows]`` is the same memory and a last row of ones (predicted has none), ``transposed`` that.
    """

    h: list[Array]
    with_ones: list[Array]
    transposed: list[Array]


class Scratch(NamedTuple):
    """Arrays for one block: outputs, error terms and slopes of every layer, and the block's gradients.

    ``flat_error`` is a view of the last layer's error terms. ``transposed_gradients [i + 1, o]`` are for layers of few
    outputs, ``None`` for others.
    """

    outputs: Outputs
    g: list[Array]
    flat_error: Array
    slope: list[Array]
    product: Vector
    transposed_gradients: list[Array | None]


class Kept(threading.local):
    """Each thread's scratch, by rows of a block. It is used for one block after the other, so it stays in cache."""

    def __init__(self) -> None:
        self.scratch: dict[int, Scratch] = {}


class Workspace:
    """Makes the arrays of one network, and keeps those that every step needs.

    Args:
        network: whose parameters and layers it is for.
        dtype: of the arrays, a name.
    """

    def __init__(self, network: Network, dtype: str) -> None:
        self.network = network
        self.dtype = dtype
        self._kept = Kept()
        self._totals: dict[int, Vector] = {}

    def vector(self, flat: Array) -> Vector:
        """Return a vector of all parameters with its views."""
        layers, at = [], 0
        for o, i in self.network.layer_shapes:
            layers.append(flat[at : at + o * (i + 1)].reshape(o, i + 1))
            at += o * (i + 1)
        return Vector(flat, layers, [view[:, :-1].T for view in layers])

    def empty_vector(self) -> Vector:
        """Return a new vector of parameters or gradients."""
        return self.vector(np.empty(self.network.parameter_count, self.dtype))

    def placed_vector(self, params: Params) -> Vector:
        """Return a new vector of host parameters."""
        vector = self.empty_vector()
        for view, (w, b) in zip(vector.layers, params, strict=True):
            view[:, :-1] = w
            view[:, -1] = b
        return vector

    def outputs(self, rows: int) -> Outputs:
        """Return new memory for the outputs of a block of that many rows."""
        hidden = [np.empty((size + 1, rows), self.dtype) for size in self.network.sizes[1:-1]]
        for h in hidden:
            h[-1] = 1
        predicted = np.empty((self.network.outputs, rows), self.dtype)
        return Outputs([*(h[:-1] for h in hidden), predicted], [*hidden, predicted], [h.T for h in hidden])

    def scratch(self, rows: int) -> Scratch:
        """Return this thread's scratch for blocks of ``rows`` rows, kept between steps."""
        kept = self._kept.scratch
        if rows not in kept:
            g = [np.empty((size, rows), self.dtype) for size in self.network.sizes[1:]]
            transposed_gradients = [
                np.empty((i + 1, o), self.dtype) if 1 < o <= FEW_OUTPUTS and i >= MANY_INPUTS else None
                for o, i in self.network.layer_shapes
            ]
            slope = [np.empty_like(h) for h in g[:-1]]
            kept[rows] = Scratch(self.outputs(rows), g, g[-1].ravel(), slope, self.empty_vector(), transposed_gradients)
        return kept[rows]

    def total(self, run: int) -> Vector:
        """Return the vector that the gradients of a run of blocks add up in, kept between steps."""
        if run not in self._totals:
            self._totals[run] = self.empty_vector()
        return self._totals[run]
