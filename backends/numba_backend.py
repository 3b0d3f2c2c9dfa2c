"""The network in numba: compiled loops, one fused pass over the rows.

Two kinds of kernels share one layout. `numba_registers` holds a whole tiny network in registers; `numba_blocks` takes
any other. `numba_chunks` runs either, on one thread or on all. A batch is blocked and feature-major,
``[blocks, inputs and targets, pitch]``; parameters are one vector. No mathematics here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Backend, Capabilities, Layer, Network, Params, State
from backends.blas import Blas
from backends.layout import aligned_empty, copy_blocks
from backends.numba_blocking import blocking, room_length
from backends.numba_chunks import BACKWARD, FORWARD, loops, plan_of
from backends.numba_compile import compile_as


class Batch(NamedTuple):
    """Inputs and then targets, ``[blocks, i + o, pitch]``, of ``n`` rows; ``tiny``: one pass of `numba_registers`."""

    xy: Array
    n: int
    tiny: bool


class Tape(NamedTuple):
    """Outputs of all layers, ``[blocks, features, pitch]``, of ``n`` rows."""

    h: Array
    n: int


class NumbaBackend(Backend):
    """Loops compiled by numba."""

    name = "numba"
    block_rows: int
    capabilities = Capabilities(deterministic=frozenset({"process", "processes", "threads"}), compiles=True)

    def __init__(self, network: Network, dtype: str = "float32", device: str = "cpu") -> None:
        super().__init__(network, dtype, device)
        self._real: Any = np.dtype(dtype).type
        self._blocking = blocking(network, self._real)
        self.block_rows = self._blocking.rows
        family = self._blocking.family
        self._train, self._chunk = _kernels(network, self._real, family)
        self._gemm, self._blas = 0, None
        if family in ("wide", "huge"):
            from backends.numba_blas import gemm_address

            self._gemm = gemm_address(dtype)
            self._blas = Blas() if family == "wide" else None
        if family == "huge":
            self.capabilities = replace(self.capabilities, deterministic=frozenset({"process", "processes"}))
        self._plan: Array = plan_of(network)  # type: ignore[no-untyped-call]
        self._rooms: dict[tuple[int, int], Array] = {}
        self._loss = np.empty(1, self.dtype)

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Array:
        self.host_state(state)
        return np.concatenate([array.ravel() for layer in self.host_params(params) for array in layer])

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        x, y = self.host_batch(inputs, targets)
        n = len(x)
        pitch = self._blocking.cut(n)
        xy = np.empty((-(-n // pitch), self.network.inputs + self.network.outputs, pitch), self.dtype)
        copy_blocks(x, xy[:, : self.network.inputs])
        copy_blocks(y, xy[:, self.network.inputs :])
        return Batch(xy, n, self._train is not None and len(xy) == 1)

    def forward(self, params: Array, batch: Batch) -> Tape:
        blocks, _, pitch = batch.xy.shape
        tape = Tape(np.empty((blocks, sum(self.network.sizes[1:]), pitch), self.dtype), batch.n)
        self._run(FORWARD, params, batch, tape.h)
        return tape

    def backward(self, params: Array, batch: Batch, tape: Tape) -> tuple[float, Array]:
        room = self._run(BACKWARD, params, batch, tape.h)
        total = room[:, : len(params) + 1].sum(axis=0)
        return total[-1] / self._real(batch.n * self.network.outputs), total[:-1]

    def update(self, params: Array, gradients: Array, learning_rate: float) -> Array:
        _update(self.dtype)(params, gradients, self._real(learning_rate))
        return params

    def step(self, params: Array, batch: Batch, learning_rate: float) -> tuple[Array, float]:
        xy, n, tiny = batch
        if tiny:  # one call with few arguments: half a microsecond
            return params, self._train(params, xy, n, learning_rate, self._loss)
        self._steps(params, batch, learning_rate, self._loss)
        return params, self._loss[0]

    def train(
        self, params: Array, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Array, Array]:
        self.capabilities.require(self.name, self.network, minibatches=rows_per_step is not None)
        losses = np.empty(self.checked_steps(steps), self.dtype)
        if batch.tiny:
            self._train(params, batch.xy, batch.n, learning_rate, losses)
        else:
            self._steps(params, batch, learning_rate, losses)
        return self.trained(params, losses, learning_rate)

    def outputs(self, tape: Tape) -> tuple[Array, ...]:
        ends = np.cumsum(self.network.sizes[1:])
        rows_major = tape.h.transpose(0, 2, 1).reshape(-1, ends[-1])[: tape.n]
        return tuple(h.copy() for h in np.split(rows_major, ends[:-1], axis=1))

    def fetch(self, params: Array) -> Params:
        layers, at = [], 0
        for o, i in self.network.layer_shapes:
            split = at + o * i
            layers.append(Layer(params[at:split].reshape(o, i).copy(), params[split : split + o].copy()))
            at = split + o
        return tuple(layers)

    def describe(self) -> dict[str, str | int]:
        return {
            "framework": f"numba {numba.__version__}",
            "products": self.capabilities.products,
            "threads": numba.get_num_threads(),
            "kernels": self._blocking.family,
        }

    def _run(self, phases: int, params: Array, batch: Batch, tape: Array) -> Array:
        """Run forward or backward; return the room, in which each chunk has left its gradients."""
        room = self._room(batch.xy)
        chunks = len(room)
        run = loops(self._real, self._threads(chunks)).run
        with self._blas.held_to_one_thread() if self._blas else nullcontext():
            run(self._chunk(), chunks, phases, self._plan, params, batch.xy, batch.n, tape, room, self._gemm)
        return room

    def _steps(self, params: Array, batch: Batch, learning_rate: float, losses: Array) -> None:
        """Run a step for each of ``losses``, the BLAS held to one thread where chunks run on threads of their own.

        It is as well for the only block of wide layers: by threads of the BLAS, sums would depend on their number.
        """
        room = self._room(batch.xy)
        chunks = len(room)
        each = loops(self._real, self._threads(chunks))
        told = chunks, self._plan, params, batch.xy, batch.n, learning_rate, losses, room, self._gemm
        with self._blas.held_to_one_thread() if self._blas else nullcontext():
            each.train(self._chunk(), each.finish(), *told)

    def _threads(self, chunks: int) -> bool:
        """Return whether chunks are run on threads of numba's own."""
        return chunks > 1 and numba.get_num_threads() > 1

    def _room(self, xy: Array) -> Array:
        """Return scratch for each chunk, that of the last batch if it had the same shape: fresh pages are slow."""
        blocks, _, pitch = xy.shape
        key = min(self._blocking.chunks, blocks), pitch
        if key not in self._rooms:
            self._rooms.clear()
            length = room_length(self.network, pitch)
            self._rooms[key] = aligned_empty((key[0], length), np.dtype(self.dtype))
        return self._rooms[key]


def _kernels(network: Network, real: Any, family: str) -> tuple[Any, Any]:
    """Return the training loop of a tiny network, ``None`` for others, and what compiles the kernel of a chunk."""
    if family == "registers":
        from backends import numba_registers

        trained: tuple[Any, Any] = numba_registers.bind(network.sizes, real, "tanh")
        return trained
    from backends import numba_blocks

    return None, numba_blocks.chunk(real, "tanh", family in ("wide", "huge"))


@lru_cache
def _update(dtype: str) -> Any:
    """Return the update of plain descent."""

    def update(params, gradients, learning_rate):  # type: ignore[no-untyped-def]
        for k in range(params.shape[0]):
            params[k] -= learning_rate * gradients[k]

    return compile_as(update, dtype, fastmath={"contract"})
