"""TensorFlow: variables, `GradientTape`, and `tf.function` compiled by XLA.

Tests: `tests/bench/limits/test_peers.py`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from backends import Layer, Network, Params
from backends.base import Array, Capabilities, State
from bench.limits.peers.peer import Batch, Peer

logging.getLogger("tensorflow").setLevel("ERROR")  # it warns of each new shape

Variables = list[tuple[Any, Any]]


@tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
def train_step(params: Variables, x: Any, y: Any, learning_rate: Any) -> Any:
    """Make one step; return the loss before it."""
    with tf.GradientTape() as tape:
        h = x
        for w, b in params[:-1]:
            h = tf.tanh(tf.matmul(h, w) + b)
        w, b = params[-1]
        loss = tf.reduce_mean(tf.square(tf.matmul(h, w) + b - y))
    variables = tf.nest.flatten(params)
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        variable.assign_sub(learning_rate * gradient)
    return loss


class TensorFlowPeer(Peer):
    """TensorFlow with XLA."""

    name = "tensorflow"
    capabilities = Capabilities(compiles=True)

    def __init__(self, network: Network, dtype: str = "float32", device: str = "cpu") -> None:
        super().__init__(network, dtype, device)
        self._loss: Any = None
        self._rates: dict[float, Any] = {}

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Variables:
        return [(tf.Variable(w.T), tf.Variable(b)) for w, b in self.host_params(params)]

    def place_arrays(self, x: Array, y: Array) -> tuple[Any, Any]:
        return tf.constant(x), tf.constant(y)

    def step(self, params: Variables, batch: Batch, learning_rate: float) -> tuple[Variables, Any]:
        if learning_rate not in self._rates:
            self._rates = {learning_rate: tf.constant(learning_rate, self.dtype)}
        self._loss = train_step(params, batch.x, batch.y, self._rates[learning_rate])
        return params, self._loss

    def fetch_layers(self, params: Variables) -> Params:
        return tuple(Layer(w.numpy().T.copy(), b.numpy().copy()) for w, b in params)

    def synchronize(self) -> None:
        if self._loss is not None:
            self._loss.numpy()

    def describe(self) -> dict[str, str | int]:
        return {**super().describe(), "framework": f"tensorflow {tf.__version__}"}
