"""A plain correct backend: the mathematics line by line in numpy, one method a line, so that one can be replaced.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Backend, Capabilities, Layer, Params, State

Batch = tuple[Array, Array]


class Plain(Backend):
    """Correct, row-major and unhurried: the body of every mutant."""

    name = "plain"
    capabilities = Capabilities()

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Params:
        """Copy."""
        return self.host_params(params)

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Copy."""
        x, y = self.host_batch(inputs, targets)
        return x.copy(), y.copy()

    def product(self, a: Array, b: Array) -> Array:
        """Return ``a @ b``; every matrix product goes through here."""
        return np.asarray(a @ b)

    def tanh(self, z: Array) -> Array:
        """Return tanh."""
        return np.asarray(np.tanh(z))

    def slope(self, h: Array) -> Array:
        """Return tanh' from the stored output."""
        return np.asarray(1 - h * h)

    def loss_of(self, predicted: Array, y: Array) -> float:
        """Return the mean squared error."""
        return float(((predicted - y) ** 2).mean())

    def error_term(self, predicted: Array, y: Array) -> Array:
        """Return ``g`` of the output layer."""
        return np.asarray((predicted - y) * predicted.dtype.type(2 / y.size))

    def forward(self, params: Params, batch: Batch) -> list[Array]:
        """Return every layer's output."""
        tape: list[Array] = []
        for k, (w, b) in enumerate(params, start=1):
            z = self.product(tape[-1] if tape else batch[0], w.T) + b
            tape.append(z if k == len(params) else self.tanh(z))
        return tape

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        """Return loss and gradients."""
        x, y = batch
        loss = self.loss_of(tape[-1], y)
        g = self.error_term(tape[-1], y)
        gradients = []
        for k in range(len(params) - 1, -1, -1):
            gradients.append(Layer(self.product(g.T, tape[k - 1] if k else x), g.sum(axis=0)))
            if k:
                g = self.product(g, params[k].weights) * self.slope(tape[k - 1])
        return loss, tuple(reversed(gradients))

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        """Return new arrays."""
        rate = np.dtype(self.dtype).type(learning_rate)
        return tuple(Layer(w - rate * dw, b - rate * db) for (w, b), (dw, db) in zip(params, gradients, strict=True))

    def outputs(self, tape: list[Array]) -> tuple[Array, ...]:
        """Return copies."""
        return tuple(h.copy() for h in tape)

    def fetch(self, params: Params) -> Params:
        """Return copies."""
        return tuple(Layer(w.copy(), b.copy()) for w, b in params)
