"""The claim on training: every step is one exact step from the state before, also where values overflow.

Two correct runs drift apart without limit once learning diverges, and a coarse one hardly drifts at a gentle rate: no
tolerance on a whole trajectory separates right from wrong. A single step does, from whatever state it starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from backends.base import Array, Backend, Layer
from backends.conformance import oracle
from backends.conformance.bounds import Ball
from backends.conformance.cases import Case
from backends.conformance.composed import BallLayer, ball_of_step, exact_params
from backends.conformance.judge import Tally
from backends.conformance.report import Finding
from backends.conformance.stages import judge_params, train_to_the_end
from backends.conformance.subject import Problem, Subject, precision_of

TRAINED = ("3-2-1/n=3/tutorial", "3-2-1/n=64/normal", "8-32-1/n=257/normal")
AFTER = (0, 1, 6)
OVERFLOWING_RATE = {"float32": 1e20, "float64": 1e120}
LONGEST = 8


def check_train(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge single steps out of `train`, and training that overflows."""
    for case in cases:
        backend, problem = subject.on(case.network), case.problem(subject.dtype)
        yield from judge_local_steps(backend, problem).findings
        if case.values == "tutorial":
            overflowing = replace(problem, learning_rate=OVERFLOWING_RATE[subject.dtype])
            yield from judge_overflow(backend, overflowing).findings


def judge_local_steps(backend: Backend, problem: Problem) -> Tally:
    """Judge the state after ``k + 1`` steps from the state after ``k`` as the backend returned it, for several ``k``.

    Where equal input need not give equal bits, the step goes on from the placed state instead. A backend that takes
    many steps in another way than few may say from how many in ``captured_steps``: the first such is judged as well.
    """
    p = precision_of(backend, problem.work)
    tally = Tally(problem.name, p, backend.dtype)
    repeats = "process" in backend.capabilities.deterministic
    captured = getattr(backend, "captured_steps", None)
    for k in (*AFTER, captured - 1) if captured else AFTER:
        state, _ = _trained(tally, backend, problem, k)
        here = replace(problem, params=state)
        new, losses = _trained(tally, backend, problem, k + 1) if repeats else _trained(tally, backend, here, 1)
        expected, loss = ball_of_step(here, exact_params(here, p), p)
        if tally.require("train", "losses", losses, (k + 1 if repeats else 1,)):
            tally.judge("train", f"loss of step {k}", losses[-1], loss)
        judge_params(tally, "train", new, expected)
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
