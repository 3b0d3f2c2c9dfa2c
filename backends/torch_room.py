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

TURNED_WEIGHTS, TURNED_INPUTS, TURNED_ROWS = 256, 128, 2048
"""The gradients of a layer of so many weights or more, and of so many inputs or fewer, are computed transposed in
float64 from so many rows on: torch's BLAS takes 0.6 to 0.9 of the time for ``h g^T`` that it takes for ``g h^T``, and
more for many inputs.
"""


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
    """Room for one block: outputs, error terms ``[size, rows]`` of every layer, and the gradients.

    ``turned`` has room ``[i + 1, o]`` for those of each layer whose gradients are computed transposed.
    """

    outputs: Outputs
    g: list[Tensor]
    flat_error: Tensor
    gradients: Vector
    turned: list[Tensor | None]


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
                turned = [self._turned(o, i, rows) for o, i in self.network.layer_shapes]
                kept[rows] = Scratch(self.outputs(rows), g, g[-1].view(-1), self.empty_vector(), turned)
        return kept[rows]

    def _turned(self, o: int, i: int, rows: int) -> Tensor | None:
        """Return room for the transposed gradients of a layer if they are computed so."""
        many = rows >= TURNED_ROWS and o > 1 and o * i >= TURNED_WEIGHTS and i <= TURNED_INPUTS
        turned = many and self._kind["dtype"] == torch.float64 and self._kind["device"] == "cpu"
        return torch.empty(i + 1, o, **self._kind) if turned else None

    def total(self, run: int) -> Vector:
        """Return the room for the gradients of a run of blocks, kept between steps."""
        if run not in self._totals:
            with torch.inference_mode(False):
                self._totals[run] = self.empty_vector()
        return self._totals[run]
