"""The claim on state: memory of the caller is neither kept nor written, and nothing returned changes afterwards.

Only params given to `update`, `step` and `train` may be reused. What is fetched twice is compared bit for bit. What is
computed twice is judged by its bounds instead: equal bits are another claim, and not every backend makes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from backends.base import Adam, Array, Backend, Layer, Momentum, Network, Optimizer
from backends.conformance.caller import MAKES
from backends.conformance.cases import VALUES_SHAPE, Case
from backends.conformance.composed import ball_of_gradients, ball_of_step, exact_params
from backends.conformance.judge import Tally
from backends.conformance.report import Finding
from backends.conformance.stages import judge_params, judge_stages
from backends.conformance.stateful import LONG_CALLS, Walk
from backends.conformance.subject import DESCENT, Problem, Subject, precision_of


@dataclass(frozen=True)
class Ground:
    """Where walks go.

    Attributes:
        networks: of the instances, which are called in turn.
        optimizer: of all of them.
        rows: of the batches.
        walks: how many, each with its own seed.
        calls: of each.
        kinds: of calls; all of them if empty.
    """

    networks: tuple[str, ...]
    rows: tuple[int, ...]
    walks: int
    calls: int
    kinds: tuple[str, ...] = ()
    optimizer: Optimizer = DESCENT


LONG = Ground(("3-2-1",), (3,), 1, 320, LONG_CALLS)
GROUNDS = (
    Ground(("5-4-3", "5-4-3", "4-3-2-1"), (64, 48), 3, 120),
    Ground(("17-9-7-2", "17-9-7-2"), (31,), 1, 80),
    Ground(("3-2-1", "3-2-1"), (4097, 5), 1, 60),
    LONG,
)
COMPILED_GROUNDS = (Ground(("5-4-3", "5-4-3", "3-2-1"), (64,), 3, 120), LONG)
OPTIMIZED = tuple(
    Ground(("3-3-2", "3-3-2"), (8,), 2, 120, optimizer=rule)
    for rule in (Momentum(momentum=0.25), Adam(beta1=0.5, beta2=0.75, epsilon=0.125, weight_decay=0.25))
)
"""Walks with a state of the optimiser, if the backend offers it: on a shape that is judged elsewhere, compiled once."""
DEEP_WALKS = 30
MEMORY = (("3-2-1", 64), ("5-4-3", 2048), ("3-2-1", 1 << 17), ("65-67-9", 9))

FIRST, SECOND = f"{VALUES_SHAPE}/normal/seed=3", f"{VALUES_SHAPE}/normal/seed=4"


def check_state(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge what stays the same while something else is done."""
    first, other = (Case.parse(name).problem(subject.dtype) for name in (FIRST, SECOND))
    for name, judge in CLAIMS.items():
        changed = judge(subject, first, other)
        yield Finding("state", f"{VALUES_SHAPE}, {name}", math.inf if changed else 0.0, changed)
    yield from judge_memory(subject)
    yield from judge_walks(subject)


def judge_walks(subject: Subject) -> Iterator[Finding]:
    """Judge calls in any order, up to the first walk that goes wrong: of fixed seeds, and of drawn ones if deep."""
    offered = tuple(ground for ground in OPTIMIZED if ground.optimizer.name in subject.kind.capabilities.optimizers)
    usual = COMPILED_GROUNDS if subject.few else GROUNDS
    for ground in (*usual[:1], *offered) if subject.quick else (*usual, *offered):
        networks = [Network.parse(text) for text in ground.networks]
        drawn = range(subject.seed, subject.seed + DEEP_WALKS) if subject.deep else ()
        stated = range(1 if subject.quick else ground.walks)
        for label, seed in (*(("walk", k) for k in stated), *(("drawn walk", k) for k in drawn)):
            walk = Walk(partial(subject.fresh, optimizer=ground.optimizer), networks, ground.rows, seed)
            wrong = walk.run(ground.calls, ground.kinds)
            named = f"{ground.networks[0]}, " + (f"{ground.optimizer}, " if ground.optimizer.moments else "")
            yield Finding("state", f"{named}{label} {seed}", walk.worst, wrong)
            if wrong:
                return


