"""Loss and gradients of a network of few parameters in one loop over the rows, compiled by XLA from plain arithmetic.

XLA does not fuse a matrix product with what comes before or after it. So the products are written out here, as
multiplications and additions of one vector a feature, and every row is given its own copy of the parameters: then
`jax.value_and_grad` yields the gradients of each row, and one reduction of all of them sums them over the rows. That
reduction is all that XLA has to compute: one loop, in which every row is read once and only the sums are written.

Tests: `tests/backends/test_jax_backend.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any, NamedTuple

import jax
from jax import lax

from backends.base import Network
from backends.jax_rules import ACTIVATIONS, Activation, Features, loss_of_rows
from backends.jax_wide import Scale
from backends.layout import equal_blocks

Vectors = tuple[jax.Array, ...]
Layers = list[tuple[tuple[Vectors, ...], Vectors]]


class Batch(NamedTuple):
    """Inputs ``[i, n]`` and targets ``[o, n]``, feature-major; of a share, the scale of its batch."""

    x: jax.Array
    y: jax.Array
    scale: Scale | None = None


Tape = tuple[Vectors, ...]
"""For each layer, a vector ``[n]`` for each of its outputs."""


FEATURES = Features(
    total=lambda vectors: reduce(lax.add, vectors),
    greatest=lambda vectors: reduce(lax.max, vectors),
    of_each=lambda rows, vector: rows,
)


def sum_of_products(left: Sequence[jax.Array], right: Sequence[jax.Array]) -> jax.Array:
    """Return ``left[0] right[0] + left[1] right[1] + ...``."""
    return reduce(lax.add, map(lax.mul, left, right))


Rule = Callable[[tuple[Vectors, ...], Vectors, Vectors, Vectors | None], Vectors]


def layer(activation: Activation) -> Rule:
    """Return the rule ``h_out = activation(w h + b)``, with its derivative; ``w[o][i]``, ``b[o]`` and ``h[i]`` are one
    value for each row.

    The rule takes ``h_out`` too if it is known already, from a tape, and does not compute it again.
    """

    def forward(w: tuple[Vectors, ...], b: Vectors, h: Vectors, known: Vectors | None) -> tuple[Vectors, Any]:
        if known is None:
            z = (lax.add(sum_of_products(w_unit, h), b_unit) for w_unit, b_unit in zip(w, b, strict=True))
            known = tuple(map(activation.value, z))
        return known, (w, h, known)

    def backward(kept: Any, g: Vectors) -> tuple[Any, ...]:
        w, h, h_out = kept
        g = tuple(map(activation.backward, h_out, g))
        dw = tuple(tuple(lax.mul(g_unit, h_feature) for h_feature in h) for g_unit in g)
        return dw, g, tuple(sum_of_products(column, g) for column in zip(*w, strict=True)), None

    rule = jax.custom_vjp(lambda w, b, h, known: forward(w, b, h, known)[0])
    rule.defvjp(forward, backward)
    return rule


class Narrow:
    """The network on batches whose gradients are summed for ``block_rows`` rows each, then all together."""

    rows_axis = 1

    def __init__(self, network: Network, block_rows: int) -> None:
        self._network = network
        self._block_rows = block_rows
        hidden = ACTIVATIONS[network.activation]
        self._rules = [*(layer(hidden) for _ in network.sizes[2:]), layer(ACTIVATIONS["identity"])]
        self._loss_of_rows = loss_of_rows(network.loss, FEATURES)

    def forward(self, params: jax.Array, batch: Batch) -> Tape:
        """Return every layer's output."""
        x = tuple(lax.squeeze(feature, [0]) for feature in lax.split(batch.x, [1] * len(batch.x)))
        return self._outputs(self._layers(params, x[0].shape), x, None)

    def gradients(self, params: jax.Array, batch: Batch, tape: Tape | None = None) -> tuple[jax.Array, jax.Array]:
        """Return the loss and its gradients, one vector; from a tape if there is one."""
        n = batch.x.shape[1]
        blocks, block_rows = equal_blocks(n, self._block_rows)
        whole = blocks * block_rows
        # Of 1 / N the power of two is taken row by row, which rounds nothing, and the rest once at the end.
        scale = batch.scale or self.scale(self._network.loss_terms(n))
        sums: list[Vectors] = []
        for start, count, rows in ((0, blocks, block_rows), (whole, 1, n - whole)):
            if rows:
                known = tape and tuple(tuple(_cut(h, start, count, rows) for h in layer) for layer in tape)
                x, y = _vectors(batch.x, start, count, rows), _vectors(batch.y, start, count, rows)
                sums.append(self._sums(params, x, y, known, scale.power))
        *gradients, loss = (
            sums[0] if len(sums) == 1 else (lax.concatenate(parts, 0) for parts in zip(*sums, strict=True))
        )
        stacked = lax.concatenate([lax.reshape(part, (1, part.size)) for part in gradients], 0)
        return lax.div(lax.reduce_sum(loss, (0,)), scale.rest), lax.div(lax.reduce_sum(stacked, (1,)), scale.rest)

    @staticmethod
    def scale(terms: int) -> Scale:
        """Return ``1 / terms`` for `gradients`, the rest as its divisor."""
        mantissa, exponent = math.frexp(terms)
        return Scale(2.0**-exponent, mantissa)

    def rows(self, batch: Batch, start: Any, rows: int) -> Batch:
        """Return ``rows`` rows from ``start`` on."""
        x, y = (lax.dynamic_slice_in_dim(array, start, rows, 1) for array in (batch.x, batch.y))
        return Batch(x, y)

    def _sums(self, params: jax.Array, x: Vectors, y: Vectors, known: Tape | None, power: Any) -> Vectors:
        """Return each gradient, and the loss, summed over each block, ``[blocks]``."""
        layers = self._layers(params, x[0].shape)
        (_, loss), gradients = jax.value_and_grad(self._loss, has_aux=True)(layers, x, y, known, power)
        parts = (*jax.tree.leaves(gradients), loss)
        zeros = tuple(lax.full((), 0, params.dtype) for _ in parts)
        sums: Vectors = lax.reduce(parts, zeros, lambda a, b: tuple(map(lax.add, a, b)), (1,))
        return sums

    def _loss(
        self, layers: Layers, x: Vectors, y: Vectors, known: Tape | None, power: Any
    ) -> tuple[jax.Array, jax.Array]:
        """Return the sum of the loss of some rows, times the power of two of the scale, and that of each."""
        predicted = self._outputs(layers, x, known)[-1]
        of_rows = lax.mul(self._loss_of_rows(predicted, y), power)
        return lax.reduce_sum(of_rows, (0, 1)), of_rows

    def _outputs(self, layers: Layers, x: Vectors, known: Tape | None) -> Tape:
        """Return every layer's output; those of a tape if there is one."""
        outputs: list[Vectors] = []
        for k, (rule, (w, b)) in enumerate(zip(self._rules, layers, strict=True)):
            outputs.append(rule(w, b, outputs[-1] if k else x, known[k] if known else None))
        return tuple(outputs)

    def _layers(self, params: jax.Array, shape: tuple[int, ...]) -> Layers:
        """Return ``(w[o][i], b[o])`` of each layer, each parameter once for every row."""
        of_rows = [lax.broadcast_in_dim(part, shape, (0,)) for part in lax.split(params, [1] * len(params))]
        return written_out(of_rows, self._network.sizes)


def written_out(params: Sequence[jax.Array], sizes: Sequence[int]) -> Layers:
    """Return ``(w[o][i], b[o])`` of each layer from all parameters in the order of their vector."""
    each = iter(params)
    return [
        (tuple(tuple(next(each) for _ in range(i)) for _ in range(o)), tuple(next(each) for _ in range(o)))
        for i, o in pairwise(sizes)
    ]


def _vectors(features: jax.Array, start: int, count: int, rows: int) -> Vectors:
    """Return ``[count, rows]`` of each feature."""
    return tuple(_cut(feature.reshape(-1), start, count, rows) for feature in lax.split(features, [1] * len(features)))


def _cut(vector: jax.Array, start: int, count: int, rows: int) -> jax.Array:
    """Return ``count`` blocks of ``rows`` rows from ``start`` on."""
    return lax.slice_in_dim(vector, start, start + count * rows).reshape(count, rows)
