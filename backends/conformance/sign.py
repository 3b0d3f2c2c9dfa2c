"""The claim on the direction: gradients point uphill and steps go down, shown in three independent ways.

1. The complex-step derivative of the loss, which knows nothing of backpropagation.
2. The update, entry by entry, at a rate at which weights move by more than their own size: below half a unit in the
   last place of a weight, a step up cannot be distinguished from a step down.
3. Armijo's condition, ``L(W - eta g) <= L(W) - eta/2 |g|^2``, with ``eta`` halved until it holds; on values whose
   gradients are neither too small to move a weight nor spread too far for any one rate.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from backends.base import Backend, Layer
from backends.conformance import oracle
from backends.conformance.bounds import Ball
from backends.conformance.cases import Case
from backends.conformance.composed import ball_of_gradients, ball_of_step, exact_params
from backends.conformance.judge import Tally
from backends.conformance.report import Finding
from backends.conformance.stages import judge_params
from backends.conformance.subject import Problem, Subject, precision_of

SIGNED = ("3-2-1/n=3/tutorial", "3-2-1/n=64/visible", "17-9-7-2/n=31/normal")
DESCENDED = ("tutorial", "normal", "visible")
# A complex operation is at most eight real roundings; the complex step runs in double precision.
COMPLEX_UNIT = 8 * 2.0**-53
HALVINGS = 40


def check_sign(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge the direction of gradients and steps, of tanh and the mean squared error: the derivative knows no other."""
    for case in cases:
        if (case.network.activation, case.network.loss) != ("tanh", "mse"):
            continue
        backend, problem = subject.on(case.network), case.problem(subject.dtype)
        tally = Tally(problem.name, precision_of(backend, problem.work), backend.dtype)
        if problem.network.parameter_count < 100:
            judge_complex_step(backend, problem, tally)
        if case.values == "visible":
            judge_visible_step(backend, problem, tally)
        if case.values in DESCENDED:
            judge_descent(backend, problem, tally)
        yield from tally.findings


def judge_complex_step(backend: Backend, problem: Problem, tally: Tally) -> None:
    """Judge the gradients by the complex-step derivative, within their own bound and that of the derivative."""
    p = replace(tally.precision, unit=tally.precision.unit + COMPLEX_UNIT)
    balls, _ = ball_of_gradients(problem, exact_params(problem, p), p)
    derivative = oracle.complex_step(problem.params, problem.inputs, problem.targets)
    expected = [
        (Ball(p.arithmetic.array(dw), weights.radius), Ball(p.arithmetic.array(db), biases.radius))
        for (dw, db), (weights, biases) in zip(derivative, balls, strict=True)
    ]
    judge_params(tally, "sign", _gradients(backend, problem), expected)


def judge_visible_step(backend: Backend, problem: Problem, tally: Tally) -> None:
    """Require that every parameter that moves by more than its bound moves against the exact gradient."""
    p = tally.precision
    batch = backend.place_batch(problem.inputs, problem.targets)
    params, _ = backend.step(backend.place_params(problem.params), batch, problem.learning_rate)
    expected, _ = ball_of_step(problem, exact_params(problem, p), p)
    visible = 0
    for k, (old, new, balls) in enumerate(zip(problem.params, backend.fetch(params), expected, strict=True), start=1):
        for label, before, after, ball in zip(("weights", "biases"), old, new, balls, strict=True):
            exact_move = (ball.exact - p.arithmetic.array(before)).astype(np.float64)
            certain = np.abs(exact_move) > ball.radius
            visible += int(certain.sum())
            wrong = certain & (np.sign(after - before) != np.sign(exact_move))
            if wrong.any():
                tally.refute("sign", f"{int(wrong.sum())} {label} of layer {k} moved uphill")
    if visible:
        tally.confirm("sign")
    else:
        tally.refute("sign", "no parameter moves visibly: choose another case")


def judge_descent(backend: Backend, problem: Problem, tally: Tally) -> None:
    """Require Armijo's condition at some learning rate, with the loss computed by the oracle."""
    arithmetic = tally.precision.arithmetic
    x, y = problem.inputs, problem.targets
    exact = oracle.backward(problem.params, x, y, arithmetic)
    slope = float(sum((array**2).sum() for layer in exact for array in layer))
    before = oracle.loss(problem.params, x, y, arithmetic)
    rate = 1.0
    for _ in range(HALVINGS):
        batch = backend.place_batch(x, y)
        placed = backend.place_params(problem.params)
        _, gradients = backend.backward(placed, batch, backend.forward(placed, batch))
        after = oracle.loss(backend.fetch(backend.update(placed, gradients, rate)), x, y, arithmetic)
        if math.isfinite(float(after)) and after <= before - rate / 2 * slope:
            tally.confirm("sign")
            return
        rate /= 2
    tally.refute("sign", f"no step down to a rate of {rate:.3g} lowers the loss by rate / 2 |gradient|^2")


def _gradients(backend: Backend, problem: Problem) -> tuple[Layer, ...]:
    batch = backend.place_batch(problem.inputs, problem.targets)
    params = backend.place_params(problem.params)
    return backend.fetch(backend.backward(params, batch, backend.forward(params, batch))[1])
