"""Loss and gradients of a network of matrix products, feature-major, a block of rows at a time.

Outputs are feature-major, ``[features, rows]``: XLA's products and sums then run along long contiguous rows. Inputs and
targets stay as they come, ``[rows, features]``, since a product takes its second factor either way. Blocks of rows stay
in cache; a loop adds up their gradients, and what is left over is one more, shorter block. The gradients of a block are
those of its parts, which XLA computes side by side.

`jax.value_and_grad` composes the gradient from `layer`, the activation and the loss. Their derivatives are attached by
`jax.custom_vjp`: without them XLA is given transposed products, which it runs more slowly.

Tests: `tests/backends/test_jax_backend.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any, NamedTuple

import jax
from jax import lax

from backends.base import Network
from backends.jax_rules import ACTIVATIONS, Activation, Features, loss_of_rows
from backends.layout import equal_blocks, rows_each

PARTS = 2
"""Parts of a block whose gradients are computed side by side, if there are threads for them. XLA gives a product over
long rows one thread if its result is small, and starts operations together if none waits for another: those of two
parts never do. More parts compile longer.
"""
LEAST_OUTPUTS = 8
"""A first layer of fewer outputs than these has products too small for parts to gain anything."""
COPIED_ROWS = 1 << 14
"""From this many rows on a batch that is not cut has parts. These are copies, as blocks are anyway; shorter batches do
not repay them, nor do more inputs than the first layer has outputs, nor a tape.
"""

Layers = Sequence[tuple[jax.Array, jax.Array]]
"""Weights ``[o, i]`` and biases ``[o]`` of each layer."""


class Batch(NamedTuple):
    """Inputs and targets, both ``[features, n]`` or both ``[n, features]``; of a share, the scale of its batch."""

    x: jax.Array
    y: jax.Array
    scale: Scale | None = None


class Scale(NamedTuple):
    """``1 / N`` in two factors: a power of two, which rounds nothing, and the rest.

    Numbers are constants to XLA; of a share they are arrays, so that no total is compiled for.
    """

    power: Any
    rest: Any


class Tape(NamedTuple):
    """Every layer's output, for whole blocks ``[blocks, size, rows]`` and for the rest ``[size, m]``; either may be
    missing.
    """

    blocks: list[jax.Array] | None
    rest: list[jax.Array] | None


FEATURES = Features(
    total=lambda array: lax.reduce_sum(array, (0,)),
    greatest=lambda array: lax.reduce_max(array, (0,)),
    of_each=lambda rows, array: lax.broadcast_in_dim(rows, array.shape, (1,)),
)


def product(a: jax.Array, b: jax.Array, over: tuple[int, int] = (1, 0)) -> jax.Array:
    """Return the sum of products over an axis of ``a`` and one of ``b``, the matrix product by default.

    In the precision of the dtype: JAX's default is TF32 on recent GPUs.
    """
    return lax.dot_general(a, b, (((over[0],), (over[1],)), ((), ())), precision=lax.Precision.HIGHEST)


Rule = Callable[[jax.Array, jax.Array, jax.Array, jax.Array | None], jax.Array]


def layer(activation: Activation, features_axis: int = 0) -> Rule:
    """Return the rule ``h_out = activation(w h + b)``, with its derivative.

    Args:
        activation: of the layer.
        features_axis: of ``h``, ``[i, rows]`` or ``[rows, i]``.

    The rule takes ``h_out`` too if it is known already, from a tape, and does not compute it again.
    """

    def forward(
        w: jax.Array, b: jax.Array, h: jax.Array, known: jax.Array | None
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
        if known is None:
            z = product(w, h, over=(1, features_axis))
            known = activation.value(lax.add(z, lax.broadcast_in_dim(b, z.shape, (0,))))
        return known, (w, h, known)

    def backward(kept: tuple[jax.Array, jax.Array, jax.Array], g: jax.Array) -> tuple[Any, ...]:
        w, h, h_out = kept
        g = activation.backward(h_out, g)
        dw, db = product(g, h, over=(1, 1 - features_axis)), lax.reduce_sum(g, (1,))
        return dw, db, product(w, g, over=(0, 0)) if features_axis == 0 else None, None

    rule = jax.custom_vjp(lambda w, b, h, known: forward(w, b, h, known)[0])
    rule.defvjp(forward, backward)
    return rule


class Wide:
    """The network on batches that are cut into blocks of ``block_rows`` rows, from two of them on.

    Args:
        network: its sizes, activation and loss.
        block_rows: rows of a block.
        features_axis: of inputs and targets, ``[features, n]`` or ``[n, features]``.
        threads: that XLA has, as far as parts of a block use them.
    """

    def __init__(self, network: Network, block_rows: int, features_axis: int, threads: int = 1) -> None:
        self.rows_axis = 1 - features_axis
        self._parts = min(threads, PARTS) if network.sizes[1] >= LEAST_OUTPUTS else 1
        self._network = network
        self._block_rows = block_rows
        hidden = ACTIVATIONS[network.activation]
        self._rules = [
            layer(hidden, features_axis),
            *(layer(hidden) for _ in network.sizes[3:]),
            layer(ACTIVATIONS["identity"]),
        ]
        self._loss_of_rows = loss_of_rows(network.loss, FEATURES)

    def forward(self, params: Any, batch: Batch) -> Tape:
        """Return every layer's output."""
        layers, (blocks, rows, rest) = self._layers(params), self._cut(batch)
        whole = None
        if blocks:
            whole = lax.map(
                lambda k: self._outputs(layers, self.rows(batch, k * rows, rows).x), lax.iota("int32", blocks)
            )
        return Tape(whole, self._outputs(layers, self._rest(batch, rest).x) if rest else None)

    def gradients(self, params: Any, batch: Batch, tape: Tape | None = None) -> tuple[jax.Array, Any]:
        """Return the loss and its gradients, in the form of the parameters; from a tape if there is one."""
        blocks, rows, rest = self._cut(batch)
        layers = self._layers(params)
        scale = batch.scale or self.scale(self._network.loss_terms(batch.y.shape[self.rows_axis]))
        total: Any = jax.tree.map(lambda part: lax.full_like(part, 0), (lax.full((), 0, batch.x.dtype), layers))
        if rest:
            known = tape.rest if tape else None
            few_inputs = self._network.inputs <= self._network.sizes[1]
            parts = self._parts if few_inputs and rest >= COPIED_ROWS and not known else 1
            total = self._of_parts(parts, layers, scale.power, self._rest(batch, rest), known)
        if blocks:
            tapes = (tape.blocks if tape else None) or []

            def add(k: Any, total: Any) -> Any:
                known = [lax.dynamic_index_in_dim(h, k, 0, keepdims=False) for h in tapes]
                block = self.rows(batch, k * rows, rows)
                return added(total, self._of_parts(self._parts, layers, scale.power, block, known))

            total = lax.fori_loop(0, blocks, add, total)
        # Of 1 / N the power of two is taken row by row, which rounds nothing, and the rest once at the end: XLA fuses
        # the factor into the sums over rows, where a factor that rounds would keep errors that cancel from cancelling.
        if not (isinstance(scale.rest, float) and scale.rest == 1):
            total = jax.tree.map(lambda part: lax.mul(part, scale.rest), total)
        return total if isinstance(params, tuple) else (total[0], _vector(total[1]))

    @staticmethod
    def scale(terms: int) -> Scale:
        """Return ``1 / terms`` for `gradients`."""
        power = power_of_two(terms)
        return Scale(power, 1 / (terms * power))

    def _of_parts(
        self, parts: int, layers: Layers, power: Any, block: Batch, known: Sequence[jax.Array] | None
    ) -> tuple[jax.Array, Layers]:
        """Return a block's part of loss and gradients, the sum of those of its own parts."""
        n = block.x.shape[self.rows_axis]
        each = rows_each(n, parts)
        sums = []
        for start in range(0, n, each):
            stop = min(start + each, n)
            x, y = (lax.slice_in_dim(array, start, stop, axis=self.rows_axis) for array in (block.x, block.y))
            of_part = [lax.slice_in_dim(h, start, stop, axis=1) for h in known] if known else None
            sums.append(self._gradients(layers, power, x, y, of_part))
        return reduce(added, sums)

    def _gradients(
        self, layers: Layers, power: Any, x: jax.Array, y: jax.Array, known: Sequence[jax.Array] | None
    ) -> tuple[jax.Array, Layers]:
        """Return a block's part of loss and gradients, times the power of two of the scale."""
        return jax.value_and_grad(self._loss)(layers, power, x, y, known)

    def _loss(
        self, layers: Layers, power: Any, x: jax.Array, y: jax.Array, known: Sequence[jax.Array] | None
    ) -> jax.Array:
        """Return a block's part of the loss, times the power of two of the scale."""
        predicted = self._outputs(layers, x, known)[-1]
        y = lax.transpose(y, (1, 0)) if self.rows_axis == 0 else y
        return lax.mul(lax.reduce_sum(self._loss_of_rows(predicted, y), (0,)), power)

    def _outputs(self, layers: Layers, x: jax.Array, known: Sequence[jax.Array] | None = None) -> list[jax.Array]:
        """Return every layer's output, ``[size, rows]``; those of a tape if there is one."""
        outputs: list[jax.Array] = []
        for k, (rule, (w, b)) in enumerate(zip(self._rules, layers, strict=True)):
            outputs.append(rule(w, b, outputs[-1] if k else x, known[k] if known else None))
        return outputs

    def _cut(self, batch: Batch) -> tuple[int, int, int]:
        """Return how many blocks a loop runs over, of how many rows, and how many rows are left over."""
        n = batch.x.shape[self.rows_axis]
        blocks, rows = equal_blocks(n, self._block_rows)
        return (blocks, rows, n - blocks * rows) if blocks > 1 else (0, 0, n)

    def rows(self, batch: Batch, start: Any, rows: int) -> Batch:
        """Return ``rows`` rows from ``start`` on."""
        x, y = (lax.dynamic_slice_in_dim(array, start, rows, self.rows_axis) for array in (batch.x, batch.y))
        return Batch(x, y)

    def _rest(self, batch: Batch, rows: int) -> Batch:
        """Return the last rows."""
        n = batch.x.shape[self.rows_axis]
        if rows == n:
            return batch
        x, y = (lax.slice_in_dim(array, n - rows, n, axis=self.rows_axis) for array in (batch.x, batch.y))
        return Batch(x, y)

    def _layers(self, params: Any) -> Layers:
        """Return weights and biases of each layer, cut from the vector of all if params are one."""
        if isinstance(params, tuple):
            return params
        shapes = list(pairwise(self._network.sizes))
        parts = iter(lax.split(params, [length for i, o in shapes for length in (o * i, o)]))
        return tuple((lax.reshape(next(parts), (o, i)), next(parts)) for i, o in shapes)


def added(left: Any, right: Any) -> Any:
    """Return the sums of two trees, array by array."""
    return jax.tree.map(lax.add, left, right)


def _vector(layers: Layers) -> jax.Array:
    """Return weights and biases of all layers in one vector."""
    return lax.concatenate([lax.reshape(part, (part.size,)) for layer in layers for part in layer], 0)


def power_of_two(terms: int) -> float:
    """Return the largest power of two of at most ``1 / terms``."""
    return 0.5 ** (terms - 1).bit_length()
