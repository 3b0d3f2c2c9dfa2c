"""Placeholder until the jitted loops land.

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Backend, Capabilities, Layer, Network, Params

BLOCK_ROWS = 8192


class Batch(NamedTuple):
    """Inputs ``[i, n]`` and targets ``[o, n]``, feature-major."""

    x: Array
    y: Array


class NumbaBackend(Backend):
    """Plain numpy."""

    name = "numba"
    capabilities = Capabilities(deterministic=frozenset({"process", "processes"}))

    def place_params(self, params: Sequence[Layer]) -> Params:
        return self.host_params(params)

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        x, y = self.host_batch(inputs, targets)
        return Batch(x.T.copy(), y.T.copy())

    def forward(self, params: Params, batch: Batch) -> list[Array]:
        h = batch.x
        tape = []
        for w, b in params:
            h = w @ h
            h += b[:, None]
            if len(tape) < len(params) - 1:
                np.tanh(h, out=h)
            tape.append(h)
        return tape

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        g = tape[-1] - batch.y
        loss = float(np.vdot(g, g) / g.size)
        g *= 2 / g.size
        gradients = []
        for l in range(len(params) - 1, -1, -1):
            h = tape[l - 1] if l else batch.x
            gradients.append(Layer(g @ h.T, g.sum(axis=1)))
            if l:
                g = params[l].weights.T @ g
                g *= 1 - h * h
        return loss, tuple(reversed(gradients))

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        for (w, b), (dw, db) in zip(params, gradients, strict=True):
            w -= dw * w.dtype.type(learning_rate)
            b -= db * b.dtype.type(learning_rate)
        return params

    def outputs(self, tape: list[Array]) -> tuple[Array, ...]:
        return tuple(h.T.copy() for h in tape)

    def fetch(self, params: Params) -> Params:
        return tuple(Layer(w.copy(), b.copy()) for w, b in params)
