"""The network in JAX: `jit` and `value_and_grad`, loops inside XLA.

A batch has one of two forms. A narrow network, of few parameters, runs as one loop over the rows that XLA compiles from
plain arithmetic (`backends.jax_narrow`); a wide one, and any small batch, as matrix products on blocks of rows that
stay in cache (`backends.jax_wide`). The parameters are one vector in both, so that a step is dispatched with four
arrays; those of a large network are an array each. What was measured, and how to repeat it, is in ``docs/tuning.md``.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, ClassVar, NoReturn

import jax
import numpy as np
from jax import lax
from numpy.typing import ArrayLike

from backends import caches, jax_narrow, jax_wide
from backends.base import Array, Backend, BackendUnavailable, Capabilities, Layer, Network, Optimizer, Params, State
from backends.host import layers_of
from backends.jax_kernels import Kernels, kernels, update_of
from backends.jax_optimizers import OPTIMIZERS, Trained, parameters
from backends.jax_rules import ACTIVATIONS, LOSSES
from backends.jax_wide import Wide
from backends.layout import aligned_empty, copy_feature_major
from backends.processor import is_intel
from backends.threads import SHARED_BYTES, BlockThreads
from backends.tuned import tuned

MISUSED = (KeyError, ValueError, RuntimeError)
"""Errors that params which are gone, or a batch that was not placed, cause in JAX among others."""

NARROW_PARAMETERS = tuned("jax-narrow-parameters", 128)
"""Up to this many parameters a network runs as one loop over the rows, on a CPU; with more it compiles too long, unless
there are `LONG_ROWS`.
"""
NARROW_ROWS = tuned("jax-narrow-rows", 96)
"""From this many rows a parameter on it does: the loop costs more than products for each call and each parameter, and
less for each row.
"""
LONG_PARAMETERS = 384 if is_intel() else 0
LONG_ROWS = 1 << 19
"""Up to this many parameters a network of few inputs does too, from this many rows on. For each parameter it compiles
5 ms longer and saves 0.1 ns a row, so some 100 steps repay it, whatever their number. At 756 XLA's loop takes 70 times
as long as products. Measured on a Xeon with AMX; on AMD's processors products are closer, and nobody has measured it.
"""
NARROW_BLOCK_ROWS = 2048
"""Rows whose gradients are summed separately: blocks enough to share among threads, and a sum that rounds less."""

ROW_MAJOR_INPUTS = tuned("jax-row-major-inputs", 32)
"""From this many inputs on, inputs and targets are placed row-major, as they come, for products: they take as long."""

ONE_VECTOR_PARAMETERS = 1 << 15
"""Up to this many parameters are one vector. XLA fuses the concatenation of more into the update, as loads that are
masked out where a part does not reach; each of these takes hundreds of cycles if no memory is mapped there.
"""

BLOCK_BYTES = tuned("jax-block-bytes", caches.BLOCK_BYTES.products)
LEAST_ROWS, MOST_ROWS = 2048, 65_536
"""On a CPU a batch for matrix products is cut into blocks whose inputs and outputs of all layers take this many bytes,
or into blocks of `LEAST_ROWS` or `MOST_ROWS` if these would be shorter or longer. A batch of less than two blocks is
not cut.
"""


class JaxBackend(Backend):
    """JAX on CPU or CUDA."""

    name = "jax"
    wide: ClassVar[type[Wide]] = Wide
    one_loop: ClassVar[bool] = True
    block_rows: int
    capabilities = Capabilities(
        devices=("cpu", "cuda"),
        compiles=True,
        activations=tuple(ACTIVATIONS),
        losses=tuple(LOSSES),
        optimizers=tuple(OPTIMIZERS),
        minibatches=True,
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
        try:
            self._device = jax.local_devices(backend=device)[0]
        except RuntimeError as error:
            raise BackendUnavailable(
                f"backend {self.name!r} has no device {device!r} here: {str(error).splitlines()[0]}; "
                "on a machine with a GPU: pip install -U 'jax[cuda13]', or ask for device 'cpu'"
            ) from error
        if device != "cpu":  # XLA times products when it compiles, and may take others in another process
            self.capabilities = replace(self.capabilities, deterministic=frozenset({"process"}))
        _start_compiler()
        self._long = self._loops_if_long()
        self._narrow = self.takes_narrow()
        self._features_axis = int(network.inputs >= ROW_MAJOR_INPUTS and not self._narrow)
        row_bytes = sum(network.sizes) * np.dtype(dtype).itemsize
        self.block_rows = min(max(LEAST_ROWS, BLOCK_BYTES // row_bytes // 16 * 16), MOST_ROWS)
        if self._narrow and not self._long:
            self.block_rows = NARROW_BLOCK_ROWS
        elif device != "cpu":
            self.block_rows = 1 << 62  # never cut
        self._x64 = dtype == "float64"
        self._scope = partial(jax.enable_x64, self._x64)
        self._kernels = self.compiled()
        self._step = {batch: of_batch["step"] for batch, of_batch in self._kernels.items()}
        self._update = update_of(self.optimizer)
        self._rate: tuple[float, Any] = (float("nan"), None)
        self._pending: Any = ()

    def takes_narrow(self) -> bool:
        """Return whether large batches of the network are of the narrow form."""
        few = self.one_loop and self.device == "cpu" and self.network.parameter_count <= NARROW_PARAMETERS
        return few or self._long

    def form_of(self, rows: int) -> type:
        """Return the form of a batch of this many rows."""
        least = LONG_ROWS if self._long else NARROW_ROWS * self.network.parameter_count
        return jax_narrow.Batch if self._narrow and rows >= least else jax_wide.Batch

    def compiled(self) -> dict[type, Kernels]:
        """Return the jitted kernels of each form of a batch."""
        block_rows = NARROW_BLOCK_ROWS, self.block_rows
        short = self._narrow and not self._long  # its blocks have too little work for parts
        threads = _cores() if self.device == "cpu" and not short else 1
        chosen = (self.wide, self.network, self.optimizer, *block_rows, self._features_axis, threads, self.device)
        return kernels(*chosen)  # type: ignore[arg-type] # mypy takes a class for unhashable

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        updates, moments = self.host_state(state)
        with self._scope():
            placed = self._placed(self.host_params(params))
            if not self.optimizer.moments:
                return self._start(placed)
            kept = tuple(self._placed(moment) for moment in moments.values())
            return self._start(Trained(placed, kept, jax.device_put(np.int32(updates), self._device, may_alias=False)))

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> Any:
        x, y = self.host_batch(inputs, targets, of)
        self._pending = ()  # may be the batch before, whose memory is needed now
        if x.nbytes >= SHARED_BYTES:
            gc.collect(0)  # JAX gives back memory that it took over only when Python collects garbage
        copies = _copied((x, y), feature_major=not self._features_axis)
        with self._scope():
            return self._start(self._share(len(x), of, *jax.device_put(copies, self._device)))

    def split(self, batch: Any, rows_per_step: int) -> list[Any]:
        n = self._rows(batch)
        rows = self.checked_rows(rows_per_step, n)
        with self._scope():
            parts = [(k, min(rows, n - k)) for k in range(0, n, rows)]
            return [self._start(self._share(m, None, *self._rows_of(batch, k, m))) for k, m in parts]

    def host_memory(self, batch: Any) -> list[Array] | None:
        return None if self.device != "cpu" else [_memory_of(array) for array in (batch.x, batch.y)]

    def cut(self, batch: Any, start: int, stop: int, of: int | None = None) -> Any:
        with self._scope():
            return self._start(self._share(stop - start, of, *self._rows_of(batch, start, stop - start)))

    def reorder(self, batch: Any, order: ArrayLike) -> Any:
        rows, axis = self.checked_order(order, self._rows(batch)), 1 - self._features_axis
        with self._scope():
            if self.device == "cpu":  # numpy's copies of rows take half as long as XLA's
                taken = [_taken(np.asarray(array), rows, axis) for array in (batch.x, batch.y)]
                x, y = (jax.device_put(array, self._device) for array in taken)
            else:
                x, y = (_reordered(array, rows, axis) for array in (batch.x, batch.y))
            return self._start(batch._replace(x=x, y=y))

    def forward(self, params: Any, batch: Any) -> Any:
        with self._scope():
            try:
                return self._start(self._kernels[type(batch)]["forward"](params, batch))
            except MISUSED as error:
                self._raise_again(error, params, batch)

    def backward(self, params: Any, batch: Any, tape: Any) -> tuple[jax.Array, Any]:
        with self._scope():
            return self._start(self._kernels[type(batch)]["backward"](params, batch, tape))

    def message(self, params: Any, batch: Any) -> Array:
        with self._scope():
            loss, gradients = self._kernels[type(batch)]["gradients"](params, batch)
        flat = [np.asarray(part).ravel() for part in (*jax.tree.leaves(gradients), loss)]
        return np.concatenate(flat)

    def from_message(self, message: Array) -> tuple[Any, Any]:
        if self.network.parameter_count > ONE_VECTOR_PARAMETERS:
            return message[-1], tuple(map(tuple, layers_of(message, self.network)))
        return message[-1], message[:-1]

    def update(self, params: Any, gradients: Any, learning_rate: float) -> Any:
        with self._scope():
            return self._start(self._update(params, gradients, self._placed_rate(learning_rate)))

    def step(self, params: Any, batch: Any, learning_rate: float) -> tuple[Any, jax.Array]:
        # Entering the scope costs an eighth of a small step.
        try:
            if jax.config.jax_enable_x64 == self._x64:  # type: ignore[attr-defined]
                params, loss = self._step[type(batch)](params, batch, self._placed_rate(learning_rate))
            else:
                with self._scope():
                    params, loss = self._step[type(batch)](params, batch, self._placed_rate(learning_rate))
        except MISUSED as error:
            self._raise_again(error, params, batch)
        self._pending = loss
        return params, loss

    def train(
        self, params: Any, batch: Any, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        steps = self.checked_steps(steps)
        if rows_per_step is not None:
            rows_per_step = self.checked_rows(rows_per_step, self._rows(batch))
            batch = self.form_of(rows_per_step)(batch.x, batch.y)
        most_losses = 1 << max(steps - 1, 0).bit_length()  # a power of two: few lengths to compile for
        with self._scope():
            rate = self._placed_rate(learning_rate)
            try:
                params, losses = self._kernels[type(batch)]["train"](
                    params, batch, rate, steps, most_losses, rows_per_step
                )
            except MISUSED as error:
                self._raise_again(error, params, batch)
            self._pending = losses
            return self.trained(params, np.array(losses)[:steps], learning_rate)

    def outputs(self, tape: Any) -> tuple[Array, ...]:
        if not isinstance(tape, jax_wide.Tape):
            return tuple(np.stack(layer, axis=1) for layer in tape)
        blocks = [np.asarray(h).transpose(0, 2, 1).reshape(-1, h.shape[1]) for h in tape.blocks or ()]
        rest = [np.asarray(h).T for h in tape.rest or ()]
        if blocks and rest:
            return tuple(np.concatenate(pair) for pair in zip(blocks, rest, strict=True))
        if not (blocks or rest):  # a share of no rows
            return tuple(np.empty((0, size), self.dtype) for size in self.network.sizes[1:])
        return tuple(np.array(h, order="C") for h in blocks or rest)

    def fetch(self, params: Any) -> Params:
        arrays = parameters(params)
        layers = arrays if isinstance(arrays, tuple) else layers_of(np.asarray(arrays), self.network)
        return tuple(Layer(np.array(w), np.array(b)) for w, b in layers)

    def fetch_state(self, params: Any) -> State:
        if not self.optimizer.moments:
            return State(0, {})
        moments = zip(self.optimizer.moments, params.moments, strict=True)
        return State(int(params.updates), {name: self.fetch(moment) for name, moment in moments})

    def synchronize(self) -> None:
        jax.block_until_ready(self._pending)

    def describe(self) -> dict[str, str | int]:
        return {
            "framework": f"jax {jax.__version__}",
            "products": self.capabilities.products,
            "device_name": str(self._device.device_kind),
        }

    def _loops_if_long(self) -> bool:
        """Return whether only very long batches of the network are of the narrow form."""
        some = NARROW_PARAMETERS < self.network.parameter_count <= LONG_PARAMETERS
        return self.one_loop and self.device == "cpu" and some and self.network.inputs < ROW_MAJOR_INPUTS

    def _share(self, rows: int, of: int | None, x: jax.Array, y: jax.Array) -> Any:
        """Return a batch, or a share of one of ``of`` rows."""
        form = self.form_of(rows)
        if of in (None, rows):
            return form(x, y)
        kernel = jax_narrow.Narrow if form is jax_narrow.Batch else jax_wide.Wide
        parts = map(np.dtype(self.dtype).type, kernel.scale(self.network.loss_terms(of)))
        return form(x, y, jax_wide.Scale(*(jax.device_put(part, self._device) for part in parts)))

    def _rows_of(self, batch: Any, start: int, rows: int) -> tuple[jax.Array, ...]:
        return _cut((batch.x, batch.y), start, rows, 1 - self._features_axis)

    def _rows(self, batch: Any) -> int:
        return int(batch.x.shape[1 - self._features_axis])

    def _placed(self, params: Params) -> Any:
        """Return parameters on the device: one vector, or weights and biases of each layer if there are many."""
        placed = partial(jax.device_put, device=self._device, may_alias=False)
        if self.network.parameter_count > ONE_VECTOR_PARAMETERS:
            return tuple((placed(w), placed(b)) for w, b in params)
        return placed(np.concatenate([array.ravel() for layer in params for array in layer]))

    def _start(self, results: Any) -> Any:
        """Remember what `synchronize` has to wait for: the newest results, none of which has been donated."""
        self._pending = results
        return results

    def _raise_again(self, error: Exception, params: Any, batch: Any) -> NoReturn:
        """Raise an error of JAX again, or what it comes of: params that are gone, or a batch that was not placed."""
        if any(isinstance(leaf, jax.Array) and leaf.is_deleted() for leaf in jax.tree.leaves(params)):
            raise ValueError(
                "these params were given to update, step or train before, which reuse their memory: go on with the "
                "params that it returned"
            ) from error
        if isinstance(error, KeyError):
            raise self.not_placed(params, batch) from error
        raise error

    def _placed_rate(self, learning_rate: float) -> Any:
        """Return the learning rate on the device, kept from step to step: sending it costs as much as a small step."""
        if self._rate[0] != learning_rate:
            rate = self.checked_rate(learning_rate)
            self._rate = rate, jax.device_put(np.dtype(self.dtype).type(rate), self._device)
        return self._rate[1]


@lru_cache
def _start_compiler() -> None:
    """Load what the first compilation of a process loads, so that its 17 ms do not count as the first kernel's."""
    jax.jit(lax.neg).lower(0.0)


