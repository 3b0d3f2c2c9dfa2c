"""The network in JAX as its documentation would write it: a loss function, `value_and_grad`, optax, `jit`.

Tests: `tests/backends/idioms/test_idioms.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import ArrayLike

from backends.base import (
    Array,
    Backend,
    BackendUnavailable,
    Capabilities,
    Layer,
    Network,
    Optimizer,
    Params,
    State,
)
from backends.host import layers_of
from backends.idioms.numpy_idiom import Batch


def copied(array: Array) -> Any:
    """Return a copy in JAX's own memory."""
    return jnp.array(array)


def placed(params: Params) -> tuple[Layer, ...]:
    """Return copies of host params, or of what is in their form, in JAX's own memory."""
    return tuple(Layer(copied(w), copied(b)) for w, b in params)


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "identity": lambda z: z,
}


def squared_error(predicted: Any, y: Any) -> Any:
    """Return the mean squared error."""
    return jnp.mean((predicted - y) ** 2)


def cross_entropy(predicted: Any, y: Any) -> Any:
    """Return the mean cross-entropy of the softmax."""
    return jnp.mean(optax.softmax_cross_entropy(predicted, y))


LOSSES: dict[str, Callable[[Any, Any], Any]] = {"mse": squared_error, "cross-entropy": cross_entropy}

OPTIMIZERS: dict[str, Callable[[Any, float], optax.GradientTransformation]] = {
    "descent": lambda rule, rate: optax.sgd(rate),
    "momentum": lambda rule, rate: optax.sgd(rate, momentum=rule.momentum),
    "adam": lambda rule, rate: optax.adamw(
        rate, b1=rule.beta1, b2=rule.beta2, eps=rule.epsilon, weight_decay=rule.weight_decay
    ),
}
MOMENTS = {"velocity": "trace", "m": "mu", "v": "nu"}
"""Optax's names for what an optimiser keeps."""


class Trained(NamedTuple):
    """Parameters and optax's state: the params of this backend."""

    layers: tuple[Layer, ...]
    state: Any


@partial(jax.jit, static_argnames="network")
def layer_outputs(network: Network, layers: Any, x: Any) -> list[Any]:
    """Return every layer's output."""
    outputs, h = [], x
    for w, b in layers[:-1]:
        h = ACTIVATIONS[network.activation](h @ w.T + b)
        outputs.append(h)
    w, b = layers[-1]
    return [*outputs, h @ w.T + b]


@partial(jax.jit, static_argnames="network")
def value_and_grad(network: Network, layers: Any, x: Any, y: Any) -> Any:
    """Return the loss and its gradients."""

    def loss_fn(layers: Any) -> Any:
        return LOSSES[network.loss](layer_outputs(network, layers, x)[-1], y)

    return jax.value_and_grad(loss_fn)(layers)


@partial(jax.jit, static_argnames=("rule", "learning_rate"))
def apply_gradients(rule: Optimizer, params: Trained, gradients: Any, learning_rate: float) -> Trained:
    """Return the params after one update of optax's optimiser."""
    optimizer = OPTIMIZERS[rule.name](rule, learning_rate)
    updates, state = optimizer.update(gradients, params.state, params.layers)
    return Trained(optax.apply_updates(params.layers, updates), state)


@partial(jax.jit, static_argnames=("network", "rule", "learning_rate"))
def train_step(
    network: Network, rule: Optimizer, params: Trained, x: Any, y: Any, learning_rate: float
) -> tuple[Trained, Any]:
    """Return the params after one step, and the loss before it."""
    loss, gradients = value_and_grad(network, params.layers, x, y)
    return apply_gradients(rule, params, gradients, learning_rate), loss


class JaxIdiom(Backend):
    """JAX with optax, jitted."""

    name = "jax-idiom"
    capabilities = Capabilities(
        devices=("cpu", "cuda"),
        compiles=True,
        activations=tuple(ACTIVATIONS),
        losses=tuple(LOSSES),
        optimizers=tuple(OPTIMIZERS),
        minibatches=True,
    )

    def __init__(
        self,
        network: Network,
        dtype: str = "float32",
        device: str = "cpu",
        optimizer: Optimizer | None = None,
        threads: int | None = None,
    ) -> None:
        super().__init__(network, dtype, device, optimizer, threads)
        try:
            self._device = jax.local_devices(backend=device)[0]
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

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Trained:
        updates, moments = self.host_state(state)
        with self._scope(), jax.default_device(self._device):
            layers = placed(self.host_params(params))
            kept = {MOMENTS[name]: placed(moment) for name, moment in moments.items()}
            if self.optimizer.counts_updates:
                kept["count"] = jnp.int32(updates)
            first, *rest = OPTIMIZERS[self.optimizer.name](self.optimizer, 0.0).init(layers)
            return Trained(layers, (first._replace(**kept), *rest))

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        x, y = self.host_batch(inputs, targets)
        with self._scope(), jax.default_device(self._device):
            self._latest = batch = Batch(copied(x), copied(y))
        return batch

    def split(self, batch: Batch, rows_per_step: int) -> list[Batch]:
        n = len(batch.x)
        rows = self.checked_rows(rows_per_step, n)
        with self._scope():
            return [Batch(batch.x[k : k + rows], batch.y[k : k + rows]) for k in range(0, n, rows)]

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        rows = self.checked_order(order, len(batch.x))
        with self._scope():
            self._latest = reordered = Batch(batch.x[rows], batch.y[rows])
        return reordered

    def forward(self, params: Trained, batch: Batch) -> Any:
        with self._scope():
            self._latest = layer_outputs(self.network, params.layers, batch.x)
        return self._latest

    def backward(self, params: Trained, batch: Batch, tape: Any) -> Any:
        with self._scope():  # goes forward once more: the idiom keeps no tape
            self._latest = value_and_grad(self.network, params.layers, batch.x, batch.y)
        return self._latest

    def from_message(self, message: Array) -> Any:
        with self._scope(), jax.default_device(self._device):
            return message[-1], placed(layers_of(message, self.network))

    def update(self, params: Trained, gradients: Any, learning_rate: float) -> Any:
        with self._scope():
            self._latest = apply_gradients(self.optimizer, params, gradients, self.checked_rate(learning_rate))
        return self._latest

    def step(self, params: Trained, batch: Batch, learning_rate: float) -> Any:
        rate = self.checked_rate(learning_rate)
        with self._scope():
            self._latest = train_step(self.network, self.optimizer, params, batch.x, batch.y, rate)
        return self._latest

    def outputs(self, tape: list[Any]) -> tuple[Array, ...]:
        return tuple(np.array(h) for h in tape)

    def fetch(self, params: Any) -> Params:
        layers = params.layers if isinstance(params, Trained) else params
        return tuple(Layer(np.array(w), np.array(b)) for w, b in layers)

    def fetch_state(self, params: Trained) -> State:
        state, optimizer = params.state[0], self.optimizer
        moments = {name: self.fetch(getattr(state, MOMENTS[name])) for name in optimizer.moments}
        return State(int(state.count) if optimizer.counts_updates else 0, moments)

    def synchronize(self) -> None:
        jax.block_until_ready(self._latest)  # type: ignore[no-untyped-call]

    def describe(self) -> dict[str, str | int]:
        return {**super().describe(), "framework": f"jax {jax.__version__}, optax {optax.__version__}"}
