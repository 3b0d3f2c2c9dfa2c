"""Training in pieces, each inside the framework, on a backend asked for or chosen. No files and no text."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import backends
import bench
from backends import (
    Adam,
    Backend,
    BackendUnavailable,
    Momentum,
    Network,
    Optimizer,
    Params,
    Shares,
    TrainingDiverged,
)
from backends.base import Array
from bench.basics.errors import UsageError
from bench.training.over_ranks import alone, as_whole_machine, said_by_first
from bench.training.standardise import Floats
from bench.training.watch import Watch
from bench.workload.problem import initial_params

if TYPE_CHECKING:
    from bench.training.stream import Stream

HIDDEN_UNITS = 32
DEFAULT_STEPS = 3000
DEFAULT_EPOCHS = 20
CHECKS = 100
"""Times that the held-out loss is looked at, where the steps have no epochs."""

CHUNK_S = 0.3
FIRST_CHUNK = 8

# Where nothing was measured, those first that start at once: compiling for a new network takes seconds, which the
# few thousand steps of an ordinary table do not win back. A measurement knows better, and `recommend` has it.
PREFERRED = {"cpu": ("numpy", "torch", "numba", "jax"), "cuda": ("torch", "jax")}

Keep = Callable[[int, Params], None]
"""Given the steps done and the parameters reached after each chunk."""

Notice = Callable[[int, float], bool]
"""Told the steps done and the latest loss after each chunk; returns whether to go on."""


@dataclass(frozen=True)
class Training:
    """What training gave.

    Attributes:
        params: host copy of the last parameters, or of the best ones.
        losses: the loss before each step that was done, in standardised units.
        complete: whether it went on to the end, or stopped because the held-out loss no longer fell.
        seconds: how long it took, compilation included.
        best_step: steps after which the held-out loss was lowest, whose parameters these are; ``None`` if unwatched.
    """

    params: Params
    losses: Array
    complete: bool
    seconds: float
    best_step: int | None = None


def start_params(network: Network, seed: int) -> Params:
    """Return the float64 parameters that training starts from; equal seeds give equal ones for every backend."""
    return initial_params(network, "float64", np.random.default_rng([seed, *network.sizes]))


def default_learning_rate(network: Network, optimizer: Optimizer | None = None, minibatches: bool = False) -> float:
    """Return a rate that learns well and did not diverge on nine kinds of synthetic table.

    The curvature of the loss at the start has a trace of about ``2 sum(in + 1)`` over the layers for standardised
    inputs, so descent is stable below 1 over that sum, and in practice well beyond. On linear, smooth, heavy-tailed,
    binary, collinear, wide and several-target tables of 200 to 1,000 rows, hidden layers of 32, 64 and 32-32: twice it
    never diverged and learns nearly as fast as the fastest; four times it sometimes overshoots; a fixed 0.1 diverged.

    A step of momentum is about ``1 / (1 - momentum)`` times as long as one of descent. Adam's is as long as the rate
    itself in each parameter, whatever the curvature; its authors propose 0.001, and small networks bear ten times that,
    with the noise of mini-batches half of it.
    """
    if isinstance(optimizer, Adam):
        return 0.005 if minibatches else 0.01
    rate = min(0.1, 2 / sum(i + 1 for _, i in network.layer_shapes))
    if isinstance(optimizer, Momentum):
        rate *= 1 - optimizer.momentum
    return float(f"{rate:.2g}")


def load_backend(
    name: str,
    network: Network,
    dtype: str,
    device: str,
    optimizer: Optimizer | None = None,
    minibatches: bool = False,
) -> Backend:
    """Return the backend asked for by name.

    Raises:
        BackendUnavailable: it is not on this machine.
        UsageError: there is none of that name, or it lacks something asked for.
    """
    try:
        return _able(name, network, dtype, device, optimizer, minibatches)
    except (ValueError, TypeError) as error:
        raise UsageError(f"--backend: {error}") from error


def _able(
    name: str, network: Network, dtype: str, device: str, optimizer: Optimizer | None, minibatches: bool
) -> Backend:
    """Return a backend, or raise `ValueError` if it lacks something."""
    backend = backends.load(name, network, dtype, device, optimizer)
    backend.capabilities.require(name, network, minibatches=minibatches)
    return backend


def choose_backend(
    network: Network,
    batch: int,
    steps: int,
    dtype: str,
    device: str,
    optimizer: Optimizer | None = None,
    rows_per_step: int | None = None,
) -> tuple[Backend, str]:
    """Return the backend to train on when none was asked for, and why that one: measured where there is a measurement.

    Raises:
        BackendUnavailable: none can do it; says why for each.
    """
    minibatches = rows_per_step is not None
    try:
        with as_whole_machine():
            advice = bench.recommend(
                network, batch, steps, dtype, device, optimizer=optimizer, rows_per_step=rows_per_step
            )
        if ":" in advice.backend:  # the name of a stored run may lead to any package
            raise BackendUnavailable(f"{advice.backend} is the fastest measured; to train with it, name it: --backend")
        threads = advice.threads if len(advice.searched_threads) > 1 else None
        backend = backends.load(advice.backend, network, dtype, device, optimizer, threads=threads)
        backend.capabilities.require(advice.backend, network, minibatches=minibatches)
    except (BackendUnavailable, ValueError) as error:
        backend = first_available(network, dtype, device, optimizer, minibatches)
        return backend, "nothing was measured here" if isinstance(error, UsageError) else str(error)
    return backend, f"recommended: {advice.outcome}, {advice.basis}"


def first_available(
    network: Network, dtype: str, device: str, optimizer: Optimizer | None = None, minibatches: bool = False
) -> Backend:
    """Return the first backend of a fixed order that works here and has all that is asked for.

    Raises:
        BackendUnavailable: none does; says why for each.
    """
    reasons = []
    installed = backends.available()
    for name in sorted(installed, key=[*PREFERRED[device], *installed].index):
        try:
            return _able(name, network, dtype, device, optimizer, minibatches)
        except (BackendUnavailable, ValueError) as error:
            reasons.append(str(error))
    raise BackendUnavailable(f"no backend has network {network} in {dtype} on {device}: {'; '.join(reasons)}")


def train(
    backend: Backend,
    params: Params,
    x: Floats,
    y: Floats,
    learning_rate: float,
    steps: int,
    notice: Notice,
    watch: Watch | None = None,
    keep: Keep | None = None,
) -> Training:
    """Train on all rows ``x`` and ``y`` at each step; all else as for `train_batch`."""
    batch = backend.place_batch(x, y)
    return train_batch(backend, params, batch, learning_rate, steps, notice, watch, keep)


def train_chunks(
    backend: Backend,
    params: Params,
    stream: Stream,
    learning_rate: float,
    steps: int,
    notice: Notice,
    watch: Watch | None = None,
) -> Training:
    """Train on all rows of a table at each step, which are read chunk by chunk; all else as for `train_batch`.

    Raises:
        UsageError: the folder of temporary files has no room for the table.
    """
    chunked = Shares(backend)
    try:
        batch = chunked.place_chunks(stream.chunks())
    except OSError as error:
        raise UsageError(f"--chunks: {error.strerror or error}") from error
    return train_batch(chunked, params, batch, learning_rate, steps, notice, watch)


def train_batch(
    backend: Backend,
    params: Params,
    batch: Any,
    learning_rate: float,
    steps: int,
    notice: Notice,
    watch: Watch | None = None,
    keep: Keep | None = None,
) -> Training:
    """Train on a placed batch, in pieces of about `CHUNK_S`, with a word to ``notice`` after each.

    ``keep`` is then given the steps done and the parameters as they are. On several ranks, rank 0 decides how long a
    piece is and whether to go on.

    Raises:
        TrainingDiverged: counted from the first step of all, with every loss; losses not reached are NaN.
    """
    begun_s = time.monotonic()
    placed = backend.place_params(params)
    losses = np.full(steps, np.nan, backend.dtype)
    done, chunk, compiled, go_on, hope = 0, FIRST_CHUNK, 0, True, True
    between = max(1, steps // CHECKS) if watch else steps
    while done < steps and go_on and hope:
        count = min(chunk, between - done % between, steps - done)
        chunk_begun_s = time.monotonic()
        placed = _run(backend, placed, batch, learning_rate, losses, done, count, None)
        done += count
        seconds = said_by_first(backend, time.monotonic() - chunk_begun_s)
        if chunk == compiled:  # a length's first run may compile, and says nothing of the next
            chunk = _next_chunk(chunk, seconds)
        else:
            compiled = chunk
        if watch and (done % between == 0 or done == steps):
            hope = bool(said_by_first(backend, watch.goes_on(alone(backend), placed, done)))
        go_on = bool(said_by_first(backend, notice(done, float(losses[done - 1]))))
        if keep:
            keep(done, backend.fetch(placed))
    return _training(backend, placed, losses[:done], done == steps or not hope, begun_s, watch)


def train_epochs(
    backend: Backend,
    params: Params,
    stream: Stream,
    learning_rate: float,
    steps: int,
    rows_per_step: int,
    notice: Notice,
    watch: Watch | None = None,
) -> Training:
    """Train on a few rows at each step, epoch after epoch, with a word to ``notice`` after each chunk of the table.

    Raises:
        TrainingDiverged: as for `train`.
    """
    begun_s = time.monotonic()
    placed = backend.place_params(params)
    losses = np.full(steps, np.nan, backend.dtype)
    done, go_on, hope = 0, True, True
    for epoch in itertools.count():
        for rows, batch in stream.batches(backend, epoch):
            count = min(-(-rows // rows_per_step), steps - done)
            placed = _run(backend, placed, batch, learning_rate, losses, done, count, min(rows_per_step, rows))
            done += count
            go_on = notice(done, float(losses[done - count : done].mean()))
            if done == steps or not go_on:
                break
        if watch and (done == steps or go_on):
            hope = watch.goes_on(backend, placed, done)
        if done == steps or not (go_on and hope):
            return _training(backend, placed, losses[:done], done == steps or not hope, begun_s, watch)
    raise AssertionError("epochs do not end by themselves")


def _run(
    backend: Backend,
    placed: Any,
    batch: Any,
    learning_rate: float,
    losses: Array,
    done: int,
    count: int,
    rows_per_step: int | None,
) -> Any:
    """Train for ``count`` steps after ``done``, keep their losses, return the parameters."""
    few = {} if rows_per_step is None else {"rows_per_step": rows_per_step}
    try:
        with np.errstate(all="ignore"):  # overflow is reported as divergence
            placed, losses[done : done + count] = backend.train(placed, batch, learning_rate, count, **few)
    except TrainingDiverged as error:
        losses[done : done + count] = error.losses
        raise TrainingDiverged(done + error.step, losses, error.params, learning_rate) from None
    return placed


def _training(
    backend: Backend, placed: Any, losses: Array, complete: bool, begun_s: float, watch: Watch | None
) -> Training:
    """Return what came of it: the last parameters, or the best ones if they were watched."""
    best = watch.params if watch else None
    params = backend.fetch(placed) if best is None else best
    step = watch.step if watch and best is not None else None
    return Training(params, losses, complete, time.monotonic() - begun_s, step)


def _next_chunk(chunk: int, seconds: float) -> int:
    """Return a power of two: longer while chunks are short, so that a compiler meets few different lengths."""
    if seconds < CHUNK_S / 8:
        return chunk * 8
    if seconds < CHUNK_S / 2:
        return chunk * 2
    return max(1, chunk // 2) if seconds > 2 * CHUNK_S else chunk
