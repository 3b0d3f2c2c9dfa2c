"""Activations and losses in JAX: an entry of `ACTIVATIONS` or `LOSSES` each.

Each brings the derivative that `jax.grad` is to take. Losses work on features, of a row each, in
either form of the arrays: one array ``[features, rows]``, or a vector of rows for each feature. What differs between
the two is in `Features`.

Tests: `tests/backends/test_activations_and_losses.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax


class Activation(NamedTuple):
    """A function ``h`` of ``z``, and how a gradient ``g`` by ``h`` becomes one by ``z``: ``g`` times the slope at
    ``h``.
    """

    value: Callable[[jax.Array], jax.Array]
    backward: Callable[[jax.Array, jax.Array], jax.Array]


ACTIVATIONS = {
    "tanh": Activation(lax.tanh, lambda h, g: lax.mul(g, lax.sub(1.0, lax.mul(h, h)))),
    "relu": Activation(
        lambda z: lax.max(z, lax.full_like(z, 0)), lambda h, g: lax.select(lax.gt(h, 0.0), g, lax.full_like(g, 0))
    ),
    "sigmoid": Activation(lax.logistic, lambda h, g: lax.mul(g, lax.mul(h, lax.sub(1.0, h)))),
    "identity": Activation(lambda z: z, lambda h, g: g),
}


class Features(NamedTuple):
    """What a form of arrays has to do over its features: their sum and their greatest of each row, and the way back."""

    total: Callable[[Any], jax.Array]
    greatest: Callable[[Any], jax.Array]
    of_each: Callable[[jax.Array, jax.Array], jax.Array]
    """Takes a value of each row, and an array to match in shape."""


class Loss(NamedTuple):
    """A loss of each row, and an error: the derivative of the loss by predicted is ``factor`` times the error."""

    of_rows: Callable[[Any, Any, Features], tuple[jax.Array, Any]]
    factor: float


def _squared_error(predicted: Any, y: Any, features: Features) -> tuple[jax.Array, Any]:
    error = jax.tree.map(lax.sub, predicted, y)
    return features.total(jax.tree.map(lax.mul, error, error)), error


def _cross_entropy(predicted: Any, y: Any, features: Features) -> tuple[jax.Array, Any]:
    greatest = features.greatest(predicted)
    shifted = jax.tree.map(lambda p: lax.sub(p, features.of_each(greatest, p)), predicted)
    exponentials = jax.tree.map(lax.exp, shifted)
    total = features.total(exponentials)
    of_rows = lax.sub(lax.log(total), features.total(jax.tree.map(lax.mul, y, shifted)))
    return of_rows, jax.tree.map(lambda e, t: lax.sub(lax.div(e, features.of_each(total, e)), t), exponentials, y)


LOSSES = {"mse": Loss(_squared_error, 2.0), "cross-entropy": Loss(_cross_entropy, 1.0)}


def loss_of_rows(name: str, features: Features) -> Callable[[Any, Any], jax.Array]:
    """Return the rule that takes predicted and targets to the loss of each row, with its derivative by predicted."""
    loss = LOSSES[name]

    def backward(error: Any, g: jax.Array) -> tuple[Any, None]:
        g = lax.mul(loss.factor, g)
        return jax.tree.map(lambda e: lax.mul(e, features.of_each(g, e)), error), None

    rule = jax.custom_vjp(lambda predicted, y: loss.of_rows(predicted, y, features)[0])
    rule.defvjp(lambda predicted, y: loss.of_rows(predicted, y, features), backward)
    return rule
