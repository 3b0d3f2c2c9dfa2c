"""Gradients and training of a network of few parameters, one kernel of a GPU each, in Pallas: JAX's own Triton.

A program takes its rows of a batch, a block at a time: it reads each input and target once, and keeps the gradients of
the rows of a block in registers. It adds them up over its blocks, and at its end over the rows. What is left to XLA is
the sum over programs. A batch that one program can take has no such sum: all its training is one kernel, and the
parameters stay in registers from step to step.

Products are written out as in `backends.jax_narrow`, and `jax.vjp` composes the gradient inside the kernel. Every sum
has a fixed order, so equal input gives equal bits. There is no matrix product, for which a GPU would take TF32.

Tests: `tests/backends/idioms/test_jax_pallas.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from backends.base import Network, Optimizer
from backends.idioms.fused_plan import Plan, plan_of, plan_of_one
from backends.jax_kernels import Kernels, jitted
from backends.jax_narrow import Batch, Narrow, Tape, Vectors, layer, written_out
from backends.jax_optimizers import OPTIMIZERS, Trained
from backends.jax_rules import ACTIVATIONS

RELU = ACTIVATIONS["relu"]._replace(value=lambda z: lax.select(lax.le(z, 0.0), lax.full_like(z, 0), z))
"""By comparison: a maximum of Triton's is a number if the other one is NaN."""


