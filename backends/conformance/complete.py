"""A plain correct backend with everything the contract has: every activation, loss and optimiser, and mini-batches.

Tests: `tests/backends/conformance/test_workload_claims.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from backends.base import ACTIVATIONS, LOSSES, OPTIMIZERS, Array, Capabilities, Layer, Params, State
from backends.conformance.plain import Batch, Plain


class Trained(NamedTuple):
    """The params of this backend: parameters, each moment in their form, and the number of updates."""

    layers: Params
    moments: tuple[Params, ...]
    updates: int


class Complete(Plain):
    """Correct and unhurried: the body of the mutants of activations, losses, optimisers and mini-batches."""

    name = "complete"
    capabilities = Capabilities(
        activations=tuple(ACTIVATIONS), losses=tuple(LOSSES), optimizers=tuple(OPTIMIZERS), minibatches=True
    )

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Copy parameters and state."""
        updates, moments = self.host_state(state)
        return Trained(self.host_params(params), tuple(moments.values()), updates)

    def tanh(self, z: Array) -> Array:
        """Return the network's activation."""
        return np.asarray(ACTIVATIONS[self.network.activation].output(z))

    def slope(self, h: Array) -> Array:
        """Return its derivative."""
        return np.asarray(ACTIVATIONS[self.network.activation].slope(h))

    def loss_of(self, predicted: Array, y: Array) -> float:
        """Return the network's loss."""
        return float(LOSSES[self.network.loss].total(predicted, y) / self.network.loss_terms(len(y)))

    def error_term(self, predicted: Array, y: Array) -> Array:
        """Return its derivative."""
        terms = predicted.dtype.type(self.network.loss_terms(len(y)))
        return np.asarray(LOSSES[self.network.loss].slope(predicted, y) / terms)

    def forward(self, params: Any, batch: Batch) -> list[Array]:
        """Return every layer's output."""
        return super().forward(params.layers, batch)

    def backward(self, params: Any, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        """Return loss and gradients."""
        return super().backward(params.layers, batch, tape)

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        """Return the new parameters and moments of one array."""
        return self.optimizer.advance(w, g, moments, t, rate)

    def update(self, params: Any, gradients: Params, learning_rate: float) -> Any:
        """Return new arrays."""
        rate, t = np.dtype(self.dtype).type(learning_rate), params.updates + self.optimizer.counts_updates
        new = [
            [
                self.advance(w, g, kept, t, rate)
                for w, g, *moments in zip(layer, by, *(m[k] for m in params.moments), strict=True)
                for kept in [tuple(moments)]
            ]
            for k, (layer, by) in enumerate(zip(params.layers, gradients, strict=True))
        ]
        layers = tuple(Layer(*(w for w, _ in layer)) for layer in new)
        count = len(params.moments)
        moments = tuple(tuple(Layer(*(kept[k] for _, kept in layer)) for layer in new) for k in range(count))
        return Trained(layers, moments, t)

    def fetch(self, params: Any) -> Params:
        """Return copies."""
        return super().fetch(params.layers if isinstance(params, Trained) else params)

    def fetch_state(self, params: Any) -> State:
        """Return copies."""
        moments = {
            name: super(Complete, self).fetch(m) for name, m in zip(self.optimizer.moments, params.moments, strict=True)
        }
        return State(params.updates, moments)

    def split(self, batch: Batch, rows_per_step: int) -> list[Batch]:
        """Return slices."""
        x, y = batch
        rows = self.checked_rows(rows_per_step, len(x))
        return [(x[k : k + rows], y[k : k + rows]) for k in range(0, len(x), rows)]

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        """Return copies."""
        rows = self.checked_order(order, len(batch[0]))
        return batch[0][rows], batch[1][rows]
