"""The network in JAX: `jit` and `vjp`, feature-major, donated parameters, loops inside XLA."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from backends.base import Array, Backend, BackendUnavailable, Capabilities, Layer, Network, Params

T = TypeVar("T")


class Batch(NamedTuple):
    """Inputs ``[i, n]`` and targets ``[o, n]``, feature-major."""

    x: jax.Array
    y: jax.Array


class JaxBackend(Backend):
    """JAX on CPU or CUDA."""

    name = "jax"
    capabilities = Capabilities(devices=("cpu", "cuda"), compiles=True)

    def __init__(self, network: Network, dtype: str = "float32", device: str = "cpu") -> None:
        super().__init__(network, dtype, device)
        try:
            self._device = jax.devices(device)[0]
        except RuntimeError as error:
            raise BackendUnavailable(
                f"backend 'jax' has no device {device!r} here: {error}; pip install -U 'jax[cuda13]' on a CUDA machine"
            ) from error

        self._latest: Any = ()

    def _handed(self, work: T) -> T:
        """Remember the work that was handed over last, for `synchronize`."""
        self._latest = work
        return work

    def _scope(self) -> Any:
        return jax.enable_x64(self.dtype == "float64")

    def place_params(self, params: Sequence[Layer]) -> Params:
        with self._scope():
            return jax.tree.map(
                lambda a: jnp.array(jax.device_put(a, self._device), copy=True), self.host_params(params)
            )

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        x, y = self.host_batch(inputs, targets)
        with self._scope():
            return self._handed(
                Batch(jax.device_put(x.T.copy(), self._device), jax.device_put(y.T.copy(), self._device))
            )

    def forward(self, params: Params, batch: Batch) -> list[jax.Array]:
        with self._scope():
            return self._handed(_forward(params, batch.x))

    def backward(self, params: Params, batch: Batch, tape: list[jax.Array]) -> tuple[jax.Array, Params]:
        with self._scope():
            return self._handed(_backward(params, batch, tape))

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        with self._scope():
            return self._handed(_update(params, gradients, learning_rate))

    def step(self, params: Params, batch: Batch, learning_rate: float) -> tuple[Params, jax.Array]:
        with self._scope():
            return self._handed(_step(params, batch, learning_rate))

    def train(self, params: Params, batch: Batch, learning_rate: float, steps: int) -> tuple[Params, Array]:
        capacity = 1 << max(0, self.checked_steps(steps) - 1).bit_length()
        with self._scope():
            params, losses = self._handed(_train(params, batch, learning_rate, steps, capacity))
        return self.trained(params, np.array(losses[:steps]), learning_rate)

    def outputs(self, tape: list[jax.Array]) -> tuple[Array, ...]:
        return tuple(np.asarray(h).T.copy() for h in tape)

    def fetch(self, params: Params) -> Params:
        return tuple(Layer(np.array(w), np.array(b)) for w, b in params)

    def synchronize(self) -> None:
        jax.block_until_ready(self._latest)  # effects_barrier waits for side effects alone


@jax.jit
def _forward(params: Params, x: jax.Array) -> list[jax.Array]:
    tape: list[jax.Array] = []
    for k, (w, b) in enumerate(params, start=1):
        z = jnp.dot(w, tape[-1] if tape else x, precision=lax.Precision.HIGHEST) + b[:, None]
        tape.append(z if k == len(params) else jnp.tanh(z))
    return tape


@jax.jit
def _backward(params: Params, batch: Batch, tape: list[jax.Array]) -> tuple[jax.Array, Params]:
    error = tape[-1] - batch.y
    loss = jnp.mean(error * error)
    g = error * (2 / error.size)
    gradients = []
    for k in range(len(params) - 1, -1, -1):
        h = tape[k - 1] if k else batch.x
        gradients.append(Layer(jnp.dot(g, h.T, precision=lax.Precision.HIGHEST), g.sum(axis=1)))
        if k:
            g = jnp.dot(params[k].weights.T, g, precision=lax.Precision.HIGHEST) * (1 - h * h)
    return loss, tuple(reversed(gradients))


@partial(jax.jit, donate_argnums=0)
def _update(params: Params, gradients: Params, learning_rate: float) -> Params:
    return jax.tree.map(lambda w, dw: w - learning_rate * dw, params, gradients)


@partial(jax.jit, donate_argnums=0)
def _step(params: Params, batch: Batch, learning_rate: float) -> tuple[Params, jax.Array]:
    loss, gradients = _backward(params, batch, _forward(params, batch.x))
    return jax.tree.map(lambda w, dw: w - learning_rate * dw, params, gradients), loss


@partial(jax.jit, donate_argnums=0, static_argnums=4)
def _train(params: Params, batch: Batch, learning_rate: float, steps: int, capacity: int) -> tuple[Params, jax.Array]:
    def one(k: int, state: tuple[Params, jax.Array]) -> tuple[Params, jax.Array]:
        params, losses = state
        params, loss = _step(params, batch, learning_rate)
        return params, losses.at[k].set(loss)

    return lax.fori_loop(0, steps, one, (params, jnp.zeros(capacity, batch.x.dtype)))
