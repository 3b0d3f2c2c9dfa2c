"""The jitted kernels of one network in JAX: forward, backward, update, step and train, loops inside XLA.

Tests: `tests/backends/test_jax_backend.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
from jax import lax

from backends import jax_narrow, jax_wide
from backends.base import Network, Optimizer
from backends.jax_optimizers import parameters, updated

ONE_LOOP = {
    "xla_cpu_enable_fast_math": True,
    "xla_cpu_fast_math_honor_nans": True,
    "xla_cpu_fast_math_honor_infs": True,
    "xla_cpu_fast_math_honor_division": True,
    "xla_cpu_fast_math_honor_functions": True,
    "xla_cpu_prefer_vector_width": 512,
}
"""Options with which XLA compiles the loop over the rows. Sums may be added up in another order, so that they become
vectors, and vectors are as wide as possible. NaN, infinities, quotients and functions stay exact; the proven bounds
hold for any order of a sum.
"""

Kernels = dict[str, Callable[..., Any]]

Whole = Callable[[Any, Any, jax.Array, Any, int], "tuple[Any, jax.Array] | None"]
"""Takes params, batch, rate, steps and the length of the losses; trains on all rows of the batch in one kernel and
returns params and losses, or ``None`` if it cannot take the batch.
"""


@lru_cache
def kernels(
    wide: Callable[[Network, int, int, int], jax_wide.Wide],
    network: Network,
    optimizer: Optimizer,
    narrow_rows: int,
    wide_rows: int,
    features_axis: int,
    threads: int,
    device: str,
) -> dict[type, Kernels]:
    """Return the kernels of one network for each form of a batch, shared by all its backends in this process.

    ``narrow_rows`` and ``wide_rows`` are those of a block of either form.
    """
    options = ONE_LOOP if device == "cpu" else None
    return {
        jax_narrow.Batch: jitted(jax_narrow.Narrow(network, narrow_rows), optimizer, options),
        jax_wide.Batch: jitted(wide(network, wide_rows, features_axis, threads), optimizer),
    }


@lru_cache
def update_of(optimizer: Optimizer) -> Callable[..., Any]:
    """Return the jitted update, which knows no network: params, gradients and rate to params."""
    return jax.jit(partial(updated, optimizer), donate_argnums=0)


def jitted(
    form: jax_narrow.Narrow | jax_wide.Wide,
    optimizer: Optimizer,
    options: dict[str, Any] | None = None,
    whole: Whole = lambda *_: None,
) -> Kernels:
    """Return forward, backward, gradients, step and train for one form of batches."""
    loss_and_gradients = jax.jit(form.gradients)  # traced once for step and train

    def forward(params: Any, batch: Any) -> Any:
        return form.forward(parameters(params), batch)

    def backward(params: Any, batch: Any, tape: Any) -> tuple[jax.Array, jax.Array]:
        return form.gradients(parameters(params), batch, tape)

    def gradients(params: Any, batch: Any) -> tuple[jax.Array, Any]:
        return loss_and_gradients(parameters(params), batch)

    def step(params: Any, batch: Any, learning_rate: jax.Array) -> tuple[Any, jax.Array]:
        if done := whole(params, batch, learning_rate, jax.numpy.int32(1), 1):
            return done[0], lax.squeeze(done[1], [0])
        loss, gradients = loss_and_gradients(parameters(params), batch)
        return updated(optimizer, params, gradients, learning_rate), loss

    return {
        "forward": jax.jit(forward, compiler_options=options),
        "backward": jax.jit(backward, compiler_options=options),
        "gradients": jax.jit(gradients, compiler_options=options),
        "step": jax.jit(step, donate_argnums=0, compiler_options=options),
        "train": jax.jit(
            training_loop(form, step, whole), donate_argnums=0, static_argnums=(4, 5), compiler_options=options
        ),
    }


def training_loop(
    form: jax_narrow.Narrow | jax_wide.Wide, step: Callable[..., tuple[Any, jax.Array]], whole: Whole
) -> Callable[..., tuple[Any, jax.Array]]:
    """Return the function that takes many steps, each on the next rows of a batch."""

    def train(
        params: Any, batch: Any, learning_rate: jax.Array, steps: int, most_losses: int, rows_per_step: int | None
    ) -> tuple[Any, jax.Array]:
        n = batch.x.shape[form.rows_axis]
        rows = rows_per_step or n
        if rows == n and (done := whole(params, batch, learning_rate, steps, most_losses)):
            return done
        full, short = divmod(n, rows)

        def step_at(start: Any, rows: int, params: Any) -> tuple[Any, jax.Array]:
            """Make a step with ``rows`` rows from ``start`` on."""
            part = batch if rows == n else form.rows(batch, start, rows)
            return step(params, part, learning_rate)

        def body(k: Any, state: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
            params, losses = state
            start = lax.mul(lax.rem(k, full + (short > 0)), rows)
            if short:  # the last step of a pass
                ends = lax.eq(start, full * rows)
                params, loss = lax.cond(
                    ends, partial(step_at, full * rows, short), partial(step_at, start, rows), params
                )
            else:
                params, loss = step_at(start, rows, params)
            return params, lax.dynamic_update_index_in_dim(losses, loss, k, 0)

        return lax.fori_loop(0, steps, body, (params, lax.full((most_losses,), 0, learning_rate.dtype)))

    return train
