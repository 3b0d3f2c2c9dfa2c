"""The claim on mini-batches: which rows each step of `train` takes, and what `split` and `reorder` make of a batch.

    train       the state after ``k + 1`` steps is one exact step, on its own rows alone, from the state after ``k``:
                rows in order, a shorter step at the end of a pass, then the first row again; each call begins there
    split       the same parts, as batches: as many, each of its own rows
    reorder     the rows in another order, in batches of one and of several blocks; the batch it came from stays
    refusals    numbers of rows and orders that are none

All rows differ, so a wrong row shows in the loss and in every gradient.

Tests: `tests/backends/conformance/test_workload_claims.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from backends.base import Adam, Array, Backend, Momentum, Network, Optimizer, TrainingDiverged
from backends.conformance.cases import Case
from backends.conformance.chains import Point, fetched, judge_point, same
from backends.conformance.composed import ball_of_gradients, ball_of_next, exact_params, exact_state
from backends.conformance.functions import loss_problems
from backends.conformance.judge import Tally
from backends.conformance.optimizers import named
from backends.conformance.report import Finding
from backends.conformance.stages import judge_params
from backends.conformance.subject import DESCENT, Problem, Subject, precision_of

CLAIM = "mini-batches"
OPTIMIZERS: tuple[Optimizer, ...] = (DESCENT, Momentum(), Adam(weight_decay=0.25))
NETWORK = Network((3, 3, 2))
USUAL = f"{NETWORK}/n=23/normal"
MOST_BLOCK = 1 << 13
PARTS: dict[int, tuple[int, ...]] = {
    1: (1, 2, 24, 70),
    5: (*range(12), 16, 60, 101),
    7: (1, 3, 4, 5, 9),
    22: (1, 2, 3, 4),
    23: (1, 3),
}
"""Rows of a step, and the numbers of steps after which training is looked at: ends of passes among them."""
COMPILED_PARTS = (8, (0, 5, 6, 7))
"""Parts of 8, 8 and 7 rows; the longer runs have one length for JAX to compile for."""
SHAPES = ("130-4-3/n=23/normal", "5-9-7-2/n=31/normal")
"""Other shapes, of wide inputs and of more layers, for steps of a third of the rows."""
SPLIT = (1, 7, 23)
FEW = 4
"""Steps up to which training is judged from its start alone, if it cannot be judged step by step."""


def check_minibatches(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge all of it, if the backend has mini-batches, up to the first failure."""
    if not subject.kind.capabilities.minibatches:
        return
    for tally in _judged(subject):
        yield from tally.findings
        if any(finding.status == "fail" for finding in tally.findings):
            return


