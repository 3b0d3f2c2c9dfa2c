"""The claim on training: every step is one exact step from the state before, also where values overflow.

Two correct runs drift apart without limit once learning diverges, and a coarse one hardly drifts at a gentle rate: no
tolerance on a whole trajectory separates right from wrong. A single step does, from whatever state it starts.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from backends.base import Array, Backend, Layer, Network
from backends.conformance import oracle
from backends.conformance.bounds import Ball, BallLayer
from backends.conformance.cases import Case
from backends.conformance.chains import FAR, NEAR, judge_chain, judge_divergence, judge_exact
from backends.conformance.composed import ball_of_next, ball_of_step, exact_params, exact_state
from backends.conformance.judge import Tally
from backends.conformance.report import Finding
from backends.conformance.stages import judge_params, train_to_the_end
from backends.conformance.subject import Problem, Subject, precision_of
from backends.conformance.updates import BallState

OVERFLOWED = "3-2-1/n=3/tutorial"
OVERFLOWING_RATE = {"float32": 1e20, "float64": 1e120}
LONGEST = 8
LONG = "3-3-2/n=8/normal/seed=4"
MIDDLE = ("2-3-3-2/n=8/normal/seed=4", "3-3-16/n=8/normal/seed=4", "3-2-1/n=4097/normal/seed=4")
EXACT = ((3, 3, 2), (2, 3, 3, 2), (3, 3, 16))
"""Networks of which each output is a sum of as many parts as a power of two, and of LONG and MIDDLE: compiled once."""
COMPILED = (0, 1, 2, 8, 17)
FEW_WORK = ((1 << 18, (0, 1, 2)), (1 << 24, (0, 1)))
"""Rows times parameters, and the numbers of steps that are judged up to there; beyond, the first step alone."""


def check_train(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge long training, training that overflows, and single steps out of `train` on every case, up to a failure."""
    by_size = sorted(cases, key=lambda case: case.rows * case.network.parameter_count)
    for tally in chain(_long_training(subject, cases), (_first_steps(subject, case) for case in by_size)):
        yield from tally.findings
        if any(finding.status == "fail" for finding in tally.findings):
            return


def _long_training(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Tally]:
    """Judge exact training, rates that change between calls, divergence, and chains of many steps."""
    if OVERFLOWED not in map(str, cases):
        return
    for sizes in EXACT[:1] if subject.few else EXACT:
        backend = subject.on(Network(sizes))
        yield judge_exact(backend, turning=False)
        yield judge_exact(backend, turning=True)
    backend, problem = _made(subject, LONG)
    for rate in (0.25, 0.0, 0.5, -0.125, 0.25):
        yield judge_local_steps(backend, replace(problem, learning_rate=rate))
    yield from judge_divergence(backend, problem)
    backend, problem = _made(subject, OVERFLOWED)
    yield judge_overflow(backend, replace(problem, learning_rate=OVERFLOWING_RATE[subject.dtype]))
    for name in (LONG, *MIDDLE):
        backend, problem = _made(subject, name)
        steps = {*NEAR, *FAR} if name == LONG else {*(COMPILED if subject.few else NEAR)}
        if backend.captured_steps:  # from this many on it works in another way
            steps |= {backend.captured_steps - 1, backend.captured_steps, backend.captured_steps + 1}
        yield judge_chain(backend, problem, tuple(sorted(steps)))


def first_step(subject: Subject, backend: Backend, problem: Problem) -> tuple[BallState, Ball]:
    """Return the parameters after one step of a problem, and the loss before it; computed once for all claims."""
    if problem.name not in subject.expected:
        p = precision_of(backend, problem.work)
        subject.expected[problem.name] = ball_of_next(problem, exact_state(problem, p), p)
    known: tuple[BallState, Ball] = subject.expected[problem.name]
    return known


def _first_steps(subject: Subject, case: Case) -> Tally:
    backend, problem = subject.on(case.network), case.problem(subject.dtype)
    return judge_local_steps(backend, problem, first_step(subject, backend, problem), first_alone=subject.few)


def _made(subject: Subject, name: str) -> tuple[Backend, Problem]:
    case = Case.parse(name)
    return subject.on(case.network), case.problem(subject.dtype)


