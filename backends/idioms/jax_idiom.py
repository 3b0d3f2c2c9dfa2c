"""The network in JAX as its documentation would write it: a loss function, `value_and_grad`, optax, `jit`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import ArrayLike

from backends.base import Array, Backend, BackendUnavailable, Capabilities, Layer, Network, Params, State
from backends.idioms.numpy_idiom import Batch


def copied(array: Array) -> Any:
    """Return a copy in JAX's own memory."""
    return jnp.array(array)


def layer_outputs(params: Any, x: Any) -> list[Any]:
    """Return every layer's output."""
    outputs, h = [], x
    for w, b in params[:-1]:
        h = jnp.tanh(h @ w.T + b)
        outputs.append(h)
    w, b = params[-1]
    return [*outputs, h @ w.T + b]


def loss_fn(params: Any, x: Any, y: Any) -> Any:
    """Return the mean squared error."""
    return jnp.mean((layer_outputs(params, x)[-1] - y) ** 2)


forward = jax.jit(layer_outputs)
value_and_grad = jax.jit(jax.value_and_grad(loss_fn))


@partial(jax.jit, static_argnames="learning_rate")
def apply_gradients(params: Any, gradients: Any, learning_rate: float) -> Any:
    """Return the params after one update of optax's SGD."""
    optimizer = optax.sgd(learning_rate)
    updates, _ = optimizer.update(gradients, optimizer.init(params))
    return optax.apply_updates(params, updates)


@partial(jax.jit, static_argnames="learning_rate")
def train_step(params: Any, x: Any, y: Any, learning_rate: float) -> tuple[Any, Any]:
    """Return the params after one step, and the loss before it."""
    loss, gradients = jax.value_and_grad(loss_fn)(params, x, y)
    return apply_gradients(params, gradients, learning_rate), loss


class JaxIdiom(Backend):
    """JAX with optax, jitted."""

    name = "jax-idiom"
    capabilities = Capabilities(devices=("cpu", "cuda"), compiles=True)

    def __init__(self, network: Network, dtype: str = "float32", device: str = "cpu") -> None:
        super().__init__(network, dtype, device)
        try:
            self._device = jax.devices(device)[0]
        except RuntimeError as error:
            raise BackendUnavailable(
                f"backend {self.name!r} has no device {device!r} here: {error}; "
                "pip install -U 'jax[cuda13]' on a CUDA machine"
            ) from error
        self._latest: Any = None

    def _scope(self) -> AbstractContextManager[Any]:
        """Return what float64 needs, and what a GPU needs, whose products would else be those of tf32."""
        scope = ExitStack()
        if self.dtype == "float64":
            scope.enter_context(jax.enable_x64(True))
        if self.device == "cuda":
            scope.enter_context(jax.default_matmul_precision("highest"))
        return scope

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        self.host_state(state)
        with self._scope(), jax.default_device(self._device):
            return tuple(Layer(copied(w), copied(b)) for w, b in self.host_params(params))

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Any:
        x, y = self.host_batch(inputs, targets)
        with self._scope(), jax.default_device(self._device):
            self._latest = Batch(copied(x), copied(y))
        return self._latest

    def forward(self, params: Any, batch: Batch) -> Any:
        with self._scope():
            self._latest = forward(params, batch.x)
        return self._latest

    def backward(self, params: Any, batch: Batch, tape: Any) -> Any:
        with self._scope():
            self._latest = value_and_grad(params, batch.x, batch.y)  # goes forward once more: the idiom keeps no tape
        return self._latest

    def update(self, params: Any, gradients: Any, learning_rate: float) -> Any:
        with self._scope():
            self._latest = apply_gradients(params, gradients, learning_rate)
        return self._latest

    def step(self, params: Any, batch: Batch, learning_rate: float) -> Any:
        with self._scope():
            self._latest = train_step(params, batch.x, batch.y, learning_rate)
        return self._latest

    def outputs(self, tape: list[Any]) -> tuple[Array, ...]:
        return tuple(np.array(h) for h in tape)

    def fetch(self, params: Any) -> Params:
        return tuple(Layer(np.array(w), np.array(b)) for w, b in params)

    def synchronize(self) -> None:
        jax.block_until_ready(self._latest)  # type: ignore[no-untyped-call]

    def describe(self) -> dict[str, str | int]:
        return {**super().describe(), "framework": f"jax {jax.__version__}, optax {optax.__version__}"}
