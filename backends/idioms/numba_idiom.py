"""The network in numba as its documentation would write it: plain loops, `njit`, `prange` over rows.

Tests: `tests/backends/idioms/test_idioms.py`, `tests/backends/test_optimizers.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba import njit, prange

from backends.base import Adam, Array, Capabilities, Layer, Momentum, Params
from backends.idioms.numpy_idiom import Batch, NumpyIdiom, Tape, Trained

IDENTITY, TANH, RELU, SIGMOID = range(4)
ACTIVATIONS = {"tanh": TANH, "relu": RELU, "sigmoid": SIGMOID, "identity": IDENTITY}


@njit(cache=True)
def activate(activation: int, z: Any) -> Any:
    """Return the activation of a number."""
    if activation == TANH:
        return math.tanh(z)
    if activation == RELU:
        return max(z, type(z)(0))
    if activation == SIGMOID:
        return type(z)(1) / (type(z)(1) + math.exp(-z)) if z > 0 else math.exp(z) / (type(z)(1) + math.exp(z))
    return z


@njit(cache=True)
def slope(activation: int, h: Any) -> Any:
    """Return the derivative of the activation whose output is ``h``."""
    one, zero = type(h)(1), type(h)(0)
    if activation == TANH:
        return one - h * h
    if activation == RELU:
        return one if h > zero else zero
    if activation == SIGMOID:
        return h * (one - h)
    return one


@njit(parallel=True, cache=True)
def dense(x: Array, w: Array, b: Array, activation: int) -> Array:
    """Return the activation of ``x w^T + b``."""
    n, i = x.shape
    o = w.shape[0]
    h = np.empty((n, o), x.dtype)
    for r in prange(n):
        for u in range(o):
            z = b[u]
            for j in range(i):
                z += x[r, j] * w[u, j]
            h[r, u] = activate(activation, z)
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
def cross_entropy(predicted: Array, y: Array) -> tuple[Any, Array]:
    """Return the loss of the softmax, and its derivative by what was predicted."""
    n, o = y.shape
    rows = y.dtype.type(n)
    g = np.empty((n, o), y.dtype)
    total = y.dtype.type(0)
    for r in prange(n):
        largest = predicted[r].max()
        exponentials = y.dtype.type(0)
        for u in range(o):
            g[r, u] = math.exp(predicted[r, u] - largest)
            exponentials += g[r, u]
        log_sum = math.log(exponentials)
        of_row = y.dtype.type(0)
        for u in range(o):
            of_row += y[r, u] * (log_sum - (predicted[r, u] - largest))
            g[r, u] = (g[r, u] / exponentials - y[r, u]) / rows
        total += of_row
    return total / rows, g


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
def error_below(g: Array, w: Array, h: Array, activation: int) -> Array:
    """Return ``g w`` times the slope at ``h``."""
    n, o = g.shape
    i = w.shape[1]
    below = np.empty((n, i), g.dtype)
    for r in prange(n):
        for j in range(i):
            s = g.dtype.type(0)
            for u in range(o):
                s += g[r, u] * w[u, j]
            below[r, j] = s * slope(activation, h[r, j])
    return below


@njit(cache=True)
def descend_with_momentum(w: Array, g: Array, v: Array, eta: Any, momentum: Any) -> None:
    """Move parameters and velocity, flat, by one update."""
    for k in range(w.size):
        v[k] = momentum * v[k] + g[k]
        w[k] -= eta * v[k]


@njit(cache=True)
def adam(w: Array, g: Array, m: Array, v: Array, eta: Any, settings: Array) -> None:
    """Move parameters and moments, flat, by one update.

    ``settings``: beta1, 1 - beta1, beta2, 1 - beta2, 1 - beta1^t, 1 - beta2^t, epsilon, weight decay.
    """
    beta1, rest1, beta2, rest2, correction1, correction2, epsilon, decay = settings
    for k in range(w.size):
        m[k] = beta1 * m[k] + rest1 * g[k]
        v[k] = beta2 * v[k] + rest2 * (g[k] * g[k])
        step = (m[k] / correction1) / (math.sqrt(v[k] / correction2) + epsilon)
        w[k] -= eta * (step + decay * w[k])


class NumbaIdiom(NumpyIdiom):
    """numba, plain loops; params, mini-batches and state as in `NumpyIdiom`."""

    name = "numba-idiom"
    # The loss is a sum over threads, in whatever order they finish.
    capabilities = Capabilities(
        deterministic=frozenset(),
        compiles=True,
        activations=tuple(ACTIVATIONS),
        losses=("mse", "cross-entropy"),
        optimizers=("descent", "momentum", "adam"),
        minibatches=True,
    )

    def forward(self, params: Trained, batch: Batch) -> Tape:
        hidden, h = ACTIVATIONS[self.network.activation], batch.x
        tape = Tape([], [])
        for k, (w, b) in enumerate(params.layers, start=1):
            h = dense(h, w, b, hidden if k < len(params.layers) else IDENTITY)
            tape.h.append(h)
        return tape

    def backward(self, params: Trained, batch: Batch, tape: Tape) -> tuple[Any, Params]:
        activation = ACTIVATIONS[self.network.activation]
        loss, g = (squared_error if self.network.loss == "mse" else cross_entropy)(tape.h[-1], batch.y)
        gradients = []
        for k in range(len(params.layers) - 1, -1, -1):
            h = tape.h[k - 1] if k else batch.x
            gradients.append(Layer(*layer_gradients(g, h)))
            if k:
                g = error_below(g, params.layers[k].weights, h, activation)
        return loss, tuple(reversed(gradients))

    def update(self, params: Trained, gradients: Params, learning_rate: float) -> Trained:
        real = np.dtype(self.dtype).type
        eta, rule = real(self.checked_rate(learning_rate)), self.optimizer
        t = params.updates + rule.counts_updates
        for layer, of_layer, *moments in zip(params.layers, gradients, *params.moments, strict=True):
            for w, g, *kept in zip(layer, of_layer, *moments, strict=True):
                if isinstance(rule, Adam):
                    betas = (rule.beta1, 1 - rule.beta1, rule.beta2, 1 - rule.beta2)
                    settings = np.array([*betas, *rule.corrections(t), rule.epsilon, rule.weight_decay], real)
                    m, v = (array.ravel() for array in kept)
                    adam(w.ravel(), g.ravel(), m, v, eta, settings)
                elif isinstance(rule, Momentum):
                    descend_with_momentum(w.ravel(), g.ravel(), kept[0].ravel(), eta, real(rule.momentum))
                else:
                    w -= eta * g
        return Trained(params.layers, params.moments, t)

    def describe(self) -> dict[str, str | int]:
        return {
            **super().describe(),
            "framework": f"numba {numba.__version__}",
            "threads": numba.get_num_threads(),
        }
