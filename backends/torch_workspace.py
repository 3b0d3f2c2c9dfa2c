"""The tensors of `torch_backend`: parameters as one vector, and scratch for the outputs and error terms of a block.

Views are made once, since making one costs as much as a small product.

Tests: `tests/backends/test_torch_backend.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from backends.base import Network, Params

TRANSPOSED_WEIGHTS, TRANSPOSED_INPUTS, TRANSPOSED_ROWS = 256, 128, 2048
"""In float64, gradients of a layer are computed transposed if it has this many weights or more, this many inputs or
fewer, and the block this many rows or more: torch's BLAS takes 0.6 to 0.9 of the time for ``h g^T`` that it takes for
``g h^T``, and more for many inputs.
"""

MANY_ROWS = 1024
"""From this many rows on, multiplying gradients by the weights of a single output is faster than all error terms."""


class Vector(NamedTuple):
    """All parameters, or all gradients, in one vector.

    ``layers`` are its views ``[o, i + 1]``, biases last; ``transposed`` their weights alone as ``[i, o]``.
    """

    flat: Tensor
    layers: list[Tensor]
    transposed: list[Tensor]


class Received(NamedTuple):
    """Gradients from a message; the views of a `Vector` are made when they are asked for: an update needs none."""

    flat: Tensor
    vector: Callable[[Tensor], Vector]

    @property
    def layers(self) -> list[Tensor]:
        """Views ``[o, i + 1]``, biases last."""
        return self.vector(self.flat).layers


class Trained(NamedTuple):
    """The params of this backend: a `Vector`, and the optimiser's moments, vectors like ``flat``.

    ``updates []`` counts its updates, on the device, where a fused kernel reads it.
    """

    flat: Tensor
    layers: list[Tensor]
    transposed: list[Tensor]
    moments: list[Tensor]
    updates: Tensor


class Outputs(NamedTuple):
    """Every layer's output ``h [size, rows]`` of one block.

    ``with_ones [size + 1, rows]`` is the same memory and a last row of ones (predicted has none), ``transposed`` that.
    """

    h: list[Tensor]
    with_ones: list[Tensor]
    transposed: list[Tensor]


class Scratch(NamedTuple):
    """Tensors for one block.

    Attributes:
        outputs: of every layer, if no tape holds them.
        g: error terms ``[size, rows]`` of every layer.
        flat_error: a view of the last layer's.
        late_weights: whether the only hidden layer's are computed without the weights of a single output, which their
            sums over all rows are multiplied by. Then ``g`` are the memory of ``outputs``.
        gradients: of the block.
        transposed_gradients: ``[i + 1, o]`` for layers whose gradients are computed transposed, ``None`` for others.
    """

    outputs: Outputs
    g: list[Tensor]
    flat_error: Tensor
    late_weights: bool
    gradients: Vector
    transposed_gradients: list[Tensor | None]


class Kept(threading.local):
    """Each thread's scratch, by rows of a block. It is used for one block after the other, so it stays in cache."""

    def __init__(self) -> None:
        self.scratch: dict[int, Scratch] = {}


class Workspace:
    """Makes the tensors of one network, and keeps those that every step needs.

    Kept tensors may be written in any mode of torch, whichever they were made in.

    Args:
        network: whose parameters and layers it is for.
        kind: ``dtype`` and ``device`` of the tensors.
    """

    def __init__(self, network: Network, kind: dict[str, Any]) -> None:
        self.network = network
        self._kind = kind
        self._kept = Kept()
        self._totals: dict[int, Vector] = {}

    def vector(self, flat: Tensor) -> Vector:
        """Return a vector of all parameters with its views."""
        shapes = [(o, i + 1) for o, i in self.network.layer_shapes]
        parts = flat.split([o * i for o, i in shapes])
        layers = [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
        return Vector(flat, layers, [view[:, :-1].T for view in layers])

    def empty_vector(self) -> Vector:
        """Return a new vector of parameters or gradients."""
        return self.vector(torch.empty(self.network.parameter_count, **self._kind))

    def placed_vector(self, params: Params) -> Vector:
        """Return a new vector of host parameters."""
        vector = self.empty_vector()
        for view, (w, b) in zip(vector.layers, params, strict=True):
            view[:, :-1] = torch.from_numpy(w)
            view[:, -1] = torch.from_numpy(b)
        return vector

    def outputs(self, rows: int) -> Outputs:
        """Return new memory for the outputs of a block of that many rows."""
        hidden = [torch.empty(size + 1, rows, **self._kind) for size in self.network.sizes[1:-1]]
        for h in hidden:
            h[-1] = 1
        predicted = torch.empty(self.network.outputs, rows, **self._kind)
        return Outputs([*(h[:-1] for h in hidden), predicted], [*hidden, predicted], [h.T for h in hidden])

    def scratch(self, rows: int) -> Scratch:
        """Return this thread's scratch for blocks of ``rows`` rows, kept between steps."""
        kept = self._kept.scratch
        if rows not in kept:
            with torch.inference_mode(False):
                outputs, sizes = self.outputs(rows), self.network.sizes
                one_output = len(sizes) == 3 and sizes[2] == 1 and self.network.loss == "mse"
                late_weights = one_output and rows >= MANY_ROWS
                g = outputs.h if late_weights else [torch.empty(size, rows, **self._kind) for size in sizes[1:]]
                transposed_gradients = [self._transposed_gradients(o, i, rows) for o, i in self.network.layer_shapes]
                gradients = self.empty_vector()
                kept[rows] = Scratch(outputs, g, g[-1].view(-1), late_weights, gradients, transposed_gradients)
        return kept[rows]

    def _transposed_gradients(self, o: int, i: int, rows: int) -> Tensor | None:
        """Return a tensor for the transposed gradients of a layer, ``None`` if they are not computed so."""
        many = rows >= TRANSPOSED_ROWS and o > 1 and o * i >= TRANSPOSED_WEIGHTS and i <= TRANSPOSED_INPUTS
        transposed_gradients = many and self._kind["dtype"] == torch.float64 and self._kind["device"] == "cpu"
        return torch.empty(i + 1, o, **self._kind) if transposed_gradients else None

    def total(self, run: int) -> Vector:
        """Return the vector that the gradients of a run of blocks add up in, kept between steps."""
        if run not in self._totals:
            with torch.inference_mode(False):
                self._totals[run] = self.empty_vector()
        return self._totals[run]
