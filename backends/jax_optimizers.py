"""The optimisers in JAX: an entry of `OPTIMIZERS` each. Their moments and counts are kept inside the params.

All parameters are one vector, or for a large network an array each; so are its moments, which are alike.

Tests: `tests/backends/test_optimizers.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from backends.base import Adam, Descent, Momentum, Optimizer

Moments = tuple[jax.Array, ...]
Advance = Callable[[Any, jax.Array, jax.Array, Moments, Any, jax.Array], tuple[jax.Array, Moments]]
"""Makes update ``t`` by an optimiser: parameters, gradients, moments, ``t`` and the rate to parameters and moments."""


def _descend(
    rule: Descent, w: jax.Array, g: jax.Array, moments: Moments, t: Any, rate: jax.Array
) -> tuple[jax.Array, Moments]:
    return lax.sub(w, lax.mul(rate, g)), ()


def _descend_with_momentum(
    rule: Momentum, w: jax.Array, g: jax.Array, moments: Moments, t: Any, rate: jax.Array
) -> tuple[jax.Array, Moments]:
    return rule.advance(w, g, moments, t, rate)  # type: ignore[arg-type]


def _adam(
    rule: Adam, w: jax.Array, g: jax.Array, moments: Moments, t: jax.Array, rate: jax.Array
) -> tuple[jax.Array, Moments]:
    m = rule.beta1 * moments[0] + (1 - rule.beta1) * g
    v = rule.beta2 * moments[1] + (1 - rule.beta2) * (g * g)
    m_correction, v_correction = (_correction(beta, t, w.dtype) for beta in (rule.beta1, rule.beta2))
    step = (m / m_correction) / (jnp.sqrt(v / v_correction) + rule.epsilon)
    if rule.weight_decay:
        step = step + rule.weight_decay * w
    return w - rate * step, (m, v)


def _correction(beta: float, t: jax.Array, dtype: Any) -> Any:
    """Return ``1 - beta^t`` without the cancellation of that form."""
    return -jnp.expm1(t.astype(dtype) * math.log(beta)) if beta else 1.0


OPTIMIZERS: dict[str, Advance] = {"descent": _descend, "momentum": _descend_with_momentum, "adam": _adam}


class Trained(NamedTuple):
    """Params of an optimiser that keeps something: all parameters, its moments, and how many updates it has made."""

    parameters: Any
    moments: tuple[Any, ...]
    updates: jax.Array


def parameters(params: Any) -> Any:
    """Return all parameters, which params are if the optimiser keeps nothing."""
    return params.parameters if isinstance(params, Trained) else params


def updated(optimizer: Optimizer, params: Any, gradients: Any, rate: jax.Array) -> Any:
    """Return the params after one update."""
    advance = OPTIMIZERS[optimizer.name]
    kept: tuple[Any, ...]
    kept, t = ((), jax.numpy.int32(0)) if not isinstance(params, Trained) else (params.moments, params.updates + 1)
    arrays, form = jax.tree.flatten(parameters(params))
    of_each = zip(arrays, *map(jax.tree.leaves, (gradients, *kept)), strict=True)
    advanced = [advance(optimizer, w, g, tuple(moments), t, rate) for w, g, *moments in of_each]
    new = jax.tree.unflatten(form, [w for w, _ in advanced])
    if not isinstance(params, Trained):
        return new
    moments = zip(*(moments for _, moments in advanced), strict=True)
    of_moments = tuple(jax.tree.unflatten(form, moment) for moment in moments)
    return Trained(new, of_moments, t if optimizer.counts_updates else params.updates)
