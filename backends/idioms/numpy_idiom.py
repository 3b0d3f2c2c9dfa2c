"""The network in numpy as the tutorial writes it, with the right sign and the factor of the mean.

Tests: `tests/backends/idioms/test_idioms.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from backends.base import ACTIVATIONS, LOSSES, OPTIMIZERS, Array, Backend, Capabilities, Layer, Params, State
from backends.host import layers_of


class Batch(NamedTuple):
    """Inputs ``[n, i]`` and targets ``[n, o]``."""

    x: Array
    y: Array


class Tape(NamedTuple):
    """Of each layer the linear output ``[n, o]`` and the output after its activation."""

    z: list[Array]
    h: list[Array]


class Trained(NamedTuple):
    """Parameters, the optimiser's moments, each like the parameters, and the number of its updates."""

    layers: Params
    moments: tuple[Params, ...]
    updates: int


def linear(x: Array, w: Array, b: Array) -> Array:
    """Return what a layer hands to its activation."""
    return np.dot(x, w.T) + b  # type: ignore[no-any-return]


class NumpyIdiom(Backend):
    """numpy, line by line."""

    name = "numpy-idiom"
    capabilities = Capabilities(
        activations=tuple(ACTIVATIONS), losses=tuple(LOSSES), optimizers=tuple(OPTIMIZERS), minibatches=True
    )

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Trained:
        updates, moments = self.host_state(state)
        return Trained(self.host_params(params), tuple(moments.values()), updates)

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        return Batch(*(array.copy() for array in self.host_batch(inputs, targets)))

    def split(self, batch: Batch, rows_per_step: int) -> list[Batch]:
        n = len(batch.x)
        rows = self.checked_rows(rows_per_step, n)
        return [Batch(batch.x[k : k + rows], batch.y[k : k + rows]) for k in range(0, n, rows)]

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        rows = self.checked_order(order, len(batch.x))
        return Batch(batch.x[rows], batch.y[rows])

    def activation(self, z: Array) -> Array:
        """Return the hidden layers' activation."""
        return ACTIVATIONS[self.network.activation].output(z)

    def activation_deriv(self, z: Array) -> Array:
        """Return its derivative, from the linear output as the tutorial does."""
        return ACTIVATIONS[self.network.activation].slope(self.activation(z))

    def forward(self, params: Trained, batch: Batch) -> Tape:
        tape, h = Tape([], []), batch.x
        for k, (w, b) in enumerate(params.layers, start=1):
            z = linear(h, w, b)
            h = z if k == len(params.layers) else self.activation(z)
            tape.z.append(z)
            tape.h.append(h)
        return tape

    def backward(self, params: Trained, batch: Batch, tape: Tape) -> tuple[Array, Params]:
        predicted, terms = tape.h[-1], self.network.loss_terms(len(batch.x))
        loss = LOSSES[self.network.loss].total(predicted, batch.y) / terms
        g = LOSSES[self.network.loss].slope(predicted, batch.y) / terms
        gradients = []
        for k in range(len(params.layers) - 1, -1, -1):
            h = tape.h[k - 1] if k else batch.x
            gradients.append(Layer(g.T.dot(h), g.sum(axis=0)))
            if k:
                g = g.dot(params.layers[k].weights) * self.activation_deriv(tape.z[k - 1])
        return loss, tuple(reversed(gradients))

    def from_message(self, message: Array) -> tuple[Any, Params]:
        return message[-1], layers_of(message, self.network)

    def update(self, params: Trained, gradients: Params, learning_rate: float) -> Trained:
        eta = float(np.dtype(self.dtype).type(self.checked_rate(learning_rate)))
        t = params.updates + self.optimizer.counts_updates
        new = [
            [self.optimizer.advance(w, g, tuple(kept), t, eta) for w, g, *kept in zip(*alike, strict=True)]
            for alike in zip(params.layers, gradients, *params.moments, strict=True)
        ]
        layers = tuple(Layer(*(w for w, _ in layer)) for layer in new)
        numbers = range(len(params.moments))
        moments = tuple(tuple(Layer(*(kept[k] for _, kept in layer)) for layer in new) for k in numbers)
        return Trained(layers, moments, t)

    def outputs(self, tape: Tape) -> tuple[Array, ...]:
        return tuple(h.copy() for h in tape.h)

    def fetch(self, params: Trained | Params) -> Params:
        layers = params.layers if isinstance(params, Trained) else params
        return tuple(Layer(w.copy(), b.copy()) for w, b in layers)

    def fetch_state(self, params: Trained) -> State:
        return State(params.updates, dict(zip(self.optimizer.moments, map(self.fetch, params.moments), strict=True)))
