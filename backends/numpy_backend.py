"""The network in plain numpy: feature-major, without temporaries, in blocks on all cores.

The bias is a column of the weights, ``[o, i + 1]``, and each layer's input carries a row of ones, so a product computes
``w x + b`` in one call, and the gradient's product the row sums with it: fewer calls for a small batch, fewer passes
for a large one. numpy releases the interpreter lock inside its calls, so a large batch runs on a pool of threads, in
blocks so large that the threads rarely meet.

Blocks are cut by bytes: of 4 MiB, in scratch that a thread keeps from block to block. Blocks of 8 MiB, each run of them
with scratch of its own, took 1.04 times as long in float32 and 1.02 in float64 (lower quartiles, geometric mean over
seven cases from 3-2-1 to 784-512-10, n = 2^12 to 2^20, two cores, interleaved), and at 8-32-1, n = 2^20, 4.5 times the
bytes of X and Y instead of 1.3. Blocks of 2 or 8 MiB in kept scratch are within the noise of it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Backend, Capabilities, Layer, Network, Params
from backends.blas import Blas
from backends.layout import copy_feature_major
from backends.threads import BlockThreads, even_rows, rows_of_a_block


class Batch(NamedTuple):
    """Inputs ``[i + 1, rows]``, the last row ones, and targets ``[o, rows]``, a pair for each block of ``n`` rows."""

    blocks: list[tuple[Array, Array]]
    n: int


class Vector(NamedTuple):
    """All parameters, or all gradients, in one vector; ``layers`` are its views ``[o, i + 1]``, biases last."""

    flat: Array
    layers: list[Array]


class Scratch(NamedTuple):
    """Room for one block: outputs, error terms and derivatives of tanh of every layer, and the block's gradients."""

    tape: list[Array]
    g: list[Array]
    derivative: list[Array]
    product: Vector


class Kept(threading.local):
    """Each thread's own scratch by rows of a block, kept from block to block: what is in its cache is used again."""

    def __init__(self) -> None:
        self.scratch: dict[int, Scratch] = {}


Tape = list[list[Array]]
"""For each block every layer's output: hidden ``[h + 1, rows]``, the last row ones, then predicted ``[o, rows]``."""


