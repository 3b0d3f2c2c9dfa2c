"""Training in pieces, each inside the framework: on a batch, on chunks of a table, or on its epochs.

Tests: `tests/bench/training/test_training.py`, `tests/bench/training/test_stream.py`.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backends import Adam, Backend, Momentum, Network, Optimizer, Params, Shares, TrainingDiverged
from backends.base import Array
from bench.basics.errors import UsageError
from bench.training.over_ranks import alone, said_by_first
from bench.training.standardise import Floats
from bench.training.watch import Watch
from bench.workload.problem import initial_params

if TYPE_CHECKING:
    from bench.training.stream import Stream

CHECKS = 100
"""Times that the held-out loss is looked at, where the steps have no epochs."""

CHUNK_S = 0.3
FIRST_CHUNK = 8
"""Seconds that a piece of training should take, between two notices, and the steps of the first piece."""

Keep = Callable[[int, Params], None]
"""Given the steps done and the parameters reached after each chunk."""

Notice = Callable[[int, float], bool]
"""Told the steps done and the latest loss after each chunk; returns whether to go on."""


@dataclass(frozen=True)
class Course:
    """How training goes.

    Attributes:
        learning_rate: of the optimiser.
        steps: in all.
        notice: told of each piece of training.
        watch: of the held-out loss; stops training that gets no better.
        keep: given the parameters after each piece.
    """

    learning_rate: float
    steps: int
    notice: Notice
    watch: Watch | None = None
    keep: Keep | None = None


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


def train(backend: Backend, params: Params, x: Floats, y: Floats, course: Course) -> Training:
    """Train on all rows ``x`` and ``y`` at each step; all else as for `train_batch`."""
    return train_batch(backend, params, backend.place_batch(x, y), course)


def train_chunks(backend: Backend, params: Params, stream: Stream, course: Course) -> Training:
    """Train on all rows of a table at each step, which are read chunk by chunk; all else as for `train_batch`.

    Raises:
        UsageError: the folder of temporary files has no room for the table.
    """
    chunked = Shares(backend)
    try:
        batch = chunked.place_chunks(stream.chunks())
    except OSError as error:
        raise UsageError(f"--chunks: {error.strerror or error}") from error
    return train_batch(chunked, params, batch, course)


def train_batch(backend: Backend, params: Params, batch: Any, course: Course) -> Training:
    """Train on a placed batch, in pieces of about `CHUNK_S`.

    On several ranks, rank 0 decides how long a piece is and whether to go on.

    Raises:
        TrainingDiverged: counted from the first step of all, with every loss; losses not reached are NaN.
    """
    state, watch, steps = _Progress(backend, params, course), course.watch, course.steps
    chunk, compiled, go_on, hope = FIRST_CHUNK, 0, True, True
    between = max(1, steps // CHECKS) if watch else steps
    while state.done < steps and go_on and hope:
        chunk_begun_s = time.monotonic()
        state.advance(batch, min(chunk, between - state.done % between))
        seconds = said_by_first(backend, time.monotonic() - chunk_begun_s)
        if chunk == compiled:  # a length's first run may compile, and says nothing of the next
            chunk = _next_chunk(chunk, seconds)
        else:
            compiled = chunk
        if watch and (state.done % between == 0 or state.done == steps):
            hope = bool(said_by_first(backend, watch.goes_on(alone(backend), state.placed, state.done)))
        go_on = bool(said_by_first(backend, course.notice(state.done, float(state.losses[state.done - 1]))))
        if course.keep:
            course.keep(state.done, backend.fetch(state.placed))
    return state.training(complete=state.done == steps or not hope)


def train_epochs(backend: Backend, params: Params, stream: Stream, course: Course, rows_per_step: int) -> Training:
    """Train on a few rows at each step, epoch after epoch, in pieces of a chunk of the table.

    ``course.notice`` is told the mean loss of the chunk; the held-out loss is watched at the end of each epoch.

    Raises:
        TrainingDiverged: as for `train_batch`.
    """
    state, watch, steps = _Progress(backend, params, course), course.watch, course.steps
    go_on, hope = True, True
    for epoch in itertools.count():
        for rows, batch in stream.batches(backend, epoch):
            begun = state.done
            state.advance(batch, -(-rows // rows_per_step), rows_per_step=min(rows_per_step, rows))
            go_on = course.notice(state.done, float(state.losses[begun : state.done].mean()))
            if state.done == steps or not go_on:
                break
        if watch and (state.done == steps or go_on):
            hope = watch.goes_on(backend, state.placed, state.done)
        if state.done == steps or not (go_on and hope):
            return state.training(complete=state.done == steps or not hope)
    raise AssertionError("epochs do not end by themselves")


class _Progress:
    """How far training has come.

    Attributes:
        done: steps done.
        placed: the parameters that they reached.
        losses: the loss before each step; NaN for those to come.
    """

    def __init__(self, backend: Backend, params: Params, course: Course) -> None:
        self._begun_s = time.monotonic()
        self._backend, self._course = backend, course
        self.done = 0
        self.placed = backend.place_params(params)
        self.losses = np.full(course.steps, np.nan, backend.dtype)

    def advance(self, batch: Any, count: int, **few: int) -> None:
        """Train for ``count`` more steps, or those that are left, inside the framework; ``few`` as `Backend.train`."""
        rate, first = self._course.learning_rate, self.done
        last = min(first + count, self._course.steps)
        try:
            with np.errstate(all="ignore"):  # overflow is reported as divergence
                self.placed, self.losses[first:last] = self._backend.train(
                    self.placed, batch, rate, last - first, **few
                )
        except TrainingDiverged as error:
            self.losses[first:last] = error.losses
            raise TrainingDiverged(first + error.step, self.losses, error.params, rate) from None
        self.done = last

    def training(self, complete: bool) -> Training:
        """Return what came of it: the last parameters, or the best ones if they were watched."""
        watch = self._course.watch
        if watch and watch.params is not None:
            params, best_step = watch.params, watch.step
        else:
            params, best_step = self._backend.fetch(self.placed), None
        seconds = time.monotonic() - self._begun_s
        return Training(params, self.losses[: self.done], complete, seconds, best_step)


def _next_chunk(chunk: int, seconds: float) -> int:
    """Return a power of two: longer while chunks are short, so that a compiler meets few different lengths."""
    if seconds < CHUNK_S / 8:
        return chunk * 8
    if seconds < CHUNK_S / 2:
        return chunk * 2
    return max(1, chunk // 2) if seconds > 2 * CHUNK_S else chunk
