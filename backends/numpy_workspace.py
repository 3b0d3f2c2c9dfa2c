"""The arrays of `numpy_backend`: parameters as one vector, and scratch for the outputs and error terms of a block.

Views are made once, since making one costs as much as a product of a small batch.

Tests: `tests/backends/test_contract.py`, `tests/backends/test_threads.py`.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np

from backends.base import Array, Network, Params
from backends.layout import aligned_empty
from backends.numpy_products import Whole, products

FEW_OUTPUTS, MANY_INPUTS = 16, 128
"""Gradients of a layer of up to this many outputs, and of this many inputs or more, are computed transposed: with the
long side first the BLAS takes 0.3 to 0.65 of the time.
"""

MANY_ROWS = 1024
"""From this many rows on, multiplying by one row is faster than a product of the BLAS."""


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
    """Outputs of one block, an entry for each layer.

    Attributes:
        h: ``[size, rows]``.
        written: the same memory as the operands that products write to.
        with_ones: ``[size + 1, rows]``, the same memory and a last row of ones, as operands; predicted has none.
        transposed: that, transposed.
    """

    h: list[Array]
    written: list[Any]
    with_ones: list[Any]
    transposed: list[Any]


class Scratch(NamedTuple):
    """Arrays for one block, most of them a list with an entry for each layer.

    Attributes:
        outputs: if no tape holds them.
        g: error terms ``[size, rows]``. They are written over ``outputs``, of which a layer needs nothing any more by
            then, if its activation allows it. Until then it may use them as scratch.
        operands: the same memory as operands of products.
        flat_error: a view of the last layer's.
        below: of each hidden layer, error terms before they are multiplied by the slope.
        below_written: the same memory as the operands that products write to.
        multiply_below: what writes them: each layer's product with its transposed weights.
        many: whether these are `MANY_ROWS`.
        late_weights: whether there is no ``below``: under a single output the only hidden layer's error terms are
            computed without its weights, which their sums over all rows are multiplied by.
        with_errors: of `late_weights` ``[rows, size + 2]``: the hidden layer's outputs, ones, and the last of ``g``,
            transposed.
        sums: ``[1, size + 2]``, what the errors times these add up to.
        product: the block's gradients.
        transposed_gradients: ``[i + 1, o]`` for layers of few outputs, ``None`` for others.
    """

    outputs: Outputs
    g: list[Array]
    operands: list[Any]
    flat_error: Array
    below: list[Array]
    below_written: list[Any]
    multiply_below: list[Any]
    many: bool
    late_weights: bool
    with_errors: Array
    sums: Array
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
        in_place: whether the activation allows error terms to be written over outputs.
    """

    def __init__(self, network: Network, dtype: str, in_place: bool) -> None:
        self.network = network
        self.dtype = dtype
        self.in_place = in_place
        self._kept = Kept()
        self._totals: dict[int, Vector] = {}

    @property
    def row_values(self) -> int:
        """How many numbers of scratch a row of a long block needs."""
        sizes = self.network.sizes[1:-1]
        outputs, hidden = sum(self.network.sizes[1:]) + len(sizes), sum(sizes)
        separate = (not self.in_place) + (not self._late_weights(MANY_ROWS))
        return outputs + separate * hidden

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
        return self._outputs(
            [self._empty(size + 1, rows) for size in self.network.sizes[1:-1]], self._empty(self.network.outputs, rows)
        )

    def _outputs(self, hidden: list[Array], predicted: Array) -> Outputs:
        """Return outputs in this memory; a hidden layer's has a last row for ones."""
        by = products(self.network, predicted.shape[1])
        for memory in hidden:
            memory[-1] = 1
        h = [*(h[:-1] for h in hidden), predicted]
        with_ones: list[Any] = [*map(by.operand, hidden)]
        return Outputs(h, [*map(by.operand, h)], with_ones, [*map(by.transposed, with_ones)])

    def scratch(self, rows: int) -> Scratch:
        """Return this thread's scratch for blocks of ``rows`` rows, kept between steps."""
        kept = self._kept.scratch
        if rows not in kept:
            by, late_weights = products(self.network, rows), self._late_weights(rows)
            together = self._empty(self.network.sizes[-2] + 2 if late_weights else 0, rows)
            outputs = self._outputs([together[:-1]], together[-1:]) if late_weights else self.outputs(rows)
            g = outputs.h if self.in_place else [*(self._empty(*h.shape) for h in outputs.h[:-1]), outputs.h[-1]]
            below = [] if late_weights else [self._empty(size, rows) for size in self.network.sizes[1:-1]]
            kept[rows] = Scratch(
                outputs,
                g,
                [*map(by.operand, g)],
                g[-1].ravel(),
                below,
                [*map(by.operand, below)],
                [by.multiply_transposed(*shape) for shape in self.network.layer_shapes],
                rows >= MANY_ROWS,
                late_weights,
                together.T,
                np.empty((1, len(together)), self.dtype),
                self.empty_vector(),
                [
                    np.empty((i + 1, o), self.dtype)
                    if 1 < o <= FEW_OUTPUTS and i >= MANY_INPUTS and rows >= MANY_ROWS and isinstance(by, Whole)
                    else None
                    for o, i in self.network.layer_shapes
                ],
            )
        return kept[rows]

    def total(self, run: int) -> Vector:
        """Return the vector that the gradients of a run of blocks add up in, kept between steps."""
        if run not in self._totals:
            self._totals[run] = self.empty_vector()
        return self._totals[run]

    def _empty(self, features: int, rows: int) -> Array:
        """Return memory ``[features, rows]``, on a cache line if that is worth looking for."""
        make = aligned_empty if rows >= MANY_ROWS else np.empty
        return make((features, rows), np.dtype(self.dtype))

    def _late_weights(self, rows: int) -> bool:
        return len(self.network.sizes) == 3 and self.network.outputs == 1 and rows >= MANY_ROWS
