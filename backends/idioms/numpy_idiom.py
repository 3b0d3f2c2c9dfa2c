"""The network in numpy as the tutorial writes it, with the right sign and the factor of the mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Backend, Layer, Params


class Batch(NamedTuple):
    """Inputs ``[n, i]`` and targets ``[n, o]``."""

    x: Array
    y: Array


class Tape(NamedTuple):
    """Of each layer the linear output ``[n, o]`` and the output after its activation."""

    z: list[Array]
    h: list[Array]


def activation(z: Array) -> Array:
    """Return the hidden layers' activation."""
    return np.tanh(z)


def activation_deriv(z: Array) -> Array:
    """Return its derivative, from the linear output as the tutorial does."""
    return 1 - np.tanh(z) ** 2


def linear(x: Array, w: Array, b: Array) -> Array:
    """Return what a layer hands to its activation."""
    return np.dot(x, w.T) + b  # type: ignore[no-any-return]


class NumpyIdiom(Backend):
    """numpy, line by line."""

    name = "numpy-idiom"

    def place_params(self, params: Sequence[Layer]) -> Params:
        return self.host_params(params)

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        return Batch(*(array.copy() for array in self.host_batch(inputs, targets)))

    def forward(self, params: Params, batch: Batch) -> Tape:
        tape, h = Tape([], []), batch.x
        for k, (w, b) in enumerate(params, start=1):
            z = linear(h, w, b)
            h = z if k == len(params) else activation(z)
            tape.z.append(z)
            tape.h.append(h)
        return tape

    def backward(self, params: Params, batch: Batch, tape: Tape) -> tuple[Array, Params]:
        error = tape.h[-1] - batch.y
        loss = np.mean(error**2)
        g = 2 * error / error.size
        gradients = []
        for k in range(len(params) - 1, -1, -1):
            h = tape.h[k - 1] if k else batch.x
            gradients.append(Layer(g.T.dot(h), g.sum(axis=0)))
            if k:
                g = g.dot(params[k].weights) * activation_deriv(tape.z[k - 1])
        return loss, tuple(reversed(gradients))

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        eta = np.dtype(self.dtype).type(learning_rate)
        for (w, b), (dw, db) in zip(params, gradients, strict=True):
            w -= dw * eta
            b -= db * eta
        return params

    def outputs(self, tape: Tape) -> tuple[Array, ...]:
        return tuple(h.copy() for h in tape.h)

    def fetch(self, params: Params) -> Params:
        return tuple(Layer(w.copy(), b.copy()) for w, b in params)
