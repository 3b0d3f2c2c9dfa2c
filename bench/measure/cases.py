"""The timed cases: for each phase of a backend, the loop that calls it, as a person would write it.

State is passed on (``params = step(params)``), so that a backend may reuse the memory of its arguments, and each case
keeps its state from one call to the next. Every loop ends by waiting for its work to be done.

Tests: `tests/bench/measure/test_timing.py`, `tests/bench/measure/test_campaign.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import cycle, repeat
from typing import Any

import numpy as np

from backends import Backend
from bench.measure.timing import Work
from bench.workload.problem import Problem


class Subject:
    """A backend with a problem placed on it: what every case of one network, batch and dtype works on.

    Attributes:
        backend: the backend.
        problem: its problem, on the host.
        whole: the placed inputs and targets.
        batch: what a step takes: all of them, or the first mini-batch.
        rows_per_step: rows of a mini-batch; ``None`` if each step takes all.
        params: the parameters that the latest case returned, the backend's own.
    """

    def __init__(self, backend: Backend, problem: Problem, rows_per_step: int | None = None) -> None:
        self.backend = backend
        self.problem = problem
        self.rows_per_step = rows_per_step
        self.whole: Any = backend.place_batch(problem.inputs, problem.targets)
        self.batch: Any = self.whole if rows_per_step is None else backend.split(self.whole, rows_per_step)[0]
        backend.synchronize()
        self.params: Any = self.fresh_params()

    def fresh_params(self) -> Any:
        """Return the problem's parameters, newly placed."""
        return self.backend.place_params(self.problem.params)

    @cached_property
    def taped(self) -> tuple[Any, Any]:
        """Parameters and the tape of a forward pass with them; all cases share it, since it may be larger than the
        batch.
        """
        params = self.fresh_params()
        return params, self.backend.forward(params, self.batch)


def place(subject: Subject) -> Work:
    """Copy the batch to the backend, after releasing the copy that the last call made."""
    place_batch, synchronize = subject.backend.place_batch, subject.backend.synchronize
    inputs, targets = subject.problem.inputs, subject.problem.targets

    def work(calls: int) -> None:
        for _ in repeat(None, calls):
            place_batch(inputs, targets)
        synchronize()

    return work


def forward(subject: Subject) -> Work:
    """Every layer's output."""
    call, synchronize = subject.backend.forward, subject.backend.synchronize
    params, batch = subject.fresh_params(), subject.batch

    def work(calls: int) -> None:
        for _ in repeat(None, calls):
            call(params, batch)
        synchronize()

    return work


def backward(subject: Subject) -> Work:
    """Loss and gradients from one tape."""
    call, synchronize = subject.backend.backward, subject.backend.synchronize
    batch = subject.batch
    params, tape = subject.taped
    synchronize()

    def work(calls: int) -> None:
        for _ in repeat(None, calls):
            call(params, batch, tape)
        synchronize()

    return work


def update(subject: Subject) -> Work:
    """One gradient applied again and again."""
    backend, rate = subject.backend, subject.problem.learning_rate
    call, synchronize = backend.update, backend.synchronize
    params, tape = subject.taped
    _, gradients = backend.backward(params, subject.batch, tape)
    state = subject.fresh_params()
    synchronize()

    def work(calls: int) -> None:
        nonlocal state
        params = state
        for _ in repeat(None, calls):
            params = call(params, gradients, rate)
        synchronize()
        subject.params = state = params

    return work


def step(subject: Subject) -> Work:
    """Forward, backward and update in one, step after step."""
    call, synchronize = subject.backend.step, subject.backend.synchronize
    batch, rate = subject.batch, subject.problem.learning_rate
    state = subject.fresh_params()

    def work(calls: int) -> None:
        nonlocal state
        params = state
        for _ in repeat(None, calls):
            params, _loss = call(params, batch, rate)
        synchronize()
        subject.params = state = params

    return work


def train(subject: Subject, steps: int) -> Work:
    """The whole loop inside the framework, ``steps`` steps a call, training on."""
    call, synchronize = subject.backend.train, subject.backend.synchronize
    batch, rate = subject.batch, subject.problem.learning_rate
    state = subject.fresh_params()

    def work(calls: int) -> None:
        nonlocal state
        params = state
        for _ in repeat(None, calls):
            params, _losses = call(params, batch, rate, steps)
        synchronize()
        subject.params = state = params

    return work


def train_epochs(subject: Subject, steps: int) -> Work:
    """A pass over all rows in a new order a call: the rows are reordered on the device, then taken in mini-batches.

    The orders are drawn before, since every backend is given the same.
    """
    reorder, call, synchronize = subject.backend.reorder, subject.backend.train, subject.backend.synchronize
    batch, rate, rows = subject.whole, subject.problem.learning_rate, subject.rows_per_step
    random = np.random.default_rng(0)
    orders = cycle([random.permutation(subject.problem.batch) for _ in range(ORDERS)])
    state = subject.fresh_params()

    def work(calls: int) -> None:
        nonlocal state
        params = state
        for _ in repeat(None, calls):
            params, _losses = call(params, reorder(batch, next(orders)), rate, steps, rows)
        synchronize()
        subject.params = state = params

    return work


ORDERS = 3
SINGLE: dict[str, Callable[[Subject], Work]] = {
    "place": place,
    "forward": forward,
    "backward": backward,
    "update": update,
    "step": step,
}
"""The cases whose call is one step or less; `train` also takes a number of steps."""
