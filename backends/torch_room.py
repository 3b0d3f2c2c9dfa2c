"""Memory of `torch_backend`: parameters as one vector, and room for the outputs and error terms of a block.

Views are made once: one costs as much as a small product.

Tests: `tests/backends/test_torch_backend.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from backends.base import Network, Params


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
    """Room for one block: outputs, error terms ``[size, rows]`` of every layer, and the gradients."""

    outputs: Outputs
    g: list[Tensor]
    flat_error: Tensor
    gradients: Vector


class Kept(threading.local):
    """Each thread's own scratch by rows of a block, kept from block to block: what is in its cache is used again."""

    def __init__(self) -> None:
        self.scratch: dict[int, Scratch] = {}


class Room:
    """Makes memory of one network. What it keeps may be written in any mode of torch, whichever it was made in.

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
        """Return a new one."""
        return self.vector(torch.empty(self.network.parameter_count, **self._kind))

    def placed_vector(self, params: Params) -> Vector:
        """Return a new one of host parameters."""
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
        """Return this thread's room for a block of that many rows, kept between steps."""
        kept = self._kept.scratch
        if rows not in kept:
            with torch.inference_mode(False):
                g = [torch.empty(size, rows, **self._kind) for size in self.network.sizes[1:]]
                kept[rows] = Scratch(self.outputs(rows), g, g[-1].view(-1), self.empty_vector())
        return kept[rows]

    def total(self, run: int) -> Vector:
        """Return the room for the gradients of a run of blocks, kept between steps."""
        if run not in self._totals:
            with torch.inference_mode(False):
                self._totals[run] = self.empty_vector()
        return self._totals[run]