class Fused(Narrow):
    """The network in kernels. Forward, and gradients from a tape, are XLA's.

    Args:
        network: of few parameters: `backends.idioms.fused_plan.rows_of_a_thread` is not 0.
        block_rows: of sums by XLA.
        interpreted: whether Pallas interprets the kernels, on a CPU.
    """

    def __init__(self, network: Network, block_rows: int, interpreted: bool = False) -> None:
        super().__init__(network, block_rows)
        self._interpreted = interpreted
        if network.activation == "relu":
            self._rules = [*(layer(RELU) for _ in network.sizes[2:]), self._rules[-1]]

    def gradients(self, params: jax.Array, batch: Batch, tape: Tape | None = None) -> tuple[jax.Array, jax.Array]:
        """Return the loss and its gradients, one vector; without a tape by one kernel and a sum over its programs."""
        n, count = batch.x.shape[1], len(params)
        if tape is not None or n == 0:  # a share may have no rows
            return super().gradients(params, batch, tape)
        of = plan_of(self._network, batch.x.dtype.itemsize, n)
        scale = batch.scale or self.scale(self._network.loss_terms(n))
        last = n - (of.programs - 1) * of.blocks * of.rows

        def kernel(params: Any, power: Any, x: Any, y: Any, sums: Any) -> None:
            w = tuple(params[k] for k in range(count))
            is_last = lax.eq(pl.program_id(0), np.int32(of.programs - 1))
            blocks = lax.select(is_last, *map(np.int32, (last // of.rows, of.blocks)))
            total = self._sums_over_blocks(w, x, y, power[0], of.rows, blocks)
            if rest := last % of.rows:
                add = partial(self._add_rest, w, x, y, power[0], of.rows, last // of.rows, rest)
                total = lax.cond(is_last, add, lambda total: total, total)
            for k, part in enumerate(total):
                sums[0, k] = lax.reduce_sum(part, (0,))

        parts = pl.pallas_call(
            kernel,
            jax.ShapeDtypeStruct((of.programs, count + 1), params.dtype),
            grid=(of.programs,),
            in_specs=[
                pl.BlockSpec((count,), lambda p: (0,)),
                pl.BlockSpec((1,), lambda p: (0,)),
                *(pl.BlockSpec((len(array), of.blocks * of.rows), lambda p: (0, p)) for array in (batch.x, batch.y)),
            ],
            out_specs=pl.BlockSpec((1, count + 1), lambda p: (p, 0)),
            **self._options(of),
        )(params, jax.numpy.full((1,), scale.power, params.dtype), batch.x, batch.y)
        *gradients, loss = lax.split(lax.div(lax.reduce_sum(parts, (0,)), scale.rest), [count, 1])
        return lax.squeeze(loss, [0]), gradients[0]

    def train(
        self, optimizer: Optimizer, params: Any, batch: Batch, rate: jax.Array, steps: Any, most_losses: int
    ) -> tuple[Any, jax.Array] | None:
        """Return the params after ``steps`` steps on all rows, and the losses ``[most_losses]``.

        ``None`` if these are too many rows for one program, or a share.
        """
        n = batch.x.shape[1]
        of = plan_of_one(self._network, batch.x.dtype.itemsize, n)
        if of is None or batch.scale:
            return None
        kept = params if isinstance(params, Trained) else Trained(params, (), jax.numpy.int32(0))
        vectors = (kept.parameters, *kept.moments)
        steps = jax.numpy.int32(steps)
        kernel = self._training_kernel(optimizer, n, of.rows, len(vectors))
        losses, *new = pl.pallas_call(
            kernel,
            [
                jax.ShapeDtypeStruct((most_losses,), rate.dtype),
                *(jax.ShapeDtypeStruct(v.shape, v.dtype) for v in vectors),
            ],
            input_output_aliases={5 + k: 1 + k for k in range(len(vectors))},
            **self._options(of),
        )(*(jax.numpy.reshape(scalar, 1) for scalar in (steps, kept.updates, rate)), batch.x, batch.y, *vectors)
        if not isinstance(params, Trained):
            return new[0], losses
        updates = kept.updates + steps if optimizer.counts_updates else kept.updates
        return Trained(new[0], tuple(new[1:]), updates), losses

    def _training_kernel(self, optimizer: Optimizer, n: int, block_rows: int, vectors: int) -> Callable[..., None]:
        """Return the program of `train`: all its steps, on ``n`` rows, with parameters and moments in registers.

        Args:
            optimizer: what it advances the parameters by.
            n: rows of the batch.
            block_rows: rows of a block.
            vectors: how many there are of parameters and moments.
        """
        blocks, rest = divmod(n, block_rows)
        power, divisor = self.scale(self._network.loss_terms(n))
        advance = OPTIMIZERS[optimizer.name]

        def kernel(steps: Any, updates: Any, rate: Any, x: Any, y: Any, *refs: Any) -> None:
            given, losses, new = refs[:vectors], refs[vectors], refs[vectors + 1 :]
            last = self._read_rest(x, y, block_rows, blocks, rest) if rest else None

            def step(k: Any, state: tuple[Vectors, ...]) -> tuple[Vectors, ...]:
                w, *moments = state
                total = self._sums_over_blocks(w, x, y, power, block_rows, blocks)
                if last:
                    total = self._add_masked(w, *last, power, total)
                # By the inverse: it is exact for powers of two, and the quick division of a GPU need not be.
                *gradients, loss = (lax.mul(lax.reduce_sum(part, (0,)), 1 / divisor) for part in total)
                losses[k] = loss
                t, eta = updates[0] + k + 1, rate[0]
                advanced = [
                    advance(optimizer, each, g, tuple(of_each), t, eta)
                    for each, g, *of_each in zip(w, gradients, *moments, strict=True)
                ]
                return tuple(each for each, _ in advanced), *zip(*(kept for _, kept in advanced), strict=True)

            state = tuple(tuple(vector[k] for k in range(self._network.parameter_count)) for vector in given)
            for vector, values in zip(new, lax.fori_loop(0, steps[0], step, state), strict=True):
                for k, value in enumerate(values):
                    vector[k] = value

        return kernel

    def _options(self, of: Plan) -> dict[str, Any]:
        compiler = triton.CompilerParams(num_warps=of.warps, num_stages=1)
        return {"interpret": self._interpreted, "compiler_params": compiler}

    def _sums_over_blocks(self, w: Vectors, x: Any, y: Any, power: Any, rows: int, blocks: Any) -> Vectors:
        """Return each gradient, and the loss, of each row of a block, added up over the first whole blocks."""

        def add(k: Any, total: Vectors) -> Vectors:
            at = pl.ds(k * rows, rows)
            return tuple(map(lax.add, total, self._parts(w, _read(x, at), _read(y, at), power)))

        zeros = tuple(lax.full((rows,), 0, y.dtype) for _ in range(len(w) + 1))
        return zeros if isinstance(blocks, int) and blocks == 0 else lax.fori_loop(0, blocks, add, zeros)

    def _add_rest(
        self, w: Vectors, x: Any, y: Any, power: Any, rows: int, blocks: int, rest: int, total: Vectors
    ) -> Vectors:
        """Return the sums with the rows that are left over after the whole blocks."""
        return self._add_masked(w, *self._read_rest(x, y, rows, blocks, rest), power, total)

    def _read_rest(self, x: Any, y: Any, rows: int, blocks: int, rest: int) -> tuple[Vectors, Vectors, jax.Array]:
        """Return the inputs and targets of a block of which only ``rest`` rows are there, the last one repeated, and
        which rows are there.
        """
        row = lax.iota("int32", rows)
        at = lax.add(np.int32(blocks * rows), lax.min(row, np.int32(rest - 1)))
        return _read(x, at), _read(y, at), lax.lt(row, np.int32(rest))

    def _add_masked(self, w: Vectors, x: Vectors, y: Vectors, is_row: jax.Array, power: Any, total: Vectors) -> Vectors:
        """Return the sums with a block of which some rows are there. The others add nothing."""
        parts = self._parts(w, x, y, power)
        return tuple(
            lax.add(t, lax.select(is_row, part, lax.full_like(part, 0))) for t, part in zip(total, parts, strict=True)
        )

    def _parts(self, w: Vectors, x: Vectors, y: Vectors, power: Any) -> Vectors:
        """Return each gradient, and the loss, of each row."""
        layers = written_out([lax.broadcast(each, x[0].shape) for each in w], self._network.sizes)
        of_rows, pull = jax.vjp(lambda layers: self._loss_of_rows(self._outputs(layers, x, None)[-1], y), layers)
        (gradients,) = pull(lax.full_like(of_rows, power))
        return (*jax.tree.leaves(gradients), lax.mul(of_rows, power))


def _read(features: Any, at: Any) -> Vectors:
    """Return some rows of each feature."""
    return tuple(features[f, at] for f in range(len(features)))


@lru_cache
def kernels(network: Network, optimizer: Optimizer, block_rows: int, interpreted: bool) -> Kernels:
    """Return the kernels of one network, shared by all its backends in this process."""
    form = Fused(network, block_rows, interpreted)
    return jitted(form, optimizer, whole=partial(form.train, optimizer))
