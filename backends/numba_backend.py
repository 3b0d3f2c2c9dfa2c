"""The network in numba: jitted loops, one fused pass over the rows.

Two families of kernels share one layout. `numba_registers` holds a whole tiny network in registers; `numba_blocks`
takes any other. Inputs and targets are blocked and feature-major, ``[blocks, features, rows]``; parameters are one
vector. No mathematics here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange
from numpy.typing import ArrayLike

from backends import numba_registers
from backends.base import Array, Backend, BackendUnavailable, Capabilities, Layer, Network, Params, State
from backends.blas import Blas
from backends.numba_blocking import blocking
from backends.numba_compile import compile_as, serial_and_parallel

PARALLEL_PLACE = 1 << 16


class Batch(NamedTuple):
    """Inputs ``[blocks, i, rows]`` and targets ``[blocks, o, rows]`` of ``n`` rows; ``parallel``: worth all threads."""

    x: Array
    y: Array
    n: int
    parallel: bool


class Tape(NamedTuple):
    """Outputs of all layers, ``[blocks, features, rows]``, of ``n`` rows."""

    h: Array
    n: int


class NumbaBackend(Backend):
    """Loops compiled by numba."""

    name = "numba"
    capabilities = Capabilities(deterministic=frozenset({"process", "processes", "threads"}), compiles=True)

    def __init__(self, network: Network, dtype: str = "float32", device: str = "cpu") -> None:
        super().__init__(network, dtype, device)
        self._real = np.dtype(dtype).type
        self._blocking = blocking(network, self._real)
        self.block_rows = self._blocking.rows
        family = self._blocking.family
        if family == "huge":
            self.capabilities = replace(self.capabilities, deterministic=frozenset({"process", "processes"}))
        self._kernels: dict[str, Any]
        if family == "registers":
            bind: Any = numba_registers.bind
            self._kernels = bind(network.sizes, self._real)
        else:
            self._kernels = _numba_blocks().bind(network, self._real, self._blocking.chunks)
        self._step = None if family == "wide" else self._kernels["step"]
        self._update, self._place, self._place_parallel = _vector_kernels(dtype)
        self._blas = None if family in ("registers", "huge") else Blas()

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Array:
        self.host_state(state)
        return np.concatenate([array.ravel() for layer in self.host_params(params) for array in layer])

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        x, y = self.host_batch(inputs, targets)
        n = len(x)
        rows = self._blocking.cut(n)
        blocks = -(-n // rows)
        parallel = blocks > 1 and self._blocking.family != "huge"
        return Batch(self._blocked(x, blocks, rows), self._blocked(y, blocks, rows), n, parallel)

    def forward(self, params: Array, batch: Batch) -> Tape:
        blocks, _, rows = batch.x.shape
        tape = Tape(np.empty((blocks, sum(self.network.sizes[1:]), rows), self.dtype), batch.n)
        self._run("forward", batch, params, batch.x, batch.n, tape.h)
        return tape

    def backward(self, params: Array, batch: Batch, tape: Tape) -> tuple[float, Array]:
        gradients = np.empty_like(params)
        return self._run("backward", batch, params, batch.x, batch.y, batch.n, tape.h, gradients), gradients

    def update(self, params: Array, gradients: Array, learning_rate: float) -> Array:
        self._update(params, gradients, self._real(learning_rate))
        return params

    def step(self, params: Array, batch: Batch, learning_rate: float) -> tuple[Array, float]:
        x, y, n, parallel = batch
        if not parallel and self._step:  # one call with few arguments: half a microsecond
            return params, self._step(params, x, y, n, learning_rate)
        loss = np.empty(1, self.dtype)
        self._run("train", batch, params, x, y, n, learning_rate, loss)
        return params, loss[0]

    def train(
        self, params: Array, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Array, Array]:
        self.capabilities.require(self.name, self.network, minibatches=rows_per_step is not None)
        losses = np.empty(self.checked_steps(steps), self.dtype)
        self._run("train", batch, params, batch.x, batch.y, batch.n, learning_rate, losses)
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

    def _blocked(self, rows_major: Array, blocks: int, rows: int) -> Array:
        blocked = np.empty((blocks, rows_major.shape[1], rows), self.dtype)
        (self._place_parallel if rows_major.size > PARALLEL_PLACE else self._place)(rows_major, blocked)
        return blocked

    def _run(self, kernel: str, batch: Batch, *arguments: Any) -> Any:
        """Call a kernel, on all threads where the batch is worth it; then the BLAS is held to one thread meanwhile.

        It is as well where it would share the only block among its threads: sums would depend on their number.
        """
        if batch.parallel:
            kernel += "_parallel"
        if self._blas is None or not (batch.parallel or self._blocking.family == "wide"):
            return self._kernels[kernel](*arguments)
        with self._blas.held_to_one_thread():
            return self._kernels[kernel](*arguments)


def _numba_blocks() -> Any:
    """Return the blocked kernels; only these need the BLAS of scipy, whose import takes a third as long as numba's."""
    try:
        import scipy.linalg.cython_blas  # noqa: F401 - numba's np.dot calls it: load it before looking for its threads
    except ImportError as error:
        raise BackendUnavailable(
            f"backend 'numba' multiplies networks of this size by the BLAS of scipy: {error}; pip install scipy"
        ) from error

    from backends import numba_blocks

    return numba_blocks


def _copy_blocks(rows_major, blocked):  # type: ignore[no-untyped-def]
    """Copy ``[n, f]`` into ``[blocks, f, rows]``, zero where there is no row."""
    n, features = rows_major.shape
    rows = blocked.shape[2]
    for k in prange(blocked.shape[0]):
        here = min(rows, n - k * rows)
        blocked[k, :, here:] = 0
        tile = 16 if features > 8 else 256  # so many rows stay in cache while their features are copied one by one
        for start in range(0, here, tile):
            stop = min(start + tile, here)
            source = rows_major[k * rows + start : k * rows + stop]  # views spare the loop below its index arithmetic
            for f in range(features):
                copied = blocked[k, f, start:stop]
                for r in range(stop - start):
                    copied[r] = source[r, f]


def _update(params, gradients, learning_rate):  # type: ignore[no-untyped-def]
    """Take one update in place."""
    for k in range(params.shape[0]):
        params[k] -= learning_rate * gradients[k]


@lru_cache
def _vector_kernels(dtype: str) -> tuple[Any, Any, Any]:
    """Return the update, and the copy into blocks on one thread and on all."""
    return compile_as(_update, dtype, fastmath={"contract"}), *serial_and_parallel(_copy_blocks, dtype)
