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
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Backend, Capabilities, Layer, Network, Optimizer, Params, State
from backends.blas import Blas
from backends.layout import copy_feature_major
from backends.numpy_kernels import ACTIVATIONS, LOSSES, OPTIMIZERS
from backends.threads import SHARED_BYTES, BlockThreads, even_rows, rows_of_a_block

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


class Batch(NamedTuple):
    """Inputs ``[i + 1, rows]``, the last row ones, and targets ``[o, rows]``, a pair for each block of ``n`` rows.

    They are a share of ``of`` rows. ``whole`` is the same of all rows if the blocks are views of it; its inputs are
    row-major memory, transposed.
    """

    blocks: list[tuple[Array, Array]]
    n: int
    of: int
    whole: tuple[Array, Array] | None = None


class Vector(NamedTuple):
    """All parameters, or all gradients, in one vector; ``layers`` are its views ``[o, i + 1]``, biases last."""

    flat: Array
    layers: list[Array]


class Trained(NamedTuple):
    """The params of this backend: all parameters, and each moment of the optimiser as a vector like them.

    ``updates`` holds one number, how many updates the optimiser has made.
    """

    flat: Array
    layers: list[Array]
    moments: list[Array]
    updates: list[int]


class Scratch(NamedTuple):
    """Room for one block: outputs, error terms and slopes of every layer, and the block's gradients.

    ``flat_error`` is a view of the last layer's error terms. ``turned`` has room ``[i + 1, o]`` for the
    gradients of each layer of few outputs.
    """

    tape: list[Array]
    g: list[Array]
    flat_error: Array
    slope: list[Array]
    product: Vector
    turned: list[Array | None]


class Kept(threading.local):
    """Each thread's own scratch by rows of a block, kept from block to block: what is in its cache is used again."""

    def __init__(self) -> None:
        self.scratch: dict[int, Scratch] = {}