class NumpyBackend(Backend):
    """Plain numpy."""

    name = "numpy"
    capabilities = Capabilities(deterministic=frozenset({"process", "processes"}))

    def __init__(self, network: Network, dtype: str = "float32", device: str = "cpu") -> None:
        super().__init__(network, dtype, device)
        self._real = np.dtype(dtype).type
        self._blas = Blas()
        self._threads = BlockThreads(self._blas.threads)
        self._kept = Kept()
        self._totals: dict[int, Vector] = {}
        row_bytes = (sum(network.sizes) + 2 * sum(network.sizes[1:])) * np.dtype(dtype).itemsize
        self.block_rows = rows_of_a_block(row_bytes)

    def place_params(self, params: Sequence[Layer]) -> Vector:
        vector = self._empty_vector()
        for view, (w, b) in zip(vector.layers, self.host_params(params), strict=True):
            view[:, :-1] = w
            view[:, -1] = b
        return vector

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        x, y = self.host_batch(inputs, targets)
        # One piece of memory for all blocks: the system gives it in large pages, which a block alone is too small for.
        room = np.empty((x.shape[1] + 1) * len(x), self.dtype), np.empty(y.size, self.dtype)
        rows = even_rows(len(x), self.block_rows, self._threads.threads)
        blocks = [slice(k, min(k + rows, len(x))) for k in range(0, len(x), rows)]
        return Batch([_place_block(x, y, block, *room) for block in blocks], len(x))

    def forward(self, params: Vector, batch: Batch) -> Tape:
        def run(blocks: range) -> Tape:
            tapes = [self._empty_tape(batch.blocks[k][0].shape[1]) for k in blocks]
            for k, tape in zip(blocks, tapes, strict=True):
                _forward(params.layers, batch.blocks[k][0], tape)
            return tapes

        return [tape for tapes in self._map(run, batch) for tape in tapes]

    def backward(self, params: Vector, batch: Batch, tape: Tape) -> tuple[float, Vector]:
        loss, gradients = self._gradients(params, batch, tape)
        return loss, self._vector(gradients.flat.copy())

    def update(self, params: Vector, gradients: Vector, learning_rate: float) -> Vector:
        np.subtract(params.flat, gradients.flat * self._real(learning_rate), params.flat)
        return params

    def step(self, params: Vector, batch: Batch, learning_rate: float) -> tuple[Vector, float]:
        loss, gradients = self._gradients(params, batch, None)
        np.multiply(gradients.flat, self._real(learning_rate), gradients.flat)
        np.subtract(params.flat, gradients.flat, params.flat)
        return params, loss

    def train(self, params: Vector, batch: Batch, learning_rate: float, steps: int) -> tuple[Vector, Array]:
        with np.errstate(over="ignore", invalid="ignore"):  # training that overflows is reported once, at its end
            return super().train(params, batch, learning_rate, steps)

    def outputs(self, tape: Tape) -> tuple[Array, ...]:
        rows = sum(block[-1].shape[1] for block in tape)
        return tuple(
            np.concatenate([block[k][:size].T for block in tape], out=np.empty((rows, size), self.dtype))
            for k, size in enumerate(self.network.sizes[1:])
        )

    def fetch(self, params: Vector) -> Params:
        return tuple(Layer(view[:, :-1].copy(), view[:, -1].copy()) for view in params.layers)

    def describe(self) -> dict[str, str | int]:
        return {
            "framework": f"numpy {np.__version__}",
            "products": self.capabilities.products,
            "threads": self._threads.threads,
        }

    def _gradients(self, params: Vector, batch: Batch, tape: Tape | None) -> tuple[float, Vector]:
        """Return the loss and its gradients, which the next call overwrites; without a tape it runs forward too."""
        entries = self._real(batch.n * self.network.outputs)
        scale = self._real(2) / entries

        def run(blocks: range) -> tuple[Any, Any]:
            total = self._total(blocks.start)
            squares = self._real(0)
            for k in blocks:
                x, y = batch.blocks[k]
                room = self._scratch(x.shape[1])
                h = room.tape if tape is None else tape[k]
                if tape is None:
                    _forward(params.layers, x, h)
                gradients = total if k == blocks.start else room.product
                squares += _backward(params.layers, x, y, h, scale, room, gradients.layers)
                if gradients is not total:
                    np.add(total.flat, gradients.flat, total.flat)
            return squares, total

        parts = self._map(run, batch)
        squares, total = parts[0]
        for more, gradients in parts[1:]:
            squares += more
            np.add(total.flat, gradients.flat, total.flat)
        return squares / entries, total

    def _map(self, work: Any, batch: Batch) -> Any:
        """Run ``work`` on all blocks, on all threads where there is more than one block."""
        if len(batch.blocks) == 1:
            return [work(range(1))]
        with self._blas.held_to_one_thread():
            return self._threads.map(work, len(batch.blocks))

    def _vector(self, flat: Array) -> Vector:
        layers, at = [], 0
        for o, i in self.network.layer_shapes:
            layers.append(flat[at : at + o * (i + 1)].reshape(o, i + 1))
            at += o * (i + 1)
        return Vector(flat, layers)

    def _empty_vector(self) -> Vector:
        return self._vector(np.empty(self.network.parameter_count, self.dtype))

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
            kept[rows] = Scratch(self._empty_tape(rows), g, [np.empty_like(h) for h in g[:-1]], self._empty_vector())
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


def _forward(layers: list[Array], x: Array, tape: list[Array]) -> None:
    """Write every layer's output of one block to ``tape``."""
    h = x
    for w, z in zip(layers[:-1], tape, strict=False):
        hidden = z[:-1]
        np.dot(w, h, hidden)
        np.tanh(hidden, hidden)
        h = z
    np.dot(layers[-1], h, tape[-1])


def _backward(
    layers: list[Array], x: Array, y: Array, tape: list[Array], scale: Any, room: Scratch, gradients: list[Array]
) -> Any:
    """Write the gradients of one block; return its sum of squares."""
    g = np.subtract(tape[-1], y, room.g[-1])
    error = g.ravel()
    squares = error.dot(error)
    np.multiply(g, scale, g)
    for k in range(len(layers) - 1, 0, -1):
        h = tape[k - 1]
        np.dot(g, h.T, gradients[k])
        hidden, derivative = h[:-1], room.derivative[k - 1]
        np.multiply(hidden, hidden, derivative)
        np.subtract(1, derivative, derivative)
        g = np.dot(layers[k][:, :-1].T, g, room.g[k - 1])
        np.multiply(g, derivative, g)
    np.dot(g, x.T, gradients[0])
    return squares