def _judged(subject: Subject) -> Iterator[Tally]:
    offered = [rule for rule in OPTIMIZERS if rule.name in subject.kind.capabilities.optimizers]
    several = _several_blocks(subject, offered[-1])
    if subject.few:
        backend, problem = _made(subject, USUAL, offered[-1])
        rows, steps = COMPILED_PARTS
        yield judge_parts(backend, problem, rows, steps)
        yield judge_calls(backend, problem, rows, (steps[-1], 1))
        yield judge_split(backend, problem, rows, stepped=False)
        yield judge_reordered(backend, problem)
        yield judge_refusals(backend, problem)
        yield from (judge_reordered(*blocks) for blocks in several)
        yield from (judge_parts(*other, rows, steps[:1]) for other in _classes(subject))
        return
    for rule in offered:
        for count, after in PARTS.items():
            yield judge_parts(*_made(subject, USUAL, rule), count, after)
    backend, problem = _made(subject, USUAL, offered[-1])
    yield judge_calls(backend, problem, 5, (2, 1))
    yield from (judge_split(backend, problem, rows) for rows in SPLIT)
    yield judge_reordered(backend, problem)
    yield judge_refusals(backend, problem)
    for name in SHAPES:
        backend, problem = _made(subject, name, offered[-1])
        third = len(problem.inputs) // 3
        yield judge_parts(backend, problem, third, (1, 2, 3, 4, 5))
        yield judge_split(backend, problem, third)
        yield judge_reordered(backend, problem)
    for backend, problem in _classes(subject):
        yield judge_parts(backend, problem, 5, tuple(range(7)))
    for backend, problem in several:
        yield judge_reordered(backend, problem)
        yield judge_parts(backend, problem, len(problem.inputs) // 2, (1, 2, 3))


def _classes(subject: Subject) -> list[tuple[Backend, Problem]]:
    """Return an instance and a problem of classes, whose loss is a mean over rows; none if that is not offered."""
    offered = subject.kind.capabilities
    if "cross-entropy" not in offered.losses:
        return []
    network = Network(NETWORK.sizes, "relu" if "relu" in offered.activations else "tanh", "cross-entropy")
    problem, _ = next(loss_problems(network, subject.dtype))
    few = replace(problem, inputs=problem.inputs[:23], targets=problem.targets[:23])
    return [(subject.on(network), few)]


def _several_blocks(subject: Subject, rule: Optimizer) -> list[tuple[Backend, Problem]]:
    """Return an instance and a problem of two blocks and some rows; none if the backend does not say its blocks."""
    block = subject.on(NETWORK, rule).block_rows
    return [_made(subject, f"{NETWORK}/n={2 * min(int(block), MOST_BLOCK) + 3}/normal", rule)] if block else []


def _made(subject: Subject, name: str, rule: Optimizer) -> tuple[Backend, Problem]:
    """Return the instance and the problem of a case, whose rows all differ by much, trained at a gentle rate."""
    case = Case.parse(name)
    problem = case.problem(subject.dtype)
    targets = problem.targets + np.arange(len(problem.inputs))[:, None] % 13
    changed = replace(problem, targets=targets.astype(subject.dtype), optimizer=rule)
    return subject.on(case.network, rule), named(changed)


def judge_parts(backend: Backend, problem: Problem, rows_per_step: int, steps: tuple[int, ...]) -> Tally:
    """Judge every loss and step of training by mini-batches.

    If equal input need not give equal bits, each step goes on from the placed state instead, which shows the first
    step alone; the losses of several steps are then those of the states between, carried along.
    """
    p = precision_of(backend, problem.work)
    tally = Tally(f"{problem.name}, {rows_per_step} rows a step", p, backend.dtype)
    batch = backend.place_batch(problem.inputs, problem.targets)
    points: dict[int, tuple[Point, Array]] = {}
    for k in sorted({*steps, *(count + 1 for count in steps)}):
        params, losses = _train(backend, problem.placed_on(backend), batch, problem, k, rows_per_step)
        if not tally.require(CLAIM, f"losses of {k} steps", losses, (k,)):
            return tally
        points[k] = fetched(backend, params), losses
    points.setdefault(0, (Point(problem.params, problem.state), np.empty(0, backend.dtype)))
    if "process" not in backend.capabilities.deterministic:
        return _composed(tally, problem, rows_per_step, points)
    for k, (point, losses) in points.items():
        if k + 1 not in points:
            continue
        got, got_losses = points[k + 1]
        if not np.array_equal(got_losses[:k], losses):  # another kernel may take over, though not late
            if k > FEW:
                tally.refute(CLAIM, f"the losses of {k} steps are others in a run of {k + 1}")
            _composed(tally, problem, rows_per_step, points)
            continue
        here = point.of(problem.of_step(k, rows_per_step))
        state, loss = ball_of_next(here, exact_state(here, p), p)
        tally.judge(CLAIM, f"loss of step {k}", got_losses[k], loss)
        judge_point(tally, CLAIM, problem, got, state)
    return tally


def _composed(tally: Tally, problem: Problem, rows_per_step: int, points: dict[int, tuple[Point, Array]]) -> Tally:
    """Judge runs of a few steps from the start alone."""
    p, state = tally.precision, exact_state(problem, tally.precision)
    for k in range(min(FEW, max(points))):
        state, loss = ball_of_next(problem.of_step(k, rows_per_step), state, p)
        for steps, (got, losses) in points.items():
            if steps > k:
                tally.judge(CLAIM, f"loss of step {k} of {steps}", losses[k], loss)
            if steps == k + 1:
                judge_point(tally, CLAIM, problem, got, state)
    return tally


def _train(
    backend: Backend, params: Any, batch: Any, problem: Problem, steps: int, rows_per_step: int
) -> tuple[Any, Array]:
    try:
        return backend.train(params, batch, problem.learning_rate, steps, rows_per_step=rows_per_step)
    except TrainingDiverged as error:
        raise RuntimeError(f"{steps} steps of {rows_per_step} rows diverged: {error}") from error


def judge_calls(backend: Backend, problem: Problem, rows_per_step: int, steps_of_calls: tuple[int, ...]) -> Tally:
    """Judge that each call begins at the first row, whatever was trained before, and whole batches stay whole."""
    p = precision_of(backend, problem.work)
    tally = Tally(f"{problem.name}, call after call", p, backend.dtype)
    batch = backend.place_batch(problem.inputs, problem.targets)
    params = problem.placed_on(backend)
    calls = [(steps, rows_per_step) for steps in steps_of_calls]
    for steps, rows in (*calls, (1, len(problem.inputs)), (1, rows_per_step)):
        before = fetched(backend, params)
        params, losses = _train(backend, params, batch, problem, steps, rows)
        here = before.of(problem.of_step(0, rows))
        state, loss = ball_of_next(here, exact_state(here, p), p)
        tally.judge(CLAIM, "first loss of a call", losses[0], loss)
        if steps == 1:
            judge_point(tally, CLAIM, problem, fetched(backend, params), state)
    before = fetched(backend, params)
    params, loss = backend.step(params, batch, problem.learning_rate)
    here = before.of(problem)
    state, expected = ball_of_next(here, exact_state(here, p), p)
    tally.judge(CLAIM, "loss of all rows after mini-batches", float(loss), expected)
    judge_point(tally, CLAIM, problem, fetched(backend, params), state)
    return tally


def judge_split(backend: Backend, problem: Problem, rows_per_step: int, stepped: bool = True) -> Tally:
    """Judge the last parts as batches, and a step on each in turn."""
    p = precision_of(backend, problem.work)
    tally = Tally(f"{problem.name}, split by {rows_per_step}", p, backend.dtype)
    batch = backend.place_batch(problem.inputs, problem.targets)
    parts = backend.split(batch, rows_per_step)
    expected = -(-len(problem.inputs) // rows_per_step)
    if len(parts) != expected:
        tally.refute(CLAIM, f"{len(parts)} parts, expected {expected}")
        return tally
    params = problem.placed_on(backend)
    for k, part in list(enumerate(parts))[-4:]:
        here = fetched(backend, params).of(problem.of_step(k, rows_per_step))
        judge_batch(tally, backend, here, part, f"part {k}", params)
        if not stepped:
            continue
        state, loss = ball_of_next(here, exact_state(here, p), p)
        params, got = backend.step(params, part, problem.learning_rate)
        tally.judge(CLAIM, f"loss of a step on part {k}", float(got), loss)
        judge_point(tally, CLAIM, problem, fetched(backend, params), state)
    judge_batch(tally, backend, problem, batch, "the batch that was split", problem.placed_on(backend))
    return tally


def judge_batch(tally: Tally, backend: Backend, problem: Problem, batch: Any, label: str, params: Any) -> None:
    """Judge loss and gradients of a placed batch whose rows should be the problem's, and the rows of its outputs."""
    p = tally.precision
    tape = backend.forward(params, batch)
    outputs = backend.outputs(tape)
    if any(len(h) != len(problem.inputs) for h in outputs):
        tally.refute(CLAIM, f"{label}: outputs of {len(outputs[-1])} rows, expected {len(problem.inputs)}")
        return
    loss, gradients = backend.backward(params, batch, tape)
    expected, expected_loss = ball_of_gradients(problem, exact_params(problem, p), p)
    tally.judge(CLAIM, f"loss of {label}", float(loss), expected_loss)
    judge_params(tally, CLAIM, backend.fetch(gradients), expected, f"{label}, gradient of ")


def judge_reordered(backend: Backend, problem: Problem) -> Tally:
    """Judge batches in a drawn order, reversed, and in that order again; and that the first one stays."""
    tally = Tally(f"{problem.name}, reordered", precision_of(backend, problem.work), backend.dtype)
    n = len(problem.inputs)
    batch = backend.place_batch(problem.inputs, problem.targets)
    params = problem.placed_on(backend)
    drawn = np.random.default_rng(n).permutation(n)
    held: list[tuple[str, Problem, Any]] = []
    orders = {"drawn": drawn.copy(), "reversed": np.arange(n)[::-1], "as a list": drawn.tolist()}
    for label, order in orders.items():
        kept = np.array(order)
        reordered = backend.reorder(batch, order)
        if isinstance(order, np.ndarray):
            order[:] = 0  # the caller's
        here = replace(problem, inputs=problem.inputs[kept], targets=problem.targets[kept])
        held.append((f"{label}, later", here, reordered))
        _judge_rows(tally, backend, here, reordered, label, params)
        again = backend.reorder(reordered, np.argsort(kept))
        _judge_rows(tally, backend, problem, again, f"{label} and back", params)
    for label, here, reordered in held[:2]:
        _judge_rows(tally, backend, here, reordered, label, params)
    _judge_rows(tally, backend, problem, batch, "the batch that was reordered", params)
    return tally


def _judge_rows(tally: Tally, backend: Backend, problem: Problem, batch: Any, label: str, params: Any) -> None:
    """Judge a placed batch by a step on its first third: sums over all rows do not tell their order."""
    few = max(1, len(problem.inputs) // 3)
    judge_batch(tally, backend, problem.of_step(0, few), backend.split(batch, few)[0], label, params)
    if len(problem.inputs) < 100:
        judge_batch(tally, backend, problem, batch, f"{label}, whole", params)


def judge_refusals(backend: Backend, problem: Problem) -> Tally:
    """Judge numbers of rows and orders that must be refused, and that nothing is changed by asking."""
    tally = Tally(f"{problem.name}, refusals", precision_of(backend, problem.work), backend.dtype)
    n = len(problem.inputs)
    batch, params = backend.place_batch(problem.inputs, problem.targets), problem.placed_on(backend)
    before = fetched(backend, params)
    twice, beyond = np.arange(n), np.arange(n)
    twice[1], beyond[1] = 0, n
    train = partial(backend.train, params, batch, 0.1, 1)
    calls: dict[str, Callable[[], Any]] = {
        **{f"{rows} rows a step": partial(train, rows_per_step=rows) for rows in (0, -1, n + 1)},
        **{f"a split by {rows}": partial(backend.split, batch, rows) for rows in (0, n + 1)},
        "twice the same row": partial(backend.reorder, batch, twice),
        "a row too far": partial(backend.reorder, batch, beyond),
        "a row too few": partial(backend.reorder, batch, np.arange(n - 1)),
    }
    for label, call in calls.items():
        try:
            call()
        except ValueError:
            tally.confirm(CLAIM)
        except Exception as error:  # whatever else a stranger's backend raises
            tally.refute(CLAIM, f"{label} raised {type(error).__name__}, expected ValueError: {error}")
        else:
            tally.refute(CLAIM, f"{label} was accepted, expected ValueError")
    if not same(fetched(backend, params), before):
        tally.refute(CLAIM, "what was refused changed the params")
    if not math.isfinite(float(backend.backward(params, batch, backend.forward(params, batch))[0])):
        tally.refute(CLAIM, "what was refused spoilt the batch")
    return tally