def judge_memory(subject: Subject) -> Iterator[Finding]:
    """Judge a step from arrays that are overwritten once placed, large and small, of every make that invites to it."""
    for network, rows in MEMORY[:2] if subject.few else MEMORY:
        backend = subject.on(Network.parse(network))
        problem = Case.parse(f"{network}/n={rows}/normal/seed=6").problem(subject.dtype)
        p = precision_of(backend, problem.work)
        expected, loss_before = ball_of_step(problem, exact_params(problem, p), p)
        for make in MAKES:
            arrays = [make(array) for array in _arrays(problem)]
            for array, value in zip(arrays, _arrays(problem), strict=True):
                array[...] = value
            layers = tuple(Layer(*arrays[k : k + 2]) for k in range(2, len(arrays), 2))
            params, batch = backend.place_params(layers), backend.place_batch(*arrays[:2])
            for array in arrays:
                array.fill(math.nan)
            new, loss = backend.step(params, batch, problem.learning_rate)
            tally = Tally(f"{network}/n={rows}, {make.__name__.strip('_').replace('_', ' ')} arrays", p, subject.dtype)
            tally.judge("state", "loss after the caller's arrays were overwritten", float(loss), loss_before)
            judge_params(tally, "state", backend.fetch(new), expected)
            yield from tally.findings


def _memory_is_copied(subject: Subject, first: Problem, other: Problem) -> str:
    """Overwriting the caller's arrays after placing them changes nothing; computing does not write to them."""
    backend = subject.on(first.network)
    mine = _copied(first)
    params, batch = backend.place_params(mine.params), backend.place_batch(mine.inputs, mine.targets)
    gradients = backend.backward(params, batch, backend.forward(params, batch))[1]
    backend.train(backend.update(params, gradients, 0.5), batch, 0.01, 1)
    if any(not np.array_equal(a, b) for a, b in zip(_arrays(mine), _arrays(first), strict=True)):
        return "the caller's arrays were written to"
    params, batch = backend.place_params(mine.params), backend.place_batch(mine.inputs, mine.targets)
    for array in _arrays(mine):
        array.fill(math.nan)
    wrong = _wrong_gradients(backend, first, params, batch)
    return wrong and f"overwriting the caller's arrays changed {wrong}"


def _results_are_copies(subject: Subject, first: Problem, other: Problem) -> str:
    """Overwriting what `outputs` and `fetch` return changes nothing."""
    backend = subject.on(first.network)
    params, batch = backend.place_params(first.params), backend.place_batch(first.inputs, first.targets)
    tape = backend.forward(params, batch)
    gradients = backend.backward(params, batch, tape)[1]
    for what, fetch in (
        ("outputs", lambda: backend.outputs(tape)),
        ("params", lambda: backend.fetch(params)),
        ("gradients", lambda: backend.fetch(gradients)),
    ):
        expected = _snapshot(fetch())
        for array in _flat(fetch()):
            if array.flags.writeable:
                array.fill(math.nan)
        if not _same(fetch(), expected):
            return f"overwriting fetched {what} changed them"
    return ""


def _results_stay(subject: Subject, first: Problem, other: Problem) -> str:
    """Tape, gradients, loss and batches stay what they are while another batch is worked on."""
    backend = subject.on(first.network)
    params, batch = backend.place_params(first.params), backend.place_batch(first.inputs, first.targets)
    tape = backend.forward(params, batch)
    loss, gradients = backend.backward(params, batch, tape)
    before = float(loss), _snapshot(backend.outputs(tape)), _snapshot(backend.fetch(gradients))
    kept = _snapshot(backend.fetch(params))
    second = backend.place_params(other.params), backend.place_batch(other.inputs, other.targets)
    backend.backward(*second, backend.forward(*second))
    stepped, _ = backend.step(second[0], second[1], 0.25)
    backend.train(stepped, batch, 0.01, 2)
    for what, now, then in (
        ("the loss", [np.asarray(float(loss))], [np.asarray(before[0])]),
        ("the tape", backend.outputs(tape), before[1]),
        ("the gradients", backend.fetch(gradients), before[2]),
        ("the params, which no update was given,", backend.fetch(params), kept),
    ):
        if not _same(now, then):
            return f"{what} changed while another batch was worked on"
    backend.update(params, gradients, 0.25)
    if not _same(backend.fetch(gradients), before[2]):
        return "update changed the gradients"
    for problem, used in ((first, batch), (other, second[1])):
        if wrong := _wrong_gradients(backend, problem, backend.place_params(problem.params), used):
            return f"the same batch later gives another result: {wrong}"
    return ""


