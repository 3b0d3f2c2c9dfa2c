"""The claim on optimisers: momentum and Adam, of several settings, and the state that they keep.

    updates     one after another, each from the public state before it and the backend's own gradients, at rates of
                either sign; from fresh states and from placed ones, of a few or of many updates, with moments of zero
    step        from a placed state and the inputs
    train       each number of steps gives what its own single steps give, params, state and every loss
    state       is what was placed, belongs to its params alone, starts afresh without one, and goes on bit for bit

What is judged of descent, in other claims, holds for these as well: they share all but the update.

Tests: `tests/backends/conformance/test_workload_claims.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from backends.base import Adam, Backend, Layer, Momentum, Optimizer, Params, State
from backends.conformance.cases import Case
from backends.conformance.chains import Point, fetched, judge_chain, judge_point, same
from backends.conformance.composed import ball_of_next, exact_state
from backends.conformance.judge import Tally
from backends.conformance.report import Finding
from backends.conformance.stages import judge_step, judge_update
from backends.conformance.states import copied_state, drawn_state, moments_of
from backends.conformance.subject import Problem, Subject, precision_of

CLAIM = "optimizers"
SETTINGS: dict[str, tuple[Optimizer, ...]] = {
    "momentum": (Momentum(), Momentum(momentum=0.25), Momentum(momentum=0.0)),
    "adam": (
        Adam(),
        Adam(beta1=0.5, beta2=0.75, epsilon=0.125, weight_decay=0.25),
        Adam(beta1=0.95, beta2=0.9, epsilon=1e-3, weight_decay=0.01),
        Adam(beta1=0.0, beta2=0.0),
    ),
}
"""The first of each is trained with for long. Settings far from the usual show what has its usual value built in."""
COMPILED_SETTINGS: dict[str, tuple[Optimizer, ...]] = {
    "momentum": SETTINGS["momentum"][1:2],
    "adam": (SETTINGS["adam"][1], SETTINGS["adam"][0]),
}
"""The first of each is trained with, others are judged by their updates."""
CHAINED = "3-3-2/n=8/normal/seed=4"
UPDATED = (
    "3-2-1/n=64/normal",
    "3-2-1/n=64/wide",
    "3-2-1/n=64/zeros",
    "3-2-1/n=64/near",
    "33-67-9/n=5/normal",
    "2-3-8-16-1/n=9/normal",
)
LONG_VECTOR = UPDATED[-2]
"""More parameters than a vector or a block of them has."""
NEAR, FAR = tuple(range(18)), {"momentum": (64, 300), "adam": (64, 1024)}
COMPILED_STEPS = (0, 1, 2, 1000)
RATES: tuple[Any, ...] = (0.01, 0.25, 0, -0.125, np.float32(0.1), 1.0, 1e-6)
UPDATES = (1, 9, 999, 100_000)
"""Of placed states."""


def check_optimizers(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge every optimiser that the backend offers, up to the first failure: the updates of all of them first."""
    offered = subject.kind.capabilities.optimizers
    settings = {
        name: rules for name, rules in (COMPILED_SETTINGS if subject.few else SETTINGS).items() if name in offered
    }
    for tally in (_judged_by_few if subject.few else _judged)(subject, settings):
        yield from tally.findings
        if any(finding.status == "fail" for finding in tally.findings):
            return


def _judged(subject: Subject, settings: dict[str, tuple[Optimizer, ...]]) -> Iterator[Tally]:
    for name in UPDATED:
        yield from (judge_updates(*made(subject, name, rule)) for rules in settings.values() for rule in rules)
    for rules in settings.values():
        for rule in rules:
            backend, problem = made(subject, CHAINED, rule)
            yield from (judge_step_from(backend, problem, k, CLAIM) for k in range(2))
            yield judge_state_kept(subject, backend, problem)
            yield judge_chain(backend, problem, (*NEAR, *FAR[rule.name]) if rule is rules[0] else NEAR, CLAIM)
            yield judge_chain(*made(subject, UPDATED[-1], rule), (1, 2, 5), CLAIM)


def _judged_by_few(subject: Subject, settings: dict[str, tuple[Optimizer, ...]]) -> Iterator[Tally]:
    """Judge on one shape, and few numbers of steps."""
    yield from (judge_updates(*made(subject, CHAINED, rule)) for rules in settings.values() for rule in rules)
    for rule, *_ in settings.values():
        backend, problem = made(subject, CHAINED, rule)
        yield from (judge_step_from(backend, problem, k, CLAIM) for k in range(2))
        yield judge_state_kept(subject, backend, problem)
        yield judge_chain(backend, problem, COMPILED_STEPS, CLAIM)
        yield judge_updates(*made(subject, LONG_VECTOR, rule))


def made(subject: Subject, name: str, rule: Optimizer) -> tuple[Backend, Problem]:
    """Return the instance and the problem of a case with an optimiser."""
    case = Case.parse(name)
    return subject.on(case.network, rule), named(replace(case.problem(subject.dtype), optimizer=rule))


def named(problem: Problem) -> Problem:
    """Return the problem with its optimiser in its name."""
    return replace(problem, name=f"{problem.name}, {problem.optimizer}")