def _copied(arrays: Sequence[Array], feature_major: bool) -> list[Array]:
    """Return copies of ``[n, f]``, or of each as ``[f, n]``, that JAX takes over as they are.

    All threads copy, as many as XLA has, if there is enough to do.
    """
    copies = [aligned_empty(array.shape[::-1] if feature_major else array.shape, array.dtype) for array in arrays]

    def copy_rows(rows: slice) -> None:
        for array, copy in zip(arrays, copies, strict=True):
            if feature_major:
                copy_feature_major(array[rows], copy[:, rows])
            else:
                copy[rows] = array[rows]

    n = len(arrays[0])
    if sum(array.nbytes for array in arrays) >= SHARED_BYTES:
        _threads().copy(copy_rows, n)
    else:
        copy_rows(slice(n))
    return copies


@lru_cache
def _threads() -> BlockThreads:
    """Return the threads that place batches."""
    return BlockThreads(_cores())


def _cores() -> int:
    """Return how many cores this process may use, as many threads as XLA has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _taken(array: Array, order: Array, axis: int) -> Array:
    """Return the rows of a batch in another order, in memory that JAX takes over as it is."""
    out = aligned_empty(array.shape, array.dtype)
    return np.take(array, order, axis, out, mode="clip")  # every number is in range: clipping saves a copy


def _memory_of(array: jax.Array) -> Array:
    """Return the memory of an array on a CPU. Nothing may be computing with it while it is written to."""
    real = np.ctypeslib.as_ctypes_type(array.dtype)
    memory = ctypes.cast(array.unsafe_buffer_pointer(), ctypes.POINTER(real))
    return np.ctypeslib.as_array(memory, array.shape)


@partial(jax.jit, static_argnums=(2, 3))
def _cut(arrays: tuple[jax.Array, ...], start: int, rows: int, axis: int) -> tuple[jax.Array, ...]:
    """Return ``rows`` rows from ``start`` on."""
    return tuple(lax.dynamic_slice_in_dim(array, start, rows, axis) for array in arrays)


@partial(jax.jit, static_argnums=2)
def _reordered(array: jax.Array, order: jax.Array, axis: int) -> jax.Array:
    """Return the rows of a batch in another order."""
    return jax.numpy.take(array, order, axis, unique_indices=True, mode="clip")
