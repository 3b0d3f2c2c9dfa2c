"""Balls of whole passes: every gradient, a fused step, several steps, with all errors carried along from the inputs.

Rows go through in blocks, so that a million of them need little memory. No backend here.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from backends.base import LOSSES as CONTRACT_LOSSES
from backends.base import Array
from backends.conformance import bounds
from backends.conformance.bounds import Ball, Precision, Sum
from backends.conformance.elementwise import ACTIVATIONS, LOSSES, Activation
from backends.conformance.oracle import round_to
from backends.conformance.subject import Problem
from backends.conformance.updates import BallState, updated

BLOCK = 1 << 13
"""Rows judged at a time."""

BallLayer = bounds.BallLayer
Trajectory = Sequence[tuple[BallState, Ball]]
"""For each step, the parameters and the optimiser's state after it, and the loss before it."""


def exact_params(problem: Problem, p: Precision) -> list[BallLayer]:
    """Return the problem's parameters as balls of radius zero."""
    array = p.arithmetic.array
    return [(Ball(array(w)), Ball(array(b))) for w, b in problem.params]


def exact_state(problem: Problem, p: Precision) -> BallState:
    """Return the problem's parameters and the optimiser's state as balls of radius zero."""
    array, params = p.arithmetic.array, exact_params(problem, p)
    if problem.state is None:
        zeros = [(Ball(array(np.zeros(w.exact.shape))), Ball(array(np.zeros(b.exact.shape)))) for w, b in params]
        return BallState(params, (zeros,) * len(problem.optimizer.moments))
    moments = (problem.state.moments[name] for name in problem.optimizer.moments)
    exact = tuple([(Ball(array(w)), Ball(array(b))) for w, b in moment] for moment in moments)
    return BallState(params, exact, problem.state.updates)


def ball_of_gradients(
    problem: Problem, params: list[BallLayer], p: Precision, more: int = 0
) -> tuple[list[BallLayer], Ball]:
    """Return the gradients and the loss, from the inputs alone, every error carried along.

    ``more`` is how many roundings of each term are allowed besides those of its sum.
    """
    with np.errstate(all="ignore"):
        total = Totals(problem, params, p, more)
        for _, x, y in blocks(problem, p):
            total.add(*balls_of_outputs(x, params, p, hidden_of(problem)), y)
        return total.gradients, total.loss


def hidden_of(problem: Problem) -> Activation:
    """Return what the bounds know of a problem's activation."""
    return ACTIVATIONS[problem.activation]


def balls_of_outputs(
    x: Array, params: list[BallLayer], p: Precision, hidden: Activation = ACTIVATIONS["tanh"]
) -> tuple[list[Ball], list[Ball]]:
    """Return the inputs and every layer's output, and the slope of each hidden layer, every error carried along."""
    hs, slopes = [Ball(x)], []
    for k, (w, b) in enumerate(params, start=1):
        z = bounds.ball_of_layer(hs[-1], w, b, p)
        hs.append(z if k == len(params) else hidden.value(z, p))
        if k < len(params):
            slopes.append(hidden.slope(hs[-1], p, z.exact))
    return hs, slopes


def ball_of_next(problem: Problem, state: BallState, p: Precision) -> tuple[BallState, Ball]:
    """Return the state after one step of the problem's optimiser, and the loss before it, every error carried along."""
    gradients, loss = ball_of_gradients(problem, state.params, p)
    new = updated(problem.optimizer, state, gradients, round_to(problem.learning_rate, p.dtype), p)
    params, *moments = ([(_known(w), _known(b)) for w, b in layers] for layers in (new.params, *new.moments))
    return BallState(params, tuple(moments), new.updates), _known(loss)


def _known(ball: Ball) -> Ball:
    """Return the ball, whose radius is infinite where it has grown beyond all numbers on the way."""
    lost = np.isnan(ball.radius)
    if not np.any(lost):
        return ball
    return Ball(ball.exact, np.where(lost & np.isfinite(ball.magnitude), np.inf, ball.radius), ball.reach)


def ball_of_step(problem: Problem, params: list[BallLayer], p: Precision) -> tuple[list[BallLayer], Ball]:
    """Return the parameters after one step of descent, and the loss before it, every error carried along."""
    state, loss = ball_of_next(problem, BallState(params), p)
    return state.params, loss


def balls_of_steps(problem: Problem, steps: int, p: Precision) -> Trajectory:
    """Return, for each step from the problem's parameters and state, the state after it and the loss before it."""
    return balls_of_steps_from(problem, exact_state(problem, p), steps, p)


def balls_of_steps_from(
    problem: Problem, state: BallState, steps: int, p: Precision, rows_per_step: int | None = None
) -> Trajectory:
    """Return the same from some balls; each step takes the next ``rows_per_step`` rows, or all."""
    trajectory = []
    for k in range(steps):
        state, loss = ball_of_next(problem.of_step(k, rows_per_step) if rows_per_step else problem, state, p)
        trajectory.append((state, loss))
    return trajectory


class Totals:
    """Loss and gradients, summed over blocks of rows; rows whose error terms are exactly zero may be left out."""

    def __init__(self, problem: Problem, params: list[BallLayer], p: Precision, more: int = 0) -> None:
        self._params, self._p, self._more = params, p, more
        entries = CONTRACT_LOSSES[problem.loss].mean_over == "entries"
        self._rows = len(problem.inputs)
        self._entries = problem.targets.size if entries else self._rows
        self._rule = LOSSES[problem.loss]
        self._loss: Sum | None = None
        self._gradients: list[tuple[Sum, Sum] | None] = [None for _ in params]

    def add(self, hs: list[Ball], slopes: list[Ball], y: Array) -> None:
        """Add one block's share: ``hs`` begins with the inputs, ``slopes`` belong to the hidden layers."""
        p = self._p
        share = self._rule.share(hs[-1], y, self._entries, p)
        self._loss = self._loss + share if self._loss else share
        g = self._rule.error_term(hs[-1], y, self._entries, p)
        for k in range(len(self._params) - 1, -1, -1):
            weights, biases = bounds.sum_for_weights(g, hs[k], p), bounds.sum_for_biases(g, p)
            before = self._gradients[k]
            self._gradients[k] = (before[0] + weights, before[1] + biases) if before else (weights, biases)
            if k:
                g = bounds.ball_pulled_back(g, self._params[k][0], slopes[k - 1], p)

    @property
    def loss(self) -> Ball:
        """The loss of all rows."""
        assert self._loss is not None
        block = self._p.block_rows and self._p.block_rows * max(1, self._entries // self._rows)
        return self._loss.ball(self._p.gamma(self._loss.terms + self._rule.roundings + self._more, block))

    @property
    def gradients(self) -> list[BallLayer]:
        """The gradients of all rows."""
        gamma, block = self._p.gamma_of_products, self._p.block_rows
        return [
            (
                sums[0].ball(gamma(sums[0].terms + self._more, block)),
                sums[1].ball(gamma(np.maximum(sums[1].terms - 1, 0) + self._more, block)),
            )
            for sums in self._gradients
            if sums is not None
        ]


def blocks(problem: Problem, p: Precision) -> Iterator[tuple[int, Array, Array]]:
    """Yield the first row of each block, and its inputs and targets in the oracle's arithmetic, column-major."""
    for start in range(0, len(problem.inputs), BLOCK):
        rows = slice(start, start + BLOCK)
        x, y = (np.asfortranarray(p.arithmetic.array(array[rows])) for array in (problem.inputs, problem.targets))
        yield start, x, y