def _batches_do_not_mix(subject: Subject, first: Problem, other: Problem) -> str:
    """A smaller batch after a larger one, on one instance, is right by the bounds: nothing stale is left."""
    backend = subject.fresh(first.network)
    rows = Case.parse("3-2-1/n=3/tutorial").problem(subject.dtype)
    for problem in (first, rows, other, rows):
        for finding in judge_stages(backend, problem).findings:
            if not finding.ratio <= 1:
                return f"after another batch, {problem.name} fails {finding.claim}: {finding.where}"
    return ""


def _instances_are_independent(subject: Subject, first: Problem, other: Problem) -> str:
    """Two instances do not disturb each other."""
    a, b = subject.fresh(first.network), subject.fresh(other.network)
    params_a, batch_a = a.place_params(first.params), a.place_batch(first.inputs, first.targets)
    tape_a = a.forward(params_a, batch_a)
    expected = _snapshot(a.outputs(tape_a))
    params_b, batch_b = b.place_params(other.params), b.place_batch(other.inputs, other.targets)
    b.backward(params_b, batch_b, b.forward(params_b, batch_b))
    b.step(params_b, batch_b, 0.25)
    if not _same(a.outputs(tape_a), expected):
        return "a second instance changed the tape of the first"
    return "" if _same(a.fetch(params_a), first.params) else "a second instance changed the params of the first"


def _no_steps_change_nothing(subject: Subject, first: Problem, other: Problem) -> str:
    """Training for no steps returns the params as they were, and no losses."""
    backend = subject.on(first.network)
    batch = backend.place_batch(first.inputs, first.targets)
    params, losses = backend.train(backend.place_params(first.params), batch, 0.01, 0)
    if len(losses):
        return f"no steps returned {len(losses)} losses"
    return "" if _same(backend.fetch(params), first.params) else "no steps changed the params"


CLAIMS = {
    "the caller's memory": _memory_is_copied,
    "fetched arrays": _results_are_copies,
    "results while others are computed": _results_stay,
    "batch after batch": _batches_do_not_mix,
    "two instances": _instances_are_independent,
    "training for no steps": _no_steps_change_nothing,
}


def _copied(problem: Problem) -> Problem:
    params = tuple(type(layer)(*(array.copy() for array in layer)) for layer in problem.params)
    return Problem(problem.name, params, problem.inputs.copy(), problem.targets.copy(), problem.learning_rate)


def _arrays(problem: Problem) -> list[Array]:
    return [problem.inputs, problem.targets, *_flat(problem.params)]


def _wrong_gradients(backend: Backend, problem: Problem, params: Any, batch: Any) -> str:
    """Return which loss or gradient of placed params and batch is beyond its bound; nothing if all are right."""
    p = precision_of(backend, problem.work)
    tally = Tally(problem.name, p, backend.dtype)
    loss, gradients = backend.backward(params, batch, backend.forward(params, batch))
    expected, expected_loss = ball_of_gradients(problem, exact_params(problem, p), p)
    tally.judge("state", "the loss", float(loss), expected_loss)
    judge_params(tally, "state", backend.fetch(gradients), expected)
    wrong = [
        f"{finding.where} (error / bound {finding.ratio:.3g})" for finding in tally.findings if not finding.ratio <= 1
    ]
    return wrong[0] if wrong else ""


def _flat(arrays: Any) -> list[Array]:
    """Return the arrays of a tuple of arrays or of layers."""
    return [array for item in arrays for array in (item if isinstance(item, tuple) else (item,))]


def _snapshot(arrays: Any) -> list[Array]:
    return [array.copy() for array in _flat(arrays)]


def _same(now: Any, then: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(_flat(now), _flat(then), strict=True))
