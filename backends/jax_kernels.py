"""The jitted kernels of one network in JAX: forward, backward, update, step and train, loops inside XLA."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
from jax import lax

from backends import jax_narrow, jax_wide
from backends.base import Network

ONE_LOOP = {"xla_cpu_enable_fast_math": True, "xla_cpu_prefer_vector_width": 512}
"""How XLA compiles the loop over the rows: it may add up in any order, as vectors need, and uses the widest vectors.
Infinities, NaN, quotients and functions stay as they are.
"""

Kernels = dict[str, Callable[..., Any]]


def _updated(params: jax.Array, gradients: jax.Array, learning_rate: jax.Array) -> jax.Array:
    return lax.sub(params, lax.mul(learning_rate, gradients))


update = jax.jit(_updated, donate_argnums=0)


@lru_cache
def kernels(
    wide: Callable[[Network, int, int], jax_wide.Wide],
    network: Network,
    block_rows: int,
    features_axis: int,
    device: str,
) -> dict[type, Kernels]:
    """Return the kernels of one network for each form of a batch, shared by all its backends in this process."""
    options = ONE_LOOP if device == "cpu" else None
    return {
        jax_narrow.Batch: _jitted(jax_narrow.Narrow(network, block_rows), options),
        jax_wide.Batch: _jitted(wide(network, block_rows, features_axis)),
    }


def _jitted(form: jax_narrow.Narrow | jax_wide.Wide, options: dict[str, Any] | None = None) -> Kernels:
    """Return forward, backward, step and train of one form."""
    gradients = jax.jit(form.gradients)  # traced once for step and train

    def step(params: jax.Array, batch: Any, learning_rate: jax.Array) -> tuple[jax.Array, jax.Array]:
        loss, by_params = gradients(params, batch)
        return _updated(params, by_params, learning_rate), loss

    def train(
        params: jax.Array, batch: Any, learning_rate: jax.Array, steps: int, room: int
    ) -> tuple[jax.Array, jax.Array]:
        def one(k: int, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            params, loss = step(state[0], batch, learning_rate)
            return params, lax.dynamic_update_index_in_dim(state[1], loss, k, 0)

        return lax.fori_loop(0, steps, one, (params, lax.full((room,), 0, params.dtype)))

    return {
        "forward": jax.jit(form.forward, compiler_options=options),
        "backward": jax.jit(form.gradients, compiler_options=options),
        "step": jax.jit(step, donate_argnums=0, compiler_options=options),
        "train": jax.jit(train, donate_argnums=0, static_argnums=4, compiler_options=options),
    }
