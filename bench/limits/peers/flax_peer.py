"""flax nnx with an optimizer of optax, as its documentation trains a model: `nnx.jit` of a step on model and optimizer.

Tests: `tests/bench/limits/test_peers.py`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"  # where the peer says that it computes, also where JAX sees a GPU

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from backends import Adam, Layer, Momentum, Network, Optimizer, Params
from backends.base import Array, Capabilities, State
from bench.limits.peers.peer import ACTIVATIONS, LOSSES, OPTIMIZERS, Batch, Peer

FUNCTIONS = {"tanh": nnx.tanh, "relu": nnx.relu, "sigmoid": nnx.sigmoid, "identity": lambda z: z}


class Model(nnx.Module):  # type: ignore[misc]
    """Dense layers, the activation on all but the last."""

    def __init__(self, network: Network, dtype: str) -> None:
        rngs = nnx.Rngs(0)
        self.activation, self.loss = FUNCTIONS[network.activation], network.loss
        self.layers = nnx.List(
            [nnx.Linear(i, o, dtype=dtype, param_dtype=dtype, rngs=rngs) for i, o in pairwise(network.sizes)]
        )

    def __call__(self, x: Any) -> Any:
        """Return what is predicted."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)

    def error(self, x: Any, y: Any) -> Any:
        """Return the loss."""
        if self.loss == "cross-entropy":
            return jnp.mean(optax.softmax_cross_entropy(self(x), y))
        return jnp.mean((self(x) - y) ** 2)


@dataclass
class Training:
    """A model, and the optimizer of the latest learning rate."""

    model: Model
    optimizer: Any = None
    learning_rate: float | None = None


@nnx.jit  # type: ignore[untyped-decorator]
def train_step(model: Model, optimizer: Any, x: Any, y: Any) -> Any:
    """Make one step; return the loss before it."""
    loss, gradients = nnx.value_and_grad(lambda model: model.error(x, y))(model)
    optimizer.update(model, gradients)
    return loss


def _optax(rule: Optimizer, learning_rate: float) -> Any:
    """Return the optimiser of optax."""
    if isinstance(rule, Adam):
        return optax.adamw(learning_rate, rule.beta1, rule.beta2, rule.epsilon, weight_decay=rule.weight_decay)
    return optax.sgd(learning_rate, momentum=rule.momentum if isinstance(rule, Momentum) else None)


def _in_order(kept: Any, name: str) -> list[Any]:
    """Return one of optax's moments layer by layer."""
    layers = getattr(kept, name)["layers"]
    return [layers[k] for k in range(len(layers))]


class FlaxPeer(Peer):
    """flax nnx."""

    name = "flax"
    capabilities = Capabilities(
        compiles=True, activations=ACTIVATIONS, losses=LOSSES, optimizers=OPTIMIZERS, minibatches=True
    )
    _latest: Any = None

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Training:
        with self._scope():
            model = Model(self.network, self.dtype)
            for layer, (w, b) in zip(model.layers, self.host_params(params), strict=True):
                layer.kernel[...], layer.bias[...] = jnp.array(w.T), jnp.array(b)
        return Training(model)

    def place_arrays(self, x: Array, y: Array) -> tuple[Any, Any]:
        with self._scope():
            return jnp.array(x), jnp.array(y)

    def step(self, params: Training, batch: Batch, learning_rate: float) -> tuple[Training, Any]:
        with self._scope():
            if params.learning_rate != learning_rate:
                rule = _optax(self.optimizer, learning_rate)
                params.optimizer = nnx.Optimizer(params.model, rule, wrt=nnx.Param)
                params.learning_rate = learning_rate
            self._latest = train_step(params.model, params.optimizer, batch.x, batch.y)
        return params, self._latest

    def fetch_layers(self, params: Training) -> Params:
        return tuple(
            Layer(np.array(layer.kernel[...]).T.copy(), np.array(layer.bias[...])) for layer in params.model.layers
        )

    def fetch_moments(self, params: Training) -> tuple[int, list[Params]]:
        if params.optimizer is None:  # not one step yet
            zeros = tuple(Layer(np.zeros_like(w), np.zeros_like(b)) for w, b in self.fetch_layers(params))
            return 0, [zeros for _ in self.optimizer.moments]
        kept = params.optimizer.opt_state[0]
        names = ("mu", "nu") if isinstance(self.optimizer, Adam) else ("trace",)
        moments = [
            tuple(
                Layer(np.array(of["kernel"][...]).T.copy(), np.array(of["bias"][...])) for of in _in_order(kept, name)
            )
            for name in names
        ]
        return int(kept.count[...]) if isinstance(self.optimizer, Adam) else 0, moments

    def synchronize(self) -> None:
        if self._latest is not None:
            self._latest.block_until_ready()

    def describe(self) -> dict[str, str | int]:
        return {**super().describe(), "framework": f"flax {flax.__version__}, jax {jax.__version__}"}

    def _scope(self) -> Any:
        return jax.enable_x64(self.dtype == "float64")