def judge_local_steps(
    backend: Backend,
    problem: Problem,
    first: tuple[BallState, Ball] | None = None,
    first_alone: bool = False,
) -> Tally:
    """Judge the state after ``k + 1`` steps from the state after ``k`` as the backend returned it, for the first ``k``.

    ``first`` is what the first step gives, if it is known. If equal input need not give equal bits, the step goes
    on from the placed state instead.
    """
    p = precision_of(backend, problem.work)
    tally = Tally(problem.name, p, backend.dtype)
    repeats = "process" in backend.capabilities.deterministic
    counts = (0,) if first_alone else next((few for work, few in FEW_WORK if problem.work <= work), (0,))
    state: Any = problem.params
    for k in counts:
        here = replace(problem, params=state)
        new, losses = _trained(tally, backend, problem, k + 1) if repeats else _trained(tally, backend, here, 1)
        after, loss = first if first and k == 0 else ball_of_next(here, exact_state(here, p), p)
        if tally.require("train", "losses", losses, (k + 1 if repeats else 1,)):
            tally.judge("train", f"loss of step {k}", losses[-1], loss)
        judge_params(tally, "train", new, after.params)
        state = new
    return tally


def judge_overflow(backend: Backend, problem: Problem) -> Tally:
    """Judge step after step, also from a state that is not finite, and the report of a whole run that overflows."""
    p = precision_of(backend, problem.work)
    tally = Tally(f"{problem.name} at rate {problem.learning_rate:g}", p, backend.dtype)
    here, finite_losses = problem, 0
    for _ in range(LONGEST):
        new, losses = _trained(tally, backend, here, 1)
        expected, loss = ball_of_step(here, exact_params(here, p), p)
        plain, plain_loss = _plain_step(here)
        tally.judge("train", "loss", losses[-1], _excused(loss, plain_loss))
        judge_params(tally, "train", new, _excused_where(expected, plain))
        if not np.isfinite(losses[-1]) and not _all_finite(here.params):
            break
        finite_losses += bool(np.isfinite(losses[-1]))
        here = replace(here, params=new)
    if "process" in backend.capabilities.deterministic:
        _, losses = _trained(tally, backend, problem, LONGEST)
        pattern = np.isfinite(losses)
        if pattern.all() or int(pattern.argmin()) != finite_losses:
            tally.refute("train", f"{finite_losses} finite losses one by one, in one run {losses}")
    return tally


def _trained(tally: Tally, backend: Backend, problem: Problem, steps: int) -> tuple[tuple[Layer, ...], Array]:
    """Return the fetched parameters after ``steps`` steps, and the losses."""
    batch = backend.place_batch(problem.inputs, problem.targets)
    params, losses = train_to_the_end(tally, backend, problem, backend.place_params(problem.params), batch, steps)
    return backend.fetch(params), losses


def _plain_step(problem: Problem) -> tuple[Any, Any]:
    """Return one step and its loss in the dtype itself, which overflows where a backend may."""
    dtype = problem.inputs.dtype.type
    arithmetic = oracle.Arithmetic(dtype.__name__, 0.0, dtype)
    with np.errstate(all="ignore"):
        gradients = oracle.backward(problem.params, problem.inputs, problem.targets, arithmetic)
        new = oracle.update(problem.params, gradients, problem.learning_rate, arithmetic)
        return new, oracle.loss(problem.params, problem.inputs, problem.targets, arithmetic)


def _excused_where(expected: list[BallLayer], plain: Any) -> list[BallLayer]:
    """Loosen each entry for which exact and plain arithmetic disagree, because something on its way overflows."""
    return [
        (_excused(balls[0], arrays[0]), _excused(balls[1], arrays[1]))
        for balls, arrays in zip(expected, plain, strict=True)
    ]


def _excused(ball: Ball, plain: Any) -> Ball:
    """Return the ball, claiming nothing where only ``plain`` overflows, and not which infinity where both do."""
    overflows = ~np.isfinite(plain)
    radius = np.where(overflows, np.inf, ball.radius)
    which = overflows & ~np.isfinite(ball.magnitude) & (plain != ball.exact)
    return Ball(np.where(which, np.nan, ball.exact), radius, ball.reach)


def _all_finite(params: Any) -> bool:
    return all(np.isfinite(array).all() for layer in params for array in layer)