Tape = list[list[Array]]
"""For each block every layer's output: hidden ``[h + 1, rows]``, the last row ones, then predicted ``[o, rows]``."""


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
        room, slices = (np.empty((features + 1) * n, self.dtype), np.empty(y.size, self.dtype)), self._slices(n)

        def place(blocks: range) -> list[tuple[Array, Array]]:
            return [_place_block(x, y, slices[k], *room) for k in blocks]

        if len(slices) <= 1:
            return Batch(place(range(len(slices))), n, of)
        return Batch([block for run in self._threads.map(place, len(slices)) for block in run], n, of)

    def split(self, batch: Batch, rows_per_step: int) -> list[Batch]:
        rows = self.checked_rows(rows_per_step, batch.n)
        x, y = _whole(batch)
        return [self._blocks(x[:, k : k + rows], y[:, k : k + rows]) for k in range(0, batch.n, rows)]

    def host_memory(self, batch: Batch) -> list[Array]:
        if batch.whole:
            return [batch.whole[0].T, batch.whole[1]]
        return [array for block in batch.blocks for array in block]

    def cut(self, batch: Batch, start: int, stop: int, of: int | None = None) -> Batch:
        x, y = _whole(batch)
        return self._blocks(x[:, start:stop], y[:, start:stop], of)

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        rows = self.checked_order(order, batch.n)
        x, y = _whole(batch)
        if batch.whole:
            return self._blocks(x.T.take(rows, axis=0).T, y.take(rows, axis=1), batch.of)
        return self._blocks(x.take(rows, axis=1), y.take(rows, axis=1), batch.of)

    def forward(self, params: Trained, batch: Batch) -> Tape:
        def run(blocks: range) -> Tape:
            tapes = [self._empty_tape(batch.blocks[k][0].shape[1]) for k in blocks]
            for k, tape in zip(blocks, tapes, strict=True):
                x = batch.blocks[k][0]
                self._forward(params.layers, x, tape, self._scratch(x.shape[1]).slope)
            return tapes

        return [tape for tapes in self._map(run, batch) for tape in tapes]

    def backward(self, params: Trained, batch: Batch, tape: Tape) -> tuple[float, Vector]:
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
        rate = self._real(learning_rate)
        self._advance(params.flat, gradients.flat, params.moments, params.updates, rate, self.optimizer, self._room)
        return params

    def step(self, params: Trained, batch: Batch, learning_rate: float) -> tuple[Trained, float]:
        loss, gradients = self._gradients(params, batch, None)
        rate = self._real(learning_rate)
        self._advance(params.flat, gradients.flat, params.moments, params.updates, rate, self.optimizer, self._room)
        return params, loss

    def train(
        self, params: Trained, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Trained, Array]:
        with np.errstate(over="ignore", invalid="ignore"):  # training that overflows is reported once, at its end
            return super().train(params, batch, learning_rate, steps, rows_per_step)

    def outputs(self, tape: Tape) -> tuple[Array, ...]:
        rows = sum(block[-1].shape[1] for block in tape)
        return tuple(
            np.concatenate([block[k][:size].T for block in tape], out=np.empty((rows, size), self.dtype))
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

    def _gradients(self, params: Trained, batch: Batch, tape: Tape | None) -> tuple[float, Vector]:
        """Return the loss and its gradients, which the next call overwrites; without a tape it runs forward too."""
        terms = self._real(self.network.loss_terms(batch.of))

        def run(blocks: range) -> tuple[Any, Any]:
            total = self._total(blocks.start)
            loss = self._real(0)
            for k in blocks:
                x, y = batch.blocks[k]
                room = self._scratch(x.shape[1])
                h = room.tape if tape is None else tape[k]
                if tape is None:
                    self._forward(params.layers, x, h, room.slope)
                gradients = total if k == blocks.start else room.product
                loss += self._backward(params.layers, x, y, h, terms, room, gradients.layers)
                if gradients is not total:
                    np.add(total.flat, gradients.flat, total.flat)
            return loss, total

        parts = self._map(run, batch)
        loss, total = parts[0]
        for more, gradients in parts[1:]:
            loss += more
            np.add(total.flat, gradients.flat, total.flat)
        return loss / terms, total

    def _map(self, work: Any, batch: Batch) -> Any:
        """Run ``work`` on all blocks, on all threads if there is more than one block."""
        if len(batch.blocks) == 1:
            return [work(range(1))]
        with self._blas.held_to_one_thread():
            return self._threads.map(work, len(batch.blocks))

    def _forward(self, layers: list[Array], x: Array, tape: list[Array], room: list[Array]) -> None:
        """Write every layer's output of one block to ``tape``."""
        h = x
        for w, z, free in zip(layers[:-1], tape, room, strict=False):
            hidden = z[:-1]
            np.dot(w, h, hidden)
            self._activate(hidden, free)
            h = z
        np.dot(layers[-1], h, tape[-1])

    def _backward(
        self,
        layers: list[Array],
        x: Array,
        y: Array,
        tape: list[Array],
        terms: Any,
        room: Scratch,
        gradients: list[Array],
    ) -> Any:
        """Write the gradients of one block; return its sum of the terms of the loss."""
        g = room.g[-1]
        loss = self._loss(tape[-1], y, terms, g, room.flat_error)
        for k in range(len(layers) - 1, 0, -1):
            h = tape[k - 1]
            if room.turned[k] is not None and g.shape[1] >= MANY_ROWS:
                gradients[k][...] = np.dot(h, g.T, room.turned[k]).T
            else:
                np.dot(g, h.T, gradients[k])
            w = layers[k][:, :-1].T
            g = (np.multiply if len(g) == 1 and g.size >= MANY_ROWS else np.dot)(w, g, room.g[k - 1])
            self._times_slope(g, h[:-1], room.slope[k - 1])
        np.dot(g, x.T, gradients[0])
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
            return Batch([(x[:, rows], y[:, rows]) for rows in self._slices(n)], n, of, (x, y))
        copy = np.ascontiguousarray
        return Batch([(copy(x[:, rows]), copy(y[:, rows])) for rows in self._slices(n)], n, of)

    def _vector(self, flat: Array) -> Vector:
        layers, at = [], 0
        for o, i in self.network.layer_shapes:
            layers.append(flat[at : at + o * (i + 1)].reshape(o, i + 1))
            at += o * (i + 1)
        return Vector(flat, layers)

    def _empty_vector(self) -> Vector:
        return self._vector(np.empty(self.network.parameter_count, self.dtype))

    def _placed_vector(self, params: Params) -> Vector:
        vector = self._empty_vector()
        for view, (w, b) in zip(vector.layers, params, strict=True):
            view[:, :-1] = w
            view[:, -1] = b
        return vector

    def _empty_tape(self, rows: int) -> list[Array]:
        tape = [np.empty((size + 1, rows), self.dtype) for size in self.network.sizes[1:-1]]
        for h in tape:
            h[-1] = 1
        return [*tape, np.empty((self.network.outputs, rows), self.dtype)]

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
            kept[rows] = Scratch(self._empty_tape(rows), g, g[-1].ravel(), slope, self._empty_vector(), turned)
        return kept[rows]

    def _total(self, run: int) -> Vector:
        """Return the room for the gradients of a run of blocks, kept between steps."""
        if run not in self._totals:
            self._totals[run] = self._empty_vector()
        return self._totals[run]


def _place_block(x: Array, y: Array, rows: slice, x_room: Array, y_room: Array) -> tuple[Array, Array]:
    """Return rows of a batch as a block, in the part of the room that is theirs."""
    n, i, o = rows.stop - rows.start, x.shape[1] + 1, y.shape[1]
    placed = x_room[rows.start * i : rows.stop * i].reshape(i, n)
    targets = y_room[rows.start * o : rows.stop * o].reshape(o, n)
    copy_feature_major(x[rows], placed[:-1])
    copy_feature_major(y[rows], targets)
    placed[-1] = 1
    return placed, targets


def _whole(batch: Batch) -> tuple[Array, Array]:
    """Return inputs ``[i + 1, n]`` and targets ``[o, n]`` of all rows."""
    if batch.whole:
        return batch.whole
    if len(batch.blocks) == 1:
        return batch.blocks[0]
    x, y = zip(*batch.blocks, strict=True)
    return np.concatenate(x, axis=1), np.concatenate(y, axis=1)
