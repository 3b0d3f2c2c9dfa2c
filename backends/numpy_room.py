"""Memory of `numpy_backend`: parameters as one vector, and room for the outputs and error terms of a block.

Views are made once: in a step of a small batch each costs as much as a product.

Tests: `tests/backends/test_contract.py`, `tests/backends/test_threads.py`.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from backends.base import Array, Network, Params

FEW_OUTPUTS, MANY_INPUTS = 16, 128
"""The gradients of a layer of so few outputs and so many inputs are computed transposed: with the long side first the
BLAS takes 0.3 to 0.65 of the time.
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
    """Room for one block: outputs, error terms and slopes of every layer, and the block's gradients.

    ``flat_error`` is a view of the last layer's error terms. ``turned`` has room ``[i + 1, o]`` for the
    gradients of each layer of few outputs.
    """

    outputs: Outputs
    g: list[Array]
    flat_error: Array
    slope: list[Array]
    product: Vector
    turned: list[Array | None]


class Kept(threading.local):
    """Each thread's own scratch by rows of a block, kept from block to block: what is in its cache is used again."""

    def __init__(self) -> None:
        self.scratch: dict[int, Scratch] = {}


class Room:
    """Makes memory of one network, and keeps what every step needs again.

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
        """Return a new one."""
        return self.vector(np.empty(self.network.parameter_count, self.dtype))

    def placed_vector(self, params: Params) -> Vector:
        """Return a new one of host parameters."""
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
        """Return this thread's room for a block of that many rows, kept between steps."""
        kept = self._kept.scratch
        if rows not in kept:
            g = [np.empty((size, rows), self.dtype) for size in self.network.sizes[1:]]
            turned = [
                np.empty((i + 1, o), self.dtype) if 1 < o <= FEW_OUTPUTS and i >= MANY_INPUTS else None
                for o, i in self.network.layer_shapes
            ]
            slope = [np.empty_like(h) for h in g[:-1]]
            kept[rows] = Scratch(self.outputs(rows), g, g[-1].ravel(), slope, self.empty_vector(), turned)
        return kept[rows]

    def total(self, run: int) -> Vector:
        """Return the room for the gradients of a run of blocks, kept between steps."""
        if run not in self._totals:
            self._totals[run] = self.empty_vector()
        return self._totals[run]