def judge_updates(backend: Backend, problem: Problem) -> Tally:
    """Judge updates in a row from a fresh state, and some from placed states; gradients are used twice."""
    p = precision_of(backend, problem.network.parameter_count)
    tally = Tally(problem.name, p, backend.dtype)
    batch = backend.place_batch(problem.inputs, problem.targets)
    starts = [None, *(drawn_state(problem, t) for t in (UPDATES if problem.optimizer.counts_updates else UPDATES[:2]))]
    for state, rates in zip(starts, (RATES, RATES[:1], RATES[2:4], RATES[1:2], RATES[-2:]), strict=False):
        placed = replace(problem, state=state).placed_on(backend)
        _, gradients = backend.backward(placed, batch, backend.forward(placed, batch))
        for k, rate in enumerate(rates):
            before, got = fetched(backend, placed), backend.fetch(gradients)
            placed = backend.update(placed, gradients, rate)
            after, here = fetched(backend, placed), replace(before.of(problem), learning_rate=rate)
            judge_update(tally, here, got, after.params, _state_of(after), p, CLAIM)
            if k % 2:
                _, gradients = backend.backward(placed, batch, backend.forward(placed, batch))
    return tally


def _state_of(point: Point) -> State:
    return point.state or State(0, {})


def judge_step_from(backend: Backend, problem: Problem, seed: int, claim: str) -> Tally:
    """Judge the fused step from a placed state, at rates of either sign and at zero."""
    tally = Tally(problem.name, precision_of(backend, problem.work), backend.dtype)
    for rate in (problem.learning_rate, 0.0, -0.25):
        here = replace(problem, state=drawn_state(problem, 5, seed), learning_rate=rate)
        for finding in judge_step(backend, here).findings:
            tally.keep(replace(finding, claim=claim))
    return tally


def judge_state_kept(subject: Subject, backend: Backend, problem: Problem) -> Tally:
    """Judge whose a state is, and what it is after it was placed, fetched, overwritten, or not given."""
    p = precision_of(backend, problem.work)
    tally = Tally(f"{problem.name}, state", p, backend.dtype)
    batch = backend.place_batch(problem.inputs, problem.targets)
    given = drawn_state(problem, 7)
    mine = copied_state(given)
    placed = backend.place_params(problem.params, mine)
    for array in moments_of(mine):
        array.fill(np.nan)
    first = fetched(backend, placed)
    _expect(tally, same(first, Point(problem.params, given)), "a state that was placed is fetched as another")
    for array in moments_of(first.state):
        if array.flags.writeable:
            array.fill(np.nan)
    _expect(
        tally, same(fetched(backend, placed), Point(problem.params, given)), "overwriting a fetched state changed it"
    )
    _, gradients = backend.backward(placed, batch, backend.forward(placed, batch))
    before = backend.fetch(gradients)
    _expect(
        tally, same(fetched(backend, placed), Point(problem.params, given)), "forward and backward changed the state"
    )
    placed = backend.update(placed, gradients, 0.1)
    kept = Point(before, None)
    _expect(tally, same(Point(backend.fetch(gradients), None), kept), "an update changed the gradients")
    afresh = fetched(backend, backend.place_params(problem.params))
    start = State(0, {name: _zeros(problem.params) for name in problem.optimizer.moments})
    _expect(tally, same(afresh, Point(problem.params, start)), "params without a state do not start afresh")
    _judge_apart(tally, subject, backend, problem, batch)
    _judge_continued(tally, subject, backend, problem)
    return tally


def _judge_apart(tally: Tally, subject: Subject, backend: Backend, problem: Problem, batch: Any) -> None:
    """Judge steps and updates of two params of one instance and of another instance in turn, each from its state."""
    other = subject.fresh(backend.network, problem.optimizer)
    owners = [(backend, batch), (backend, batch), (other, other.place_batch(problem.inputs, problem.targets))]
    placed = [owner.place_params(problem.params, drawn_state(problem, 3, k)) for k, (owner, _) in enumerate(owners)]
    points = [fetched(owner, params) for (owner, _), params in zip(owners, placed, strict=True)]
    for turn in range(7):
        k = turn % 3
        owner, rows = owners[k]
        here = points[k].of(problem)
        state, expected = ball_of_next(here, exact_state(here, tally.precision), tally.precision)
        if turn < 3:
            placed[k], loss = owner.step(placed[k], rows, problem.learning_rate)
        else:
            loss, gradients = owner.backward(placed[k], rows, owner.forward(placed[k], rows))
            placed[k] = owner.update(placed[k], gradients, problem.learning_rate)
        tally.judge(CLAIM, "loss while others train", float(loss), expected)
        points[k] = fetched(owner, placed[k])
        judge_point(tally, CLAIM, problem, points[k], state)
    unmoved = (same(fetched(owner, params), at) for (owner, _), params, at in zip(owners, placed, points, strict=True))
    _expect(tally, all(unmoved), "the state of params that took no step changed")


def _judge_continued(tally: Tally, subject: Subject, backend: Backend, problem: Problem) -> None:
    """Judge training that was saved and goes on, here and on another instance: equal bits, if they repeat."""
    if "process" not in backend.capabilities.deterministic:
        return
    other = subject.fresh(backend.network, problem.optimizer)
    batch = backend.place_batch(problem.inputs, problem.targets)
    params, _ = backend.train(problem.placed_on(backend), batch, problem.learning_rate, 2)
    saved = fetched(backend, params)
    ends = []
    for one, at in ((backend, params), (other, saved.of(problem).placed_on(other))):
        rows = one.place_batch(problem.inputs, problem.targets)
        new, losses = one.train(at, rows, problem.learning_rate, 2)
        ends.append((fetched(one, new), losses))
    equal = same(ends[0][0], ends[1][0]) and np.array_equal(ends[0][1], ends[1][1])
    _expect(tally, equal, "a saved state goes on with other bits")


def _expect(tally: Tally, holds: bool, otherwise: str) -> None:
    if holds:
        tally.confirm(CLAIM)
    else:
        tally.refute(CLAIM, otherwise)


def _zeros(params: Params) -> Params:
    return tuple(Layer(np.zeros_like(w), np.zeros_like(b)) for w, b in params)
