"""The network in numba: compiled loops, one fused pass over the rows.

Two kinds of kernels share one layout. `numba_registers` holds a whole tiny network in registers; `numba_blocks` takes
any other. `numba_chunks` runs either, on one thread or on all. Parameters are one vector. No mathematics here.

Tests: `tests/backends/test_numba_blocks.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Backend, Capabilities, Layer, Network, Optimizer, Params, State
from backends.blas import Blas
from backends.host import layers_of
from backends.layout import aligned_empty
from backends.numba_activations import ACTIVATIONS
from backends.numba_batch import Batch, Batches, Told, memory, settled
from backends.numba_blocking import blocking, scratch_length
from backends.numba_chunks import BACKWARD, FORWARD, OF_ANOTHER_NETWORK, finish_of, loops, plan_of, told_of, update_of
from backends.numba_optimizers import OPTIMIZERS, settings_of


@dataclass(slots=True)
class Trained:
    """The params of this backend: parameters and the optimiser's moments, ``[1 + moments, parameters]``, flat; and the
    number of updates.
    """

    flat: Array
    updates: Array


class Tape(NamedTuple):
    """Outputs of all layers, ``[blocks, features, pitch]``, of ``n`` rows."""

    h: Array
    n: int


class NumbaBackend(Backend):
    """Loops compiled by numba."""

    name = "numba"
    block_rows: int
    capabilities = Capabilities(
        deterministic=frozenset({"process", "processes", "threads"}),
        compiles=True,
        activations=tuple(ACTIVATIONS),
        losses=("mse", "cross-entropy"),
        optimizers=OPTIMIZERS,
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
        self._real: Any = np.dtype(dtype).type
        self._blocking = blocking(network, self._real)
        self.block_rows = self._blocking.rows
        family = self._blocking.family
        self._gemm, self._blas = 0, None
        if family in ("wide", "huge"):
            from backends.numba_blas import gemm_address

            self._gemm = gemm_address(dtype)
            self._blas = Blas() if family == "wide" else None
        if family == "huge":
            self.capabilities = replace(self.capabilities, deterministic=frozenset({"process", "processes"}))
        if threads is not None and threads > 1:
            numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
        self._moments = len(self.optimizer.moments)
        in_registers = family == "registers" and self.optimizer.name == "descent"
        self._train: Any = _registers(network, self._real)[0] if in_registers else _of_another_network
        self._batches = Batches(network, dtype, self._blocking, in_registers, one_thread=threads == 1)
        self._settings: Array = settings_of(self.optimizer)  # type: ignore[no-untyped-call]
        self._plan: Array = plan_of(network, self._gemm)  # type: ignore[no-untyped-call]
        self._scratch: dict[tuple[int, int], Array] = {}
        self._loss = np.empty(1, self.dtype)

    @cached_property
    def _teams(self) -> Any:
        """What runs steps of wide layers."""
        from backends.numba_team_threads import TeamThreads

        return TeamThreads(self.network, self.dtype, self.optimizer)

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Trained:
        updates, moments = self.host_state(state)
        vectors = [self.host_params(params), *moments.values()]
        arrays = [array.ravel() for layers in vectors for layer in layers for array in layer]
        flat = memory((sum(array.size for array in arrays),), np.dtype(self.dtype))
        np.concatenate(arrays, out=flat)
        return Trained(flat, np.array([updates]))

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> Batch:
        return self._batches.place(*self.host_batch(inputs, targets, of), of)

    def split(self, batch: Batch, rows_per_step: int) -> list[Batch]:
        rows = self.checked_rows(rows_per_step, batch.n)
        x, y = self._batches.host(batch)
        return [self._batches.place(x[k : k + rows], y[k : k + rows]) for k in range(0, batch.n, rows)]

    def host_memory(self, batch: Batch) -> list[Array]:
        return [settled(batch).xy]

    def cut(self, batch: Batch, start: int, stop: int, of: int | None = None) -> Batch:
        x, y = self._batches.host(batch)
        return self._batches.place(x[start:stop], y[start:stop], of)

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        return self._batches.reordered(batch, self.checked_order(order, batch.n))

    def forward(self, params: Trained, batch: Batch) -> Tape:
        try:
            pitch = batch.scratch_key[1]
            tape = Tape(np.empty((-(-batch.n // pitch), sum(self.network.sizes[1:]), pitch), self.dtype), batch.n)
            self._run(FORWARD, params, batch, tape.h)
        except AttributeError as error:
            raise self.not_placed(params, batch) from error
        return tape

    def backward(self, params: Trained, batch: Batch, tape: Tape) -> tuple[Any, Array]:
        scratch = self._run(BACKWARD, params, batch, tape.h)
        total = scratch[:, : self.network.parameter_count + 1].sum(axis=0)
        return total[-1] / self._real(self.network.loss_terms(batch.of)), total[:-1]

    def message(self, params: Trained, batch: Batch) -> Array:
        batch = settled(batch)
        message = np.empty(self.network.parameter_count + 1, self.dtype)
        write, kernel = loops(self._real, batch.parallel).message, self._chunk(batch)()
        with self._blas.held_to_one_thread() if self._blas else nullcontext():
            write(kernel, self._plan, batch.task, params.flat, batch.xy, self._scratch_of(batch), message)
        return message

    def from_message(self, message: Array) -> tuple[Any, Array]:
        return message[-1], message[:-1]

    def update(self, params: Trained, gradients: Array, learning_rate: float) -> Trained:
        kernel = update_of(self._real, self.optimizer.name)
        self._check_moments(params)
        kernel(params.flat, params.updates, self._settings, gradients, self.checked_rate(learning_rate))
        return params

    def step(self, params: Trained, batch: Batch, learning_rate: float) -> tuple[Trained, Any]:
        try:
            if batch.tiny:  # one call with few arguments, from classes with slots: half a microsecond
                rate = learning_rate if type(learning_rate) is float else self.checked_rate(learning_rate)
                return params, self._train(params.flat, batch.xy, batch.n, rate, self._loss)
            self._steps(params, batch, learning_rate, self._loss)
        except AttributeError as error:
            raise self.not_placed(params, batch) from error
        return params, self._loss[0]

    def train(
        self, params: Trained, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Trained, Array]:
        losses = np.empty(self.checked_steps(steps), self.dtype)
        try:
            if rows_per_step is not None and (rows := self.checked_rows(rows_per_step, batch.n)) < batch.n:
                batch = self._batches.in_parts(batch, rows)
            if batch.tiny:
                self._train(params.flat, batch.xy, batch.n, self.checked_rate(learning_rate), losses)
            else:
                self._steps(params, batch, learning_rate, losses)
        except AttributeError as error:
            raise self.not_placed(params, batch) from error
        return self.trained(params, losses, learning_rate)

    def outputs(self, tape: Tape) -> tuple[Array, ...]:
        ends = np.cumsum(self.network.sizes[1:])
        rows_major = tape.h.transpose(0, 2, 1).reshape(-1, ends[-1])[: tape.n]
        return tuple(h.copy() for h in np.split(rows_major, ends[:-1], axis=1))

    def fetch(self, params: Trained | Array) -> Params:
        return self._layers(params.flat if isinstance(params, Trained) else params)

    def fetch_state(self, params: Trained) -> State:
        updates = int(params.updates[0]) if self.optimizer.counts_updates else 0
        count = self.network.parameter_count
        return State(
            updates,
            {name: self._layers(params.flat[k * count :]) for k, name in enumerate(self.optimizer.moments, start=1)},
        )

    def describe(self) -> dict[str, str | int]:
        return {
            "framework": f"numba {numba.__version__}",
            "products": self.capabilities.products,
            "threads": 1 if self.threads == 1 else numba.get_num_threads(),
            "kernels": self._blocking.family,
        }

    def _layers(self, flat: Array) -> Params:
        """Return copies of weights and biases at the start of a vector."""
        return tuple(Layer(w.copy(), b.copy()) for w, b in layers_of(flat, self.network))

    def _run(self, phases: int, params: Trained, batch: Batch, tape: Array) -> Array:
        """Run forward or backward; return the scratch, in which each chunk has left its gradients.

        Chunks run on their own threads, and by threads of the BLAS sums would depend on their number.
        """
        scratch = self._scratch_of(settled(batch))
        run = loops(self._real, batch.parallel).run
        with self._blas.held_to_one_thread() if self._blas else nullcontext():
            run(self._chunk(batch)(), phases, self._plan, batch.task, params.flat, batch.xy, tape, scratch)
        return scratch

    def _check_moments(self, params: Trained) -> None:
        """Make sure that params hold the optimizer's moments behind the parameters: a kernel believes it."""
        if self._moments and params.flat.size != (1 + self._moments) * self.network.parameter_count:
            raise ValueError(OF_ANOTHER_NETWORK)

    def _steps(self, params: Trained, batch: Batch, learning_rate: float, losses: Array) -> None:
        """Run a step for each of ``losses``."""
        rate = self.checked_rate(learning_rate)
        if batch.team:
            self._check_moments(params)
            features = self.network.inputs + self.network.outputs
            if params.flat.size % self.network.parameter_count or batch.xy.shape[2] != features:
                raise ValueError(OF_ANOTHER_NETWORK)
            of_batch = batch.xy, batch.order, batch.task
            if len(losses) > 1:
                team = self._batches.team(int(batch.task[4]), len(losses))
            else:
                team = batch.team_again if self._teams.linger(params.flat, batch.task, rate) else batch.team
            self._teams.run(team, params.flat, params.updates, *of_batch, rate, losses)
            return
        told = batch.told
        if told is None or told.params is not params or told.plan is not self._plan:
            told = batch.told = self._told(params, settled(batch))
        told.train(told.numbers, rate, losses, self._scratch_of(batch))

    def _told(self, params: Trained, batch: Batch) -> Told:
        """Return what the training loop is told of parameters and a batch."""
        self._check_moments(params)
        addresses = self._chunk(batch)(), finish_of(self._real, self.optimizer.name)()
        arrays = self._plan, params.flat, params.updates, self._settings, batch.xy
        numbers: Array = told_of(*addresses, *arrays, batch.task)  # type: ignore[no-untyped-call]
        return Told(loops(self._real, batch.parallel).train, numbers, params, self._plan)

    def _chunk(self, batch: Batch) -> Any:
        """Return what compiles the kernel of a chunk of this batch and returns its address."""
        network = self.network
        if self._blocking.family == "registers":
            return _registers(network, self._real)[1]
        return _numba_blocks().chunk(self._real, network.activation, network.loss, batch.products)

    def _scratch_of(self, batch: Batch) -> Array:
        """Return scratch for each chunk, that of the last batch if it had the same shape: fresh pages are slow."""
        scratch = self._scratch.get(batch.scratch_key)
        if scratch is None:
            self._scratch.clear()
            length = scratch_length(self.network, batch.scratch_key[1])
            scratch = aligned_empty((batch.scratch_key[0], length), np.dtype(self.dtype))
            self._scratch[batch.scratch_key] = scratch
        return scratch


def _of_another_network(*_: Any) -> None:
    """Refuse a batch for registers, which a backend that has no such kernel has not placed."""
    raise ValueError(OF_ANOTHER_NETWORK)


def _registers(network: Network, real: Any) -> tuple[Any, Any]:
    """Return the training loop of a tiny network and what compiles the kernel of a chunk."""
    from backends import numba_registers

    both: tuple[Any, Any] = numba_registers.bind(network.sizes, real, network.activation)
    return both


def _numba_blocks() -> Any:
    from backends import numba_blocks

    return numba_blocks
