"""The network in plain numpy: feature-major, without temporaries, in blocks on all cores.

The bias is a column of the weights, ``[o, i + 1]``, and each layer's input carries a row of ones, so a product computes
``w x + b`` in one call, and the gradient's product the row sums with it: fewer calls for a small batch, fewer passes
for a large one. numpy releases the interpreter lock inside its calls, so a large batch runs on a pool of threads, in
blocks, each in scratch that its thread keeps. What else was tried is in `docs/tuning.md`.

Tests: `tests/backends/test_contract.py`, `tests/backends/test_threads.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Backend, Capabilities, Layer, Network, Optimizer, Params, State
from backends.blas import Blas
from backends.numpy_batch import Batch, Batches, Block, memory, whole
from backends.numpy_kernels import ACTIVATIONS, LOSSES, OPTIMIZERS, Terms, pieces
from backends.numpy_products import Whole
from backends.numpy_workspace import Outputs, Scratch, Trained, Vector, Workspace
from backends.threads import BlockThreads, rows_of_a_block


class NumpyBackend(Backend):
    """Plain numpy."""

    name = "numpy"
    block_rows: int
    capabilities = Capabilities(
        deterministic=frozenset({"process", "processes"}),
        activations=tuple(ACTIVATIONS),
        losses=tuple(LOSSES),
        optimizers=tuple(OPTIMIZERS),
        minibatches=True,
        threads=True,
        shares=True,
    )

    def __init__(
        self,
        network: Network,
        dtype: str = "float32",
        device: str = "cpu",
        optimizer: Optimizer | None = None,
        threads: int | None = None,
    ) -> None:
        super().__init__(network, dtype, device, optimizer, threads)
        self._real = np.dtype(dtype).type
        self._activate, self._times_slope, in_place = ACTIVATIONS[network.activation]
        self._loss = LOSSES[network.loss]
        self._advance = OPTIMIZERS[self.optimizer.name]
        if threads is not None:
            self._blas.use(threads)
        self._workspace = Workspace(network, dtype, in_place)
        self._update_scratch = np.empty(network.parameter_count, dtype)
        vectors = 3 + len(self.optimizer.moments)  # parameters, gradients and scratch
        self._pieces = pieces(network.parameter_count, vectors * np.dtype(dtype).itemsize)
        self._rate: tuple[float, Any] = (float("nan"), None)
        self.block_rows = rows_of_a_block(self._workspace.row_values * np.dtype(dtype).itemsize)
        self._batches = Batches(network, dtype, self.block_rows, lambda: self._threads)

    @cached_property
    def _blas(self) -> Blas:
        """The BLAS, looked for when a batch has more than one block: that takes milliseconds."""
        return Blas()

    @cached_property
    def _threads(self) -> BlockThreads:
        return BlockThreads(self.threads or self._blas.threads)

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Trained:
        updates, moments = self.host_state(state)
        placed = self._workspace.placed_vector(self.host_params(params))
        return Trained(*placed, [self._workspace.placed_vector(moment).flat for moment in moments.values()], [updates])

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> Batch:
        return self._batches.place(*self.host_batch(inputs, targets, of), of)

    def split(self, batch: Batch, rows_per_step: int) -> list[Batch]:
        rows = self.checked_rows(rows_per_step, batch.n)
        x, y = whole(batch)
        return [self._batches.cut(x[:, k : k + rows], y[:, k : k + rows]) for k in range(0, batch.n, rows)]

    def host_memory(self, batch: Batch) -> list[Array]:
        return memory(batch)

    def cut(self, batch: Batch, start: int, stop: int, of: int | None = None) -> Batch:
        x, y = whole(batch)
        return self._batches.cut(x[:, start:stop], y[:, start:stop], of)

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        return self._batches.reordered(batch, self.checked_order(order, batch.n))

    def forward(self, params: Trained, batch: Batch) -> list[Outputs]:
        def run(blocks: range) -> list[Outputs]:
            tape = [self._workspace.outputs(batch.blocks[k].x.shape[1]) for k in blocks]
            for k, outputs in zip(blocks, tape, strict=True):
                block = batch.blocks[k]
                self._forward(params.layers, block, outputs, self._workspace.scratch(block.x.shape[1]))
            return tape

        try:
            return [outputs for tape in self._map(run, batch) for outputs in tape]
        except AttributeError as error:
            raise self.not_placed(params, batch) from error

    def backward(self, params: Trained, batch: Batch, tape: list[Outputs]) -> tuple[float, Vector]:
        loss, gradients = self._gradients(params, batch, tape)
        return loss, self._workspace.vector(gradients.flat.copy())

    def message(self, params: Trained, batch: Batch) -> Array:
        loss, gradients = self._gradients(params, batch, None)
        message = np.empty(gradients.flat.size + 1, self.dtype)
        message[:-1] = gradients.flat
        message[-1] = loss
        return message

    def from_message(self, message: Array) -> tuple[Any, Vector]:
        return message[-1], self._workspace.vector(message[:-1])

    def update(self, params: Trained, gradients: Vector, learning_rate: float) -> Trained:
        self._descend(params, gradients, learning_rate)
        return params

    def step(self, params: Trained, batch: Batch, learning_rate: float) -> tuple[Trained, float]:
        try:
            loss, gradients = self._gradients(params, batch, None)
        except AttributeError as error:
            raise self.not_placed(params, batch) from error
        self._descend(params, gradients, learning_rate)
        return params, loss

    def train(
        self, params: Trained, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Trained, Array]:
        with np.errstate(over="ignore", invalid="ignore"):  # training that overflows is reported once, at its end
            return super().train(params, batch, learning_rate, steps, rows_per_step)

    def outputs(self, tape: list[Outputs]) -> tuple[Array, ...]:
        rows = sum(block.h[-1].shape[1] for block in tape)
        return tuple(
            np.concatenate([block.h[k].T for block in tape], out=np.empty((rows, size), self.dtype))
            for k, size in enumerate(self.network.sizes[1:])
        )

    def fetch(self, params: Trained | Vector) -> Params:
        return tuple(Layer(view[:, :-1].copy(), view[:, -1].copy()) for view in params.layers)

    def fetch_state(self, params: Trained) -> State:
        moments = zip(self.optimizer.moments, params.moments, strict=True)
        return State(params.updates[0], {name: self.fetch(self._workspace.vector(flat)) for name, flat in moments})

    def describe(self) -> dict[str, str | int]:
        return {
            "framework": f"numpy {np.__version__}",
            "products": self.capabilities.products,
            "threads": self._threads.threads,
        }

    def _descend(self, params: Trained, gradients: Vector, learning_rate: float) -> None:
        """Update the params in place. The rate is kept from step to step as an array, which costs least in a step."""
        if self._rate[0] != learning_rate:
            rate = self.checked_rate(learning_rate)
            self._rate = rate, np.array(self._real(rate))
        rate, scratch = self._rate[1], self._update_scratch
        params.updates[0] += self.optimizer.counts_updates
        if len(self._pieces) == 1:  # views would cost as much as an update of a small network
            flat, moments = params.flat, params.moments
            self._advance(flat, gradients.flat, moments, params.updates[0], rate, self.optimizer, scratch)
            return
        for k in self._pieces:
            w, g, moments = params.flat[k], gradients.flat[k], [moment[k] for moment in params.moments]
            self._advance(w, g, moments, params.updates[0], rate, self.optimizer, scratch[: len(w)])

    def _gradients(self, params: Trained, batch: Batch, tape: list[Outputs] | None) -> tuple[float, Vector]:
        """Return the loss and its gradients, which the next call overwrites; without a tape it runs forward too."""
        if len(batch.blocks) == 1:
            loss, total = self._sums(params, batch, tape, range(1))
            return loss / batch.terms.number, total
        parts = self._map(partial(self._sums, params, batch, tape), batch)
        loss, total = parts[0]
        for more, gradients in parts[1:]:
            loss += more
            np.add(total.flat, gradients.flat, total.flat)
        return loss / batch.terms.number, total

    def _sums(self, params: Trained, batch: Batch, tape: list[Outputs] | None, blocks: range) -> tuple[Any, Vector]:
        """Return the sum of a run of blocks' terms of the loss, and their gradients."""
        total = self._workspace.total(blocks.start)
        loss: Any = None
        for k in blocks:
            block = batch.blocks[k]
            scratch = self._workspace.scratch(block.x.shape[1])
            outputs = scratch.outputs if tape is None else tape[k]
            gradients = total if k == blocks.start else scratch.product
            if tape is None:
                self._forward(params.layers, block, outputs, scratch)
            if tape is None and scratch.late_weights:
                more = self._backward_from_one_output(params, block, batch.terms, scratch, gradients)
            else:
                more = self._backward(params, block, outputs, batch.terms, scratch, gradients.layers)
            if k == blocks.start:
                loss = more
            else:
                loss += more
                np.add(total.flat, gradients.flat, total.flat)
        return loss, total

    def _map(self, work: Any, batch: Batch) -> Any:
        """Run ``work`` on all blocks, on all threads if there is more than one block."""
        if len(batch.blocks) == 1:
            return [work(range(1))]
        with self._blas.held_to_one_thread():
            return self._threads.map(work, len(batch.blocks))

    def _forward(self, layers: list[Array], block: Block, outputs: Outputs, scratch: Scratch) -> None:
        """Write every layer's output of one block."""
        multiply, below = block.products.multiply, block.operand
        for k, with_ones in enumerate(outputs.with_ones):
            multiply(layers[k], below, outputs.written[k])
            self._activate(outputs.h[k], scratch.g[k])
            below = with_ones
        multiply(layers[-1], below, outputs.written[-1])

    def _backward(
        self, params: Trained, block: Block, outputs: Outputs, terms: Terms, scratch: Scratch, gradients: list[Array]
    ) -> Any:
        """Write the gradients of one block; return its sum of the terms of the loss."""
        by, g, operands = block.products, scratch.g[-1], scratch.operands
        loss = self._loss(outputs.h[-1], block.y, terms, g, scratch.flat_error)
        for k in range(len(gradients) - 1, 0, -1):
            transposed_gradients = scratch.transposed_gradients[k]
            if transposed_gradients is not None:
                gradients[k][...] = np.dot(outputs.with_ones[k - 1], g.T, transposed_gradients).T
            else:
                by.sum_products(operands[k], outputs.transposed[k - 1], gradients[k])
            if not scratch.late_weights:
                if scratch.many and len(g) == 1:
                    np.multiply(params.transposed[k], g, scratch.below[k - 1])
                else:
                    scratch.multiply_below[k](params.transposed[k], operands[k], scratch.below_written[k - 1])
                g = scratch.below[k - 1]
            self._times_slope(g, outputs.h[k - 1], scratch.g[k - 1])
            g = scratch.g[k - 1]
        by.sum_products(operands[0], block.transposed, gradients[0])
        if scratch.late_weights:
            np.multiply(gradients[0], params.transposed[1], gradients[0])
        return loss

    def _backward_from_one_output(
        self, params: Trained, block: Block, terms: Terms, scratch: Scratch, gradients: Vector
    ) -> Any:
        """Do the same for `Scratch.late_weights`, from the scratch's own outputs, by fewer passes over all rows.

        The loss is the squared error, as of every network of one output. One product gives its sum and the output's
        gradients, and its factor multiplies sums, as the output's weights do.
        """
        errors, (first, last) = scratch.g[-1], gradients.layers
        np.subtract(scratch.outputs.h[-1], block.y, errors)
        Whole.sum_products(errors, scratch.with_errors, scratch.sums)
        self._times_slope(errors, scratch.outputs.h[0], scratch.g[0])
        block.products.sum_products(scratch.operands[0], block.transposed, first)
        np.multiply(first, params.transposed[1], first)
        last[...] = scratch.sums[:, :-1]
        np.multiply(gradients.flat, terms.slope, gradients.flat)
        return scratch.sums[0, -1]
