"""The network in plain numpy: feature-major, without temporaries, in blocks on all cores.

The bias is a column of the weights, ``[o, i + 1]``, and each layer's input carries a row of ones, so a product computes
``w x + b`` in one call, and the gradient's product the row sums with it: fewer calls for a small batch, fewer passes
for a large one. numpy releases the interpreter lock inside its calls, so a large batch runs on a pool of threads, in
blocks, each in scratch that its thread keeps. What else was tried is in `docs/tuning.md`.

Tests: `tests/backends/test_contract.py`, `tests/backends/test_threads.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Backend, Capabilities, Layer, Network, Optimizer, Params, State
from backends.blas import Blas
from backends.layout import copy_feature_major, copy_run
from backends.numpy_kernels import ACTIVATIONS, LOSSES, OPTIMIZERS, Terms, terms_of
from backends.threads import PLACING_RUNS, SHARED_BYTES, BlockThreads, even_rows, rows_of_a_block

WIDE_INPUTS = 32
"""From this many inputs on a batch stays row-major: placing, splitting and reordering it are then copies of whole rows.
Products of fewer features are faster from feature-major blocks.
"""

MANY_ROWS = 1024
"""From this many rows on, multiplying by one row is faster than a product of the BLAS."""

FEW_OUTPUTS, MANY_INPUTS = 16, 128
"""The gradients of a layer of so few outputs and so many inputs are computed transposed: with the long side first the
BLAS takes 0.3 to 0.65 of the time.
"""


class Block(NamedTuple):
    """Inputs ``x [i + 1, rows]``, the last row ones, the same transposed, and targets ``y [o, rows]``."""

    x: Array
    x_transposed: Array
    y: Array


class Batch(NamedTuple):
    """Blocks of ``n`` rows in all, a share of ``of``, and the terms of their loss.

    ``whole`` is inputs and targets of all rows if the blocks are views of it; its inputs are row-major memory,
    transposed.
    """

    blocks: list[Block]
    n: int
    of: int
    terms: Terms
    whole: tuple[Array, Array] | None = None


class Vector(NamedTuple):
    """All parameters, or all gradients, in one vector.

    ``layers`` are its views ``[o, i + 1]``, biases last; ``transposed`` their weights alone as ``[i, o]``.
    """

    flat: Array
    layers: list[Array]
    transposed: list[Array]


class Trained(NamedTuple):
    """The params of this backend: a `Vector`, and each moment of the optimiser as a vector like ``flat``.

    ``updates`` holds one number, how many updates the optimiser has made.
    """

    flat: Array
    layers: list[Array]
    transposed: list[Array]
    moments: list[Array]
    updates: list[int]


class Outputs(NamedTuple):
    """Every layer's output ``h [size, rows]`` of one block.

    ``with_ones [size + 1, rows]`` is the same memory and a last row of ones (predicted has none), ``transposed`` that.
    """

    h: list[Array]
    with_ones: list[Array]
    transposed: list[Array]


class Scratch(NamedTuple):
    """Room for one block: outputs, error terms and slopes of every layer, and the block's gradients.

    ``flat_error`` is a view of the last layer's error terms. ``turned`` has room ``[i + 1, o]`` for the
    gradients of each layer of few outputs.
    """

    outputs: Outputs
    g: list[Array]
    flat_error: Array
    slope: list[Array]
    product: Vector
    turned: list[Array | None]


class Kept(threading.local):
    """Each thread's own scratch by rows of a block, kept from block to block: what is in its cache is used again."""

    def __init__(self) -> None:
        self.scratch: dict[int, Scratch] = {}


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
        self._activate, self._times_slope = ACTIVATIONS[network.activation]
        self._loss = LOSSES[network.loss]
        self._advance = OPTIMIZERS[self.optimizer.name]
        if threads is not None:
            self._blas.use(threads)
        self._kept = Kept()
        self._totals: dict[int, Vector] = {}
        self._room = np.empty(network.parameter_count, dtype)
        self._rate: tuple[float, Any] = (float("nan"), None)
        # Outputs with their ones, error terms, slopes.
        values = sum(size + 1 for size in network.sizes[1:-1]) + sum(network.sizes[1:]) + sum(network.sizes[1:-1])
        self.block_rows = rows_of_a_block((values + network.outputs) * np.dtype(dtype).itemsize)

    @cached_property
    def _blas(self) -> Blas:
        """The BLAS, looked for when a batch has more than one block: that takes milliseconds."""
        return Blas()

    @cached_property
    def _threads(self) -> BlockThreads:
        return BlockThreads(self.threads or self._blas.threads)

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Trained:
        updates, moments = self.host_state(state)
        placed = self._placed_vector(self.host_params(params))
        return Trained(*placed, [self._placed_vector(moment).flat for moment in moments.values()], [updates])

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> Batch:
        x, y = self.host_batch(inputs, targets, of)
        n, features = x.shape
        of = n if of is None else of
        if features >= WIDE_INPUTS:
            rows_major, feature_major = np.empty((n, features + 1), self.dtype), np.empty((y.shape[1], n), self.dtype)

            def copy(rows: slice) -> None:
                rows_major[rows, :-1] = x[rows]
                rows_major[rows, -1] = 1
                copy_feature_major(y[rows], feature_major[:, rows])

            if rows_major.nbytes >= SHARED_BYTES:
                self._threads.copy(copy, n)
            else:
                copy(slice(n))
            return self._blocks(rows_major.T, feature_major, of)
        # One piece of memory for all blocks: the system gives it in large pages, which a block alone is too small for.
        x_room, y_room = np.empty((features + 1) * n, self.dtype), np.empty(y.size, self.dtype)
        slices = self._slices(n)

        def place(run: range) -> list[Block]:
            rows = slice(slices[run.start].start, slices[run.stop - 1].stop)
            copy_run(x, x_room, rows, slices[0].stop, ones=1)
            copy_run(y, y_room, rows, slices[0].stop)
            return [
                _block(_of_room(x_room, features + 1, slices[k]), _of_room(y_room, y.shape[1], slices[k])) for k in run
            ]

        if len(slices) == 1:
            return self._batch(place(range(1)), n, of)
        runs = self._threads.map(place, len(slices), PLACING_RUNS)
        return self._batch([block for run in runs for block in run], n, of)

    def split(self, batch: Batch, rows_per_step: int) -> list[Batch]:
        rows = self.checked_rows(rows_per_step, batch.n)
        x, y = _whole(batch)
        return [self._blocks(x[:, k : k + rows], y[:, k : k + rows]) for k in range(0, batch.n, rows)]

    def host_memory(self, batch: Batch) -> list[Array]:
        if batch.whole:
            return [batch.whole[0].T, batch.whole[1]]
        return [array for block in batch.blocks for array in (block.x, block.y)]

    def cut(self, batch: Batch, start: int, stop: int, of: int | None = None) -> Batch:
        x, y = _whole(batch)
        return self._blocks(x[:, start:stop], y[:, start:stop], of)

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        rows = self.checked_order(order, batch.n)
        x, y = _whole(batch)
        if batch.whole:
            return self._blocks(x.T.take(rows, axis=0).T, y.take(rows, axis=1), batch.of)
        return self._blocks(x.take(rows, axis=1), y.take(rows, axis=1), batch.of)

    def forward(self, params: Trained, batch: Batch) -> list[Outputs]:
        def run(blocks: range) -> list[Outputs]:
            tape = [self._outputs(batch.blocks[k].x.shape[1]) for k in blocks]
            for k, outputs in zip(blocks, tape, strict=True):
                x = batch.blocks[k].x
                self._forward(params.layers, x, outputs, self._scratch(x.shape[1]).slope)
            return tape

        return [outputs for tape in self._map(run, batch) for outputs in tape]

    def backward(self, params: Trained, batch: Batch, tape: list[Outputs]) -> tuple[float, Vector]:
        loss, gradients = self._gradients(params, batch, tape)
        return loss, self._vector(gradients.flat.copy())

    def message(self, params: Trained, batch: Batch) -> Array:
        loss, gradients = self._gradients(params, batch, None)
        message = np.empty(gradients.flat.size + 1, self.dtype)
        message[:-1] = gradients.flat
        message[-1] = loss
        return message

    def from_message(self, message: Array) -> tuple[Any, Vector]:
        return message[-1], self._vector(message[:-1])

    def update(self, params: Trained, gradients: Vector, learning_rate: float) -> Trained:
        self._descend(params, gradients, learning_rate)
        return params

    def step(self, params: Trained, batch: Batch, learning_rate: float) -> tuple[Trained, float]:
        loss, gradients = self._gradients(params, batch, None)
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
        return State(params.updates[0], {name: self.fetch(self._vector(flat)) for name, flat in moments})

    def describe(self) -> dict[str, str | int]:
        return {
            "framework": f"numpy {np.__version__}",
            "products": self.capabilities.products,
            "threads": self._threads.threads,
        }

    def _descend(self, params: Trained, gradients: Vector, learning_rate: float) -> None:
        """Update the params in place. The rate is kept from step to step as an array, which costs least in a step."""
        if self._rate[0] != learning_rate:
            self._rate = learning_rate, np.array(self._real(learning_rate))
        rate = self._rate[1]
        self._advance(params.flat, gradients.flat, params.moments, params.updates, rate, self.optimizer, self._room)

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
        total = self._total(blocks.start)
        loss: Any = None
        for k in blocks:
            block = batch.blocks[k]
            room = self._scratch(block.x.shape[1])
            outputs = room.outputs if tape is None else tape[k]
            if tape is None:
                self._forward(params.layers, block.x, outputs, room.slope)
            if k == blocks.start:
                loss = self._backward(params, block, outputs, batch.terms, room, total.layers)
            else:
                loss += self._backward(params, block, outputs, batch.terms, room, room.product.layers)
                np.add(total.flat, room.product.flat, total.flat)
        return loss, total

    def _map(self, work: Any, batch: Batch) -> Any:
        """Run ``work`` on all blocks, on all threads if there is more than one block."""
        if len(batch.blocks) == 1:
            return [work(range(1))]
        with self._blas.held_to_one_thread():
            return self._threads.map(work, len(batch.blocks))

    def _forward(self, layers: list[Array], x: Array, outputs: Outputs, room: list[Array]) -> None:
        """Write every layer's output of one block."""
        below = x
        for k, free in enumerate(room):
            h = outputs.h[k]
            np.dot(layers[k], below, h)
            self._activate(h, free)
            below = outputs.with_ones[k]
        np.dot(layers[-1], below, outputs.h[-1])

    def _backward(
        self, params: Trained, block: Block, outputs: Outputs, terms: Terms, room: Scratch, gradients: list[Array]
    ) -> Any:
        """Write the gradients of one block; return its sum of the terms of the loss."""
        g = room.g[-1]
        loss = self._loss(outputs.h[-1], block.y, terms, g, room.flat_error)
        for k in range(len(gradients) - 1, 0, -1):
            many, turned = g.shape[1] >= MANY_ROWS, room.turned[k]
            if many and turned is not None:
                gradients[k][...] = np.dot(outputs.with_ones[k - 1], g.T, turned).T
            else:
                np.dot(g, outputs.transposed[k - 1], gradients[k])
            g = (np.multiply if many and len(g) == 1 else np.dot)(params.transposed[k], g, room.g[k - 1])
            self._times_slope(g, outputs.h[k - 1], room.slope[k - 1])
        np.dot(g, block.x_transposed, gradients[0])
        return loss

    def _slices(self, n: int) -> list[slice]:
        """Return the rows of each block."""
        rows = max(n, 1) if n <= self.block_rows else even_rows(n, self.block_rows, self._threads.threads)
        return [slice(k, min(k + rows, n)) for k in range(0, n, rows)] or [slice(0, 0)]

    def _blocks(self, x: Array, y: Array, of: int | None = None) -> Batch:
        """Return a batch of inputs ``[i + 1, n]``, with ones, and targets ``[o, n]``, or a share of ``of`` rows."""
        n = x.shape[1]
        of = n if of is None else of
        if self.network.inputs >= WIDE_INPUTS:
            return self._batch([_block(x[:, rows], y[:, rows]) for rows in self._slices(n)], n, of, (x, y))
        copy = np.ascontiguousarray
        return self._batch([_block(copy(x[:, rows]), copy(y[:, rows])) for rows in self._slices(n)], n, of)

    def _batch(self, blocks: list[Block], n: int, of: int, whole: tuple[Array, Array] | None = None) -> Batch:
        return Batch(blocks, n, of, terms_of(self.network.loss_terms(of), self.dtype), whole)

    def _vector(self, flat: Array) -> Vector:
        layers, at = [], 0
        for o, i in self.network.layer_shapes:
            layers.append(flat[at : at + o * (i + 1)].reshape(o, i + 1))
            at += o * (i + 1)
        return Vector(flat, layers, [view[:, :-1].T for view in layers])

    def _empty_vector(self) -> Vector:
        return self._vector(np.empty(self.network.parameter_count, self.dtype))

    def _placed_vector(self, params: Params) -> Vector:
        vector = self._empty_vector()
        for view, (w, b) in zip(vector.layers, params, strict=True):
            view[:, :-1] = w
            view[:, -1] = b
        return vector

    def _outputs(self, rows: int) -> Outputs:
        """Return new memory for the outputs of a block of that many rows."""
        hidden = [np.empty((size + 1, rows), self.dtype) for size in self.network.sizes[1:-1]]
        for h in hidden:
            h[-1] = 1
        predicted = np.empty((self.network.outputs, rows), self.dtype)
        return Outputs([*(h[:-1] for h in hidden), predicted], [*hidden, predicted], [h.T for h in hidden])

    def _scratch(self, rows: int) -> Scratch:
        """Return this thread's room for a block of that many rows."""
        kept = self._kept.scratch
        if rows not in kept:
            g = [np.empty((size, rows), self.dtype) for size in self.network.sizes[1:]]
            turned = [
                np.empty((i + 1, o), self.dtype) if 1 < o <= FEW_OUTPUTS and i >= MANY_INPUTS else None
                for o, i in self.network.layer_shapes
            ]
            slope = [np.empty_like(h) for h in g[:-1]]
            kept[rows] = Scratch(self._outputs(rows), g, g[-1].ravel(), slope, self._empty_vector(), turned)
        return kept[rows]

    def _total(self, run: int) -> Vector:
        """Return the room for the gradients of a run of blocks, kept between steps."""
        if run not in self._totals:
            self._totals[run] = self._empty_vector()
        return self._totals[run]


def _block(x: Array, y: Array) -> Block:
    return Block(x, x.T, y)


def _of_room(room: Array, size: int, rows: slice) -> Array:
    """Return the block ``[size, rows]`` of memory that holds one after the other."""
    return room[rows.start * size : rows.stop * size].reshape(size, rows.stop - rows.start)


def _whole(batch: Batch) -> tuple[Array, Array]:
    """Return inputs ``[i + 1, n]`` and targets ``[o, n]`` of all rows."""
    if batch.whole:
        return batch.whole
    if len(batch.blocks) == 1:
        return batch.blocks[0].x, batch.blocks[0].y
    return np.concatenate([block.x for block in batch.blocks], 1), np.concatenate(
        [block.y for block in batch.blocks], 1
    )
