"""flax nnx with optax's SGD, as its documentation trains a model: `nnx.jit` of a step on model and optimizer.

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

from backends import Layer, Params
from backends.base import Array, Capabilities, State
from bench.limits.peers.peer import Batch, Peer


class Model(nnx.Module):  # type: ignore[misc]
    """Dense layers, tanh on all but the last."""

    def __init__(self, sizes: tuple[int, ...], dtype: str) -> None:
        rngs = nnx.Rngs(0)
        self.layers = nnx.List(
            [nnx.Linear(i, o, dtype=dtype, param_dtype=dtype, rngs=rngs) for i, o in pairwise(sizes)]
        )

    def __call__(self, x: Any) -> Any:
        """Return what is predicted."""
        for layer in self.layers[:-1]:
            x = nnx.tanh(layer(x))
        return self.layers[-1](x)


@dataclass
class Training:
    """A model, and the optimizer of the latest learning rate."""

    model: Model
    optimizer: Any = None
    learning_rate: float | None = None


@nnx.jit  # type: ignore[untyped-decorator]
def train_step(model: Model, optimizer: Any, x: Any, y: Any) -> Any:
    """Make one step; return the loss before it."""
    loss, gradients = nnx.value_and_grad(lambda model: jnp.mean((model(x) - y) ** 2))(model)
    optimizer.update(model, gradients)
    return loss


class FlaxPeer(Peer):
    """flax nnx."""

    name = "flax"
    capabilities = Capabilities(compiles=True)
    _latest: Any = None

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Training:
        with self._scope():
            model = Model(self.network.sizes, self.dtype)
            for layer, (w, b) in zip(model.layers, self.host_params(params), strict=True):
                layer.kernel[...], layer.bias[...] = jnp.array(w.T), jnp.array(b)
        return Training(model)

    def place_arrays(self, x: Array, y: Array) -> tuple[Any, Any]:
        with self._scope():
            return jnp.array(x), jnp.array(y)

    def step(self, params: Training, batch: Batch, learning_rate: float) -> tuple[Training, Any]:
        with self._scope():
            if params.learning_rate != learning_rate:
                params.optimizer = nnx.Optimizer(params.model, optax.sgd(learning_rate), wrt=nnx.Param)
                params.learning_rate = learning_rate
            self._latest = train_step(params.model, params.optimizer, batch.x, batch.y)
        return params, self._latest

    def fetch_layers(self, params: Training) -> Params:
        return tuple(
            Layer(np.array(layer.kernel[...]).T.copy(), np.array(layer.bias[...])) for layer in params.model.layers
        )

    def synchronize(self) -> None:
        if self._latest is not None:
            self._latest.block_until_ready()

    def describe(self) -> dict[str, str | int]:
        return {**super().describe(), "framework": f"flax {flax.__version__}, jax {jax.__version__}"}

    def _scope(self) -> Any:
        return jax.enable_x64(self.dtype == "float64")
