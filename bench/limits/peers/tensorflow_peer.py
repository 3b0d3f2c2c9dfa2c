"""TensorFlow: variables, `GradientTape`, and `tf.function` compiled by XLA.

Tests: `tests/bench/limits/test_peers.py`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from backends import Adam, Layer, Momentum, Network, Optimizer, Params
from backends.base import Array, Capabilities, State
from bench.limits.peers.peer import ACTIVATIONS, LOSSES, OPTIMIZERS, Batch, Peer

logging.getLogger("tensorflow").setLevel("ERROR")  # it warns of each new shape

FUNCTIONS = {"tanh": tf.tanh, "relu": tf.nn.relu, "sigmoid": tf.sigmoid, "identity": tf.identity}


@dataclass
class Training:
    """Weights and biases of each layer, what the optimiser keeps of each array, and the number of updates."""

    layers: list[tuple[Any, Any]]
    moments: list[list[Any]]
    updates: Any


def train_step(network: Network, rule: Optimizer) -> Any:
    """Return a step compiled by XLA, which takes X, Y and the rate and returns the loss before it."""

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator]
    def step(layers: Any, moments: Any, updates: Any, x: Any, y: Any, learning_rate: Any) -> Any:
        with tf.GradientTape() as tape:
            h = x
            for w, b in layers[:-1]:
                h = FUNCTIONS[network.activation](tf.matmul(h, w) + b)
            w, b = layers[-1]
            predicted = tf.matmul(h, w) + b
            if network.loss == "cross-entropy":
                loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(y, predicted))
            else:
                loss = tf.reduce_mean(tf.square(predicted - y))
        variables = tf.nest.flatten(layers)
        gradients = tape.gradient(loss, variables)
        t = tf.cast(updates.assign_add(1), x.dtype)
        for k, (variable, gradient) in enumerate(zip(variables, gradients, strict=True)):
            if isinstance(rule, Adam):
                m = moments[0][k].assign(rule.beta1 * moments[0][k] + (1 - rule.beta1) * gradient)
                v = moments[1][k].assign(rule.beta2 * moments[1][k] + (1 - rule.beta2) * gradient * gradient)
                corrected = m / (1 - tf.cast(rule.beta1, x.dtype) ** t)
                root = tf.sqrt(v / (1 - tf.cast(rule.beta2, x.dtype) ** t)) + rule.epsilon
                variable.assign_sub(learning_rate * (corrected / root + rule.weight_decay * variable))
            elif isinstance(rule, Momentum):
                variable.assign_sub(learning_rate * moments[0][k].assign(rule.momentum * moments[0][k] + gradient))
            else:
                variable.assign_sub(learning_rate * gradient)
        return loss

    return step


class TensorFlowPeer(Peer):
    """TensorFlow with XLA."""

    name = "tensorflow"
    capabilities = Capabilities(
        compiles=True, activations=ACTIVATIONS, losses=LOSSES, optimizers=OPTIMIZERS, minibatches=True
    )

    def __init__(
        self, network: Network, dtype: str = "float32", device: str = "cpu", optimizer: Optimizer | None = None
    ) -> None:
        super().__init__(network, dtype, device, optimizer)
        self._step = train_step(network, self.optimizer)
        self._loss: Any = None
        self._rates: dict[float, Any] = {}

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Training:
        layers = [(tf.Variable(w.T), tf.Variable(b)) for w, b in self.host_params(params)]
        arrays = tf.nest.flatten(layers)
        moments = [[tf.Variable(tf.zeros_like(array)) for array in arrays] for _ in self.optimizer.moments]
        return Training(layers, moments, tf.Variable(0))

    def place_arrays(self, x: Array, y: Array) -> tuple[Any, Any]:
        return tf.constant(x), tf.constant(y)

    def rows_of(self, array: Any, rows: Any) -> Any:
        return array[rows] if isinstance(rows, slice) else tf.gather(array, rows)

    def step(self, params: Training, batch: Batch, learning_rate: float) -> tuple[Training, Any]:
        if learning_rate not in self._rates:
            self._rates = {learning_rate: tf.constant(learning_rate, self.dtype)}
        rate, (layers, moments) = self._rates[learning_rate], (params.layers, params.moments)
        self._loss = self._step(layers, moments, params.updates, batch.x, batch.y, rate)
        return params, self._loss

    def fetch_layers(self, params: Training) -> Params:
        return tuple(Layer(w.numpy().T.copy(), b.numpy().copy()) for w, b in params.layers)

    def fetch_moments(self, params: Training) -> tuple[int, list[Params]]:
        moments = [
            tuple(Layer(w.numpy().T.copy(), b.numpy().copy()) for w, b in zip(of[::2], of[1::2], strict=True))
            for of in params.moments
        ]
        return int(params.updates.numpy()), moments

    def synchronize(self) -> None:
        if self._loss is not None:
            self._loss.numpy()

    def describe(self) -> dict[str, str | int]:
        return {**super().describe(), "framework": f"tensorflow {tf.__version__}"}
