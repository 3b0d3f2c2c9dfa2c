"""The network in JAX with its gradient written by hand, and matrix products for every network.

It is what the tuned backend is held against: the ratio of the two is what `jax.value_and_grad` costs where both run
matrix products, and what one loop over the rows gains if the network is narrow. Times of both, interleaved::

    python -m bench limits --backends jax,jax-by-hand --no-peers --all

Tests: `tests/backends/test_jax_backend.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
from jax import lax

from backends.jax_backend import JaxBackend
from backends.jax_wide import Layers, Wide, product


class ByHand(Wide):
    """The gradient of `backends.base`, line by line."""

    def _gradients(
        self, layers: Layers, power: Any, x: jax.Array, y: jax.Array, known: Sequence[jax.Array] | None
    ) -> tuple[jax.Array, Layers]:
        tape = known or self._outputs(layers, x)
        features_axis = 1 - self.rows_axis
        error = lax.sub(tape[-1], lax.transpose(y, (1, 0)) if features_axis else y)
        loss = lax.mul(lax.reduce_sum(lax.mul(error, error), (0, 1)), power)
        g = lax.mul(error, 2 * power)  # `gradients` multiplies by the rest of 1 / N
        gradients: tuple[tuple[jax.Array, jax.Array], ...] = ()
        for k in range(len(layers) - 1, -1, -1):
            dw = product(g, tape[k - 1], over=(1, 1)) if k else product(g, x, over=(1, 1 - features_axis))
            gradients = ((dw, lax.reduce_sum(g, (1,))), *gradients)
            if k:
                h = tape[k - 1]
                g = lax.mul(product(layers[k][0], g, over=(0, 0)), lax.sub(1.0, lax.mul(h, h)))
        return loss, gradients


class JaxByHand(JaxBackend):
    """JAX, gradients by hand."""

    name = "jax-by-hand"
    capabilities = replace(JaxBackend.capabilities, activations=("tanh",), losses=("mse",))
    wide = ByHand
    one_loop = False
