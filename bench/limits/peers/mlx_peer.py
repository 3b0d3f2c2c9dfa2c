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

from backends import Layer, Params
from backends.base import Array, Capabilities, State
from bench.limits.peers.peer import Batch, Peer

COMPILER = "g++"


class Model(nn.Module):  # type: ignore[misc]
    """Dense layers, tanh on all but the last."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = [nn.Linear(i, o) for i, o in pairwise(sizes)]

    def __call__(self, x: Any) -> Any:
        """Return what is predicted."""
        for layer in self.layers[:-1]:
            x = mx.tanh(layer(x))
        return self.layers[-1](x)


@dataclass
class Training:
    """A model, and the step of the latest learning rate."""

    model: Model
    steps: dict[float, Callable[[Any, Any], Any]] = field(default_factory=dict)


class MlxPeer(Peer):
    """MLX."""

    name = "mlx"
    capabilities = Capabilities(compiles=True)

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        mx.set_default_device(mx.cpu)
        super().__init__(*arguments, **settings)

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Training:
        model = Model(self.network.sizes)
        for layer, (w, b) in zip(model.layers, self.host_params(params), strict=True):
            layer.weight, layer.bias = self._array(w), self._array(b)
        mx.eval(model.state)
        return Training(model)

    def place_arrays(self, x: Array, y: Array) -> tuple[Any, Any]:
        arrays = self._array(x), self._array(y)
        mx.eval(*arrays)
        return arrays

    def step(self, params: Training, batch: Batch, learning_rate: float) -> tuple[Training, Any]:
        if learning_rate not in params.steps:
            params.steps = {learning_rate: _train_step(params.model, learning_rate)}
        loss = params.steps[learning_rate](batch.x, batch.y)
        mx.eval(loss, params.model.state)  # MLX computes when asked: here, so that no step is put off
        return params, loss

    def fetch_layers(self, params: Training) -> Params:
        return tuple(Layer(np.array(layer.weight), np.array(layer.bias)) for layer in params.model.layers)

    def describe(self) -> dict[str, str | int]:
        return {**super().describe(), "framework": f"mlx {version('mlx')}"}

    def _array(self, host: Array) -> Any:
        return mx.array(host, dtype=mx.float64 if self.dtype == "float64" else mx.float32)


def _train_step(model: Model, learning_rate: float) -> Callable[[Any, Any], Any]:
    """Return a step of a model at one rate: takes X and Y, returns the loss before it."""
    optimizer = optim.SGD(learning_rate=learning_rate)
    loss_and_gradients = nn.value_and_grad(model, lambda model, x, y: mx.mean((model(x) - y) ** 2))

    def step(x: Any, y: Any) -> Any:
        loss, gradients = loss_and_gradients(model, x, y)
        optimizer.update(model, gradients)
        return loss

    if not shutil.which(COMPILER):
        return step
    state = [model.state, optimizer.state]
    compiled: Callable[[Any, Any], Any] = mx.compile(step, inputs=state, outputs=state)
    return compiled
