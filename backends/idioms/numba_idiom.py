"""The network in numba as its documentation would write it: plain loops, `njit`, `prange` over rows.

Tests: `tests/backends/idioms/test_idioms.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numba import njit, prange
from numpy.typing import ArrayLike

from backends.base import Array, Backend, Capabilities, Layer, Params, State
from backends.idioms.numpy_idiom import Batch


@njit(parallel=True, cache=True)
def dense(x: Array, w: Array, b: Array, hidden: bool) -> Array:
    """Return ``tanh(x w^T + b)``, without tanh if the layer is not hidden."""
    n, i = x.shape
    o = w.shape[0]
    h = np.empty((n, o), x.dtype)
    for r in prange(n):
        for u in range(o):
            z = b[u]
            for j in range(i):
                z += x[r, j] * w[u, j]
            h[r, u] = math.tanh(z) if hidden else z
    return h


@njit(parallel=True, cache=True)
def squared_error(predicted: Array, y: Array) -> tuple[Any, Array]:
    """Return the loss, and its derivative by what was predicted."""
    n, o = y.shape
    size = y.dtype.type(n * o)
    g = np.empty((n, o), y.dtype)
    total = y.dtype.type(0)
    for r in prange(n):
        for u in range(o):
            error = predicted[r, u] - y[r, u]
            total += error * error
            g[r, u] = error * y.dtype.type(2) / size
    return total / size, g


@njit(parallel=True, cache=True)
def layer_gradients(g: Array, h: Array) -> tuple[Array, Array]:
    """Return ``g^T h`` and the sum of ``g`` over rows."""
    n, o = g.shape
    i = h.shape[1]
    dw = np.zeros((o, i), g.dtype)
    db = np.zeros(o, g.dtype)
    for u in prange(o):
        for r in range(n):
            db[u] += g[r, u]
            for j in range(i):
                dw[u, j] += g[r, u] * h[r, j]
    return dw, db


@njit(parallel=True, cache=True)
def error_below(g: Array, w: Array, h: Array) -> Array:
    """Return ``(g w) (1 - h^2)``."""
    n, o = g.shape
    i = w.shape[1]
    below = np.empty((n, i), g.dtype)
    for r in prange(n):
        for j in range(i):
            s = g.dtype.type(0)
            for u in range(o):
                s += g[r, u] * w[u, j]
            below[r, j] = s * (g.dtype.type(1) - h[r, j] * h[r, j])
    return below


class NumbaIdiom(Backend):
    """numba, plain loops."""

    name = "numba-idiom"
    # The loss is a sum over threads, in whatever order they finish.
    capabilities = Capabilities(deterministic=frozenset(), compiles=True)

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Params:
        self.host_state(state)
        return self.host_params(params)

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        return Batch(*(array.copy() for array in self.host_batch(inputs, targets)))

    def forward(self, params: Params, batch: Batch) -> list[Array]:
        tape: list[Array] = []
        for k, (w, b) in enumerate(params, start=1):
            tape.append(dense(tape[-1] if tape else batch.x, w, b, k < len(params)))
        return tape

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[Any, Params]:
        loss, g = squared_error(tape[-1], batch.y)
        gradients = []
        for k in range(len(params) - 1, -1, -1):
            h = tape[k - 1] if k else batch.x
            gradients.append(Layer(*layer_gradients(g, h)))
            if k:
                g = error_below(g, params[k].weights, h)
        return loss, tuple(reversed(gradients))

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        eta = np.dtype(self.dtype).type(learning_rate)
        for (w, b), (dw, db) in zip(params, gradients, strict=True):
            w -= eta * dw
            b -= eta * db
        return params

    def outputs(self, tape: list[Array]) -> tuple[Array, ...]:
        return tuple(h.copy() for h in tape)

    def fetch(self, params: Params) -> Params:
        return tuple(Layer(w.copy(), b.copy()) for w, b in params)

    def describe(self) -> dict[str, str | int]:
        return {
            **super().describe(),
            "framework": f"numba {numba.__version__}",
            "threads": numba.get_num_threads(),
        }
