"""Keras: a `Sequential` of `Dense`, compiled with its optimizer and loss, one `train_on_batch` a step.

Keras computes on another framework, which it chooses when it is first imported: import this module through
`bench.limits.peers.keras_on_jax` or `bench.limits.peers.keras_on_tensorflow`.

Not Adam: Keras adds epsilon before it corrects the second moment, so that its steps are others than those of torch and
optax.

Tests: `tests/bench/limits/test_peers.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from backends import Layer, Momentum, Params
from backends.base import Array, Capabilities, State
from bench.limits.peers.peer import ACTIVATIONS, LOSSES, Batch, Peer

logging.getLogger("tensorflow").setLevel("ERROR")  # it warns of each new shape


FUNCTIONS = {"tanh": "tanh", "relu": "relu", "sigmoid": "sigmoid", "identity": "linear"}


@dataclass
class Training:
    """A compiled model, and the rate that its optimizer was last given."""

    model: Any
    learning_rate: float = 0.0


class KerasPeer(Peer):
    """Keras, whatever it computes on."""

    name = "keras"
    capabilities = Capabilities(
        compiles=True, activations=ACTIVATIONS, losses=LOSSES, optimizers=("descent", "momentum"), minibatches=True
    )

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Training:
        host = self.host_params(params)
        keras.backend.set_floatx(self.dtype)  # of the loss and the inputs; the layers' own dtype is not enough
        layers: list[Any] = [keras.layers.Input((self.network.inputs,), dtype=self.dtype)]
        for k, (_, b) in enumerate(host, start=1):
            activation = FUNCTIONS[self.network.activation] if k < len(host) else None
            layers.append(keras.layers.Dense(len(b), activation=activation, dtype=self.dtype))
        model = keras.Sequential(layers)
        model.set_weights([array for w, b in host for array in (w.T, b)])
        model.compile(optimizer=self._optimizer(), loss=self._loss())
        return Training(model)

    def _optimizer(self) -> Any:
        rule = self.optimizer
        return keras.optimizers.SGD(0.0, momentum=rule.momentum if isinstance(rule, Momentum) else 0.0)

    def _loss(self) -> Any:
        if self.network.loss == "cross-entropy":
            return keras.losses.CategoricalCrossentropy(from_logits=True)
        return "mean_squared_error"

    def rows_of(self, array: Any, rows: Any) -> Any:
        return array[rows] if isinstance(rows, slice) else keras.ops.take(array, rows, axis=0)

    def place_arrays(self, x: Array, y: Array) -> tuple[Any, Any]:
        return keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)

    def step(self, params: Training, batch: Batch, learning_rate: float) -> tuple[Training, Any]:
        if params.learning_rate != learning_rate:
            params.model.optimizer.learning_rate = params.learning_rate = learning_rate
        return params, params.model.train_on_batch(batch.x, batch.y)

    def fetch_layers(self, params: Training) -> Params:
        arrays = params.model.get_weights()
        return tuple(Layer(w.T.copy(), b.copy()) for w, b in zip(arrays[::2], arrays[1::2], strict=True))

    def fetch_moments(self, params: Training) -> tuple[int, list[Params]]:
        scale = -1 / params.learning_rate if params.learning_rate else 0.0  # Keras adds rate times gradient, negative
        arrays = [scale * np.array(array) for array in getattr(params.model.optimizer, "momentums", ())] or [
            np.zeros_like(array) for array in params.model.get_weights()
        ]
        return 0, [tuple(Layer(w.T.copy(), b) for w, b in zip(arrays[::2], arrays[1::2], strict=True))]

    def describe(self) -> dict[str, str | int]:
        return {**super().describe(), "framework": f"keras {keras.__version__} on {keras.backend.backend()}"}
