"""MLX on the CPU, as its documentation trains a model: `nn.value_and_grad` and an optimizer inside `mx.compile`.

On the CPU MLX compiles its fused kernels with the system's C++ compiler; where there is none, the step runs as single
operations.

Tests: `tests/bench/limits/test_peers.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np

from backends import Adam, Layer, Momentum, Network, Optimizer, Params
from backends.base import Array, Capabilities, State
from bench.limits.peers.peer import ACTIVATIONS, LOSSES, OPTIMIZERS, Batch, Peer

COMPILER = "g++"


FUNCTIONS = {"tanh": mx.tanh, "relu": nn.relu, "sigmoid": mx.sigmoid, "identity": lambda z: z}


class Model(nn.Module):  # type: ignore[misc]
    """Dense layers, the activation on all but the last."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._activation, self._loss = FUNCTIONS[network.activation], network.loss
        self.layers = [nn.Linear(i, o) for i, o in pairwise(network.sizes)]

    def __call__(self, x: Any) -> Any:
        """Return what is predicted."""
        for layer in self.layers[:-1]:
            x = self._activation(layer(x))
        return self.layers[-1](x)

    def error(self, x: Any, y: Any) -> Any:
        """Return the loss."""
        if self._loss == "cross-entropy":
            return nn.losses.cross_entropy(self(x), y, reduction="mean")
        return mx.mean((self(x) - y) ** 2)


@dataclass
class Training:
    """A model, and the step of the latest learning rate."""

    model: Model
    steps: dict[float, Callable[[Any, Any], Any]] = field(default_factory=dict)
    optimizer: Any = None


class MlxPeer(Peer):
    """MLX."""

    name = "mlx"
    capabilities = Capabilities(
        compiles=True, activations=ACTIVATIONS, losses=LOSSES, optimizers=OPTIMIZERS, minibatches=True
    )

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        mx.set_default_device(mx.cpu)
        super().__init__(*arguments, **settings)

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Training:
        model = Model(self.network)
        for layer, (w, b) in zip(model.layers, self.host_params(params), strict=True):
            layer.weight, layer.bias = self._array(w), self._array(b)
        mx.eval(model.state)
        return Training(model)

    def place_arrays(self, x: Array, y: Array) -> tuple[Any, Any]:
        arrays = self._array(x), self._array(y)
        mx.eval(*arrays)
        return arrays

    def rows_of(self, array: Any, rows: Any) -> Any:
        return array[rows if isinstance(rows, slice) else mx.array(rows)]

    def step(self, params: Training, batch: Batch, learning_rate: float) -> tuple[Training, Any]:
        if learning_rate not in params.steps:
            params.optimizer = _optimizer(self.optimizer, learning_rate)
            params.steps = {learning_rate: _train_step(params.model, params.optimizer)}
        loss = params.steps[learning_rate](batch.x, batch.y)
        mx.eval(loss, params.model.state)  # MLX computes when asked: here, so that no step is put off
        return params, loss

    def fetch_layers(self, params: Training) -> Params:
        return tuple(Layer(np.array(layer.weight), np.array(layer.bias)) for layer in params.model.layers)

    def fetch_moments(self, params: Training) -> tuple[int, list[Params]]:
        if params.optimizer is None:  # not one step yet
            zeros = tuple(Layer(np.zeros_like(w), np.zeros_like(b)) for w, b in self.fetch_layers(params))
            return 0, [zeros for _ in self.optimizer.moments]
        layers = params.optimizer.state["layers"]
        names = ("m", "v") if isinstance(self.optimizer, Adam) else ("v",)
        moments = [
            tuple(Layer(np.array(of["weight"][name]), np.array(of["bias"][name])) for of in layers) for name in names
        ]
        return int(params.optimizer.state["step"]), moments

    def describe(self) -> dict[str, str | int]:
        return {**super().describe(), "framework": f"mlx {version('mlx')}"}

    def _array(self, host: Array) -> Any:
        return mx.array(host, dtype=mx.float64 if self.dtype == "float64" else mx.float32)


def _optimizer(rule: Optimizer, learning_rate: float) -> Any:
    """Return the optimiser of MLX."""
    if isinstance(rule, Adam):
        betas, decay = [rule.beta1, rule.beta2], rule.weight_decay
        return optim.AdamW(learning_rate, betas, rule.epsilon, decay, bias_correction=True)
    return optim.SGD(learning_rate, rule.momentum if isinstance(rule, Momentum) else 0.0)


def _train_step(model: Model, optimizer: Any) -> Callable[[Any, Any], Any]:
    """Return a step of a model at one rate: takes X and Y, returns the loss before it."""
    optimizer.init(model.trainable_parameters())
    loss_and_gradients = nn.value_and_grad(model, lambda model, x, y: model.error(x, y))

    def step(x: Any, y: Any) -> Any:
        loss, gradients = loss_and_gradients(model, x, y)
        optimizer.update(model, gradients)
        return loss

    if not shutil.which(COMPILER):
        return step
    state = [model.state, optimizer.state]
    compiled: Callable[[Any, Any], Any] = mx.compile(step, inputs=state, outputs=state)
    return compiled
