"""Long training: `train` for any number of steps against the chain of its own single steps, and where it is exact.

    chain     the state after k + 1 steps is one exact step from the state after k, for each link that is looked at
    whole     training for k steps at once gives what the chain gives: bit for bit, or, if its bits differ, within
              the composed bound of k steps from the start
    exact     every step halves all parameters that move, or turns their sign, and no operation rounds: there is one
              right bit pattern for every loss and for the params after any number of steps, in any order of summation

Bits may rightly differ where the backend does not promise equal bits, or where `train` sums in another way than its
single steps: then it does so for few steps too, or says in ``captured_steps`` from how many on. No claims here.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backends.base import Array, Backend, Layer, Params, State, TrainingDiverged
from backends.conformance.composed import Trajectory, ball_of_next, balls_of_steps, exact_state
from backends.conformance.judge import Tally
from backends.conformance.stages import judge_params, judge_state, train_to_the_end
from backends.conformance.subject import Problem, precision_of
from backends.conformance.updates import BallState

NEAR = tuple(range(18))
FAR = (31, 32, 33, 63, 64, 65, 100, 101, 127, 128, 300, 301, 1000, 1024)
COMPOSED = 33
"""Steps up to which the composed bound is worth its time; beyond, other bits are judged from the run before."""
HIDDEN_BIAS = 800.0
"""tanh of it is one, and its slope zero, to the last bit in every dtype and by every formula."""


@dataclass(frozen=True)
class Point:
    """Where training is: parameters, and the optimiser's state if it keeps one, as fetched."""

    params: Params
    state: State | None

    def of(self, problem: Problem) -> Problem:
        """Return the problem from here on."""
        return replace(problem, params=self.params, state=self.state)


def fetched(backend: Backend, params: Any) -> Point:
    """Return where placed params are."""
    return Point(backend.fetch(params), backend.fetch_state(params) if backend.optimizer.moments else None)


def judge_chain(backend: Backend, problem: Problem, steps: tuple[int, ...], claim: str = "train") -> Tally:
    """Judge every loss, the params and the optimiser's state of `train` for each number of ``steps``."""
    p = precision_of(backend, problem.work)
    tally = Tally(f"{problem.name}, {steps[-1]} steps", p, backend.dtype)
    batch = backend.place_batch(problem.inputs, problem.targets)
    points, losses = _chain(tally, backend, problem, batch, steps)
    for k in steps:
        if k + 1 in points:
            here = points[k].of(problem)
            state, loss = ball_of_next(here, exact_state(here, p), p)
            tally.judge(claim, f"loss of step {k}", losses[k], loss)
            judge_point(tally, claim, problem, points[k + 1], state)
    trajectory: Trajectory = []
    may_differ = "process" not in backend.capabilities.deterministic
    before = points[0], losses[:0]
    for k in steps:
        got, losses_at_once = _trained(tally, backend, problem, batch, k)
        if tally.require(claim, f"losses of {k} steps", losses_at_once, (k,)):
            if same(got, points[k]) and np.array_equal(losses_at_once, losses[:k], equal_nan=True):
                tally.confirm(claim)
            elif k <= COMPOSED:
                may_differ = True
                trajectory = trajectory or balls_of_steps(problem, COMPOSED, p)
                _judge_whole(tally, claim, problem, k, got, losses_at_once, trajectory)
            elif not (may_differ or k >= (backend.captured_steps or k + 1)):
                tally.refute(claim, f"{k} steps at once and one by one give other bits, and {COMPOSED} or fewer do not")
            elif len(before[1]) == k - 1 and np.array_equal(before[1], losses_at_once[:-1]):
                here = before[0].of(problem)
                state, loss = ball_of_next(here, exact_state(here, p), p)
                tally.judge(claim, f"loss of step {k - 1} of {k}", losses_at_once[-1], loss)
                judge_point(tally, claim, problem, got, state)
        before = got, losses_at_once
    return tally


def _chain(
    tally: Tally, backend: Backend, problem: Problem, batch: Any, steps: tuple[int, ...]
) -> tuple[dict[int, Point], Array]:
    """Return where training is after each number of ``steps``, trained one at a time, and every loss."""
    params, losses = problem.placed_on(backend), np.empty(steps[-1], backend.dtype)
    points = {0: fetched(backend, params)}
    for k in range(steps[-1]):
        params, (losses[k],) = train_to_the_end(tally, backend, problem, params, batch, 1)
        if k + 1 in steps:
            points[k + 1] = fetched(backend, params)
    return points, losses


def _trained(tally: Tally, backend: Backend, problem: Problem, batch: Any, k: int) -> tuple[Point, Array]:
    params, losses = train_to_the_end(tally, backend, problem, problem.placed_on(backend), batch, k)
    return fetched(backend, params), losses


def judge_point(tally: Tally, claim: str, problem: Problem, got: Point, expected: BallState) -> None:
    """Judge parameters and the optimiser's state."""
    judge_params(tally, claim, got.params, expected.params)
    if got.state is not None:
        judge_state(tally, claim, problem, got.state, expected)


def _judge_whole(
    tally: Tally, claim: str, problem: Problem, k: int, got: Point, losses: Array, trajectory: Trajectory
) -> None:
    """Judge training for ``k`` steps from the start alone."""
    for j in range(k):
        tally.judge(claim, f"loss of step {j} of {k}", losses[j], trajectory[j][1])
    if k:
        judge_point(tally, claim, problem, got, trajectory[k - 1][0])


