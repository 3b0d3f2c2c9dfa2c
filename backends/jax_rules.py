"""Activations and losses in JAX: one entry in one table each, with what their derivatives need.

Each function works element by element, on arrays of any shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import lax


class Activation(NamedTuple):
    """A function ``h`` of ``z``, and how a gradient ``g`` by ``h`` becomes one by ``z``: ``g`` times the slope at
    ``h``.
    """

    value: Callable[[jax.Array], jax.Array]
    backward: Callable[[jax.Array, jax.Array], jax.Array]


ACTIVATIONS = {
    "identity": Activation(lambda z: z, lambda h, g: g),
    "tanh": Activation(lax.tanh, lambda h, g: lax.mul(g, lax.sub(1.0, lax.mul(h, h)))),
}


@jax.custom_vjp
def squared_error(predicted: jax.Array, y: jax.Array) -> jax.Array:
    """Return the square of each error."""
    return _squared_error_forward(predicted, y)[0]


def _squared_error_forward(predicted: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    error = lax.sub(predicted, y)
    return lax.mul(error, error), error


def _squared_error_backward(error: jax.Array, g: jax.Array) -> tuple[jax.Array, None]:
    return lax.mul(error, lax.mul(2.0, g)), None


squared_error.defvjp(_squared_error_forward, _squared_error_backward)