def judge_exact(backend: Backend, turning: bool) -> Tally:
    """Judge training in which no operation rounds, and every step halves what moves, or turns its sign.

    Inputs and targets are zero, and hidden layers are one, so that every output is a sum ``s`` of equal parts, its
    weights and its bias, and a step makes each part ``(1 - 2 m rate / outputs)`` times as large, ``m`` the number of
    parts. At the right rate that is a half, down from a power of two; at four times the rate, minus one.
    """
    rows, network = 8, backend.network
    parts, outputs = network.sizes[-2] + 1, network.outputs
    rate = outputs / (4 * parts)
    bits = 55 if backend.dtype == "float32" else 480
    first = 2.0**bits
    hidden = [Layer(np.zeros((o, i)), np.full(o, HIDDEN_BIAS)) for o, i in network.layer_shapes[:-1]]
    signs = np.where(np.arange(outputs) % 2, -1.0, 1.0) * first

    def state(factor: float) -> Params:
        last = Layer(np.tile(signs[:, None] * factor, (1, parts - 1)), signs * factor)
        return tuple(Layer(w.astype(backend.dtype), b.astype(backend.dtype)) for w, b in (*hidden, last))

    x, y = np.zeros((rows, network.inputs), backend.dtype), np.zeros((rows, outputs), backend.dtype)
    factor = -1.0 if turning else 0.5
    problem = Problem(f"{network}/n={rows}, exact", state(1.0), x, y, 4 * rate if turning else rate)
    tally = Tally(problem.name, precision_of(backend, problem.work), backend.dtype)
    batch = backend.place_batch(x, y)
    for k in (1, 2, 5, 9, 17, 40, 100) if not turning else (3, 64, 1024):
        got, losses = _trained(tally, backend, problem, batch, k)
        expected = ((parts * first) ** 2 * factor ** (2.0 * np.arange(k))).astype(backend.dtype)
        if tally.require("train", f"losses of {k} exact steps", losses, (k,)):
            if wrong := np.flatnonzero(losses != expected).tolist():
                tally.refute("train", f"loss of exact step {wrong[0]} of {k}")
            _judge_bits(tally, k, got.params, state(factor**k))
    return tally


def _judge_bits(tally: Tally, k: int, got: Params, expected: Params) -> None:
    for layer, (got_layer, expected_layer) in enumerate(zip(got, expected, strict=True), start=1):
        for label, got_array, expected_array in zip(("weights", "biases"), got_layer, expected_layer, strict=True):
            if np.array_equal(got_array, expected_array):
                tally.confirm("train")
            else:
                tally.refute("train", f"{label} of layer {layer} after {k} exact steps")


def judge_report(backend: Backend, problem: Problem, steps: int, label: str, step: int | None = None) -> Tally:
    """Judge what `TrainingDiverged` carries; ``step``, if given, is when it must say that training diverged."""
    tally = Tally(f"{problem.name}, {label}", precision_of(backend, problem.work), backend.dtype)
    batch = backend.place_batch(problem.inputs, problem.targets)
    try:
        backend.train(backend.place_params(problem.params), batch, problem.learning_rate, steps)
    except TrainingDiverged as error:
        shapes = [(w.shape, b.shape) for w, b in problem.params]
        fetched = backend.fetch(error.params)
        if tally.require("train", "losses of training that diverged", error.losses, (steps,)):
            finite = np.isfinite(error.losses)
            expected = int(finite.argmin()) if not finite.all() else steps
            last = float(error.losses[expected - 1]) if expected else None
            if step is not None and expected != step:
                tally.refute("train", f"losses {error.losses} of training that diverges at step {step}")
            elif (error.step, error.last_finite_loss) != (expected, last):
                tally.refute(
                    "train", f"step {error.step} and loss {error.last_finite_loss}, expected {expected}, {last}"
                )
            elif [(w.shape, b.shape) for w, b in fetched] != shapes:
                tally.refute("train", "the params of training that diverged have other shapes")
            else:
                tally.confirm("train")
    else:
        tally.refute("train", "training that leaves the finite numbers did not raise TrainingDiverged")
    return tally


def judge_divergence(backend: Backend, problem: Problem) -> list[Tally]:
    """Judge the report where only the last update overflows, where data are not finite, and where values explode."""
    dtype = np.dtype(backend.dtype)
    huge = float(np.finfo(dtype).max) / 4
    x, y = problem.inputs.copy(), problem.targets.copy()
    x.flat[x.size // 2], y.flat[-1] = math.nan, math.nan
    overflowing = replace(problem, targets=problem.targets * dtype.type(100), learning_rate=huge)
    return [
        judge_report(backend, overflowing, 1, "only the last update overflows", 1),
        judge_report(backend, overflowing, 5, "overflowing at once"),
        judge_report(backend, replace(problem, inputs=x), 3, "NaN in an input", 0),
        judge_report(backend, replace(problem, targets=y), 3, "NaN in a target", 0),
        judge_report(backend, replace(problem, learning_rate=30.0), 400, "exploding after some steps"),
    ]


def same(left: Point, right: Point) -> bool:
    """Return whether all bits are equal, of the parameters and of the state."""
    if (left.state and left.state.updates) != (right.state and right.state.updates):
        return False
    flat = [
        [array for params in (point.params, *_moments(point)) for layer in params for array in layer]
        for point in (left, right)
    ]
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(*flat, strict=True))


def _moments(point: Point) -> list[Params]:
    return list(point.state.moments.values()) if point.state else []
