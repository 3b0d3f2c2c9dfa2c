"""Balls of whole passes: every gradient, a fused step, several steps, with all errors carried along from the inputs.

Rows go through in blocks, so that a million of them need little memory. No backend here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from backends.base import Array
from backends.conformance import bounds
from backends.conformance.bounds import Ball, Precision
from backends.conformance.oracle import round_to
from backends.conformance.subject import Problem

BLOCK = 1 << 13
"""Rows judged at a time."""

BallLayer = tuple[Ball, Ball]
Trajectory = Sequence[tuple[list[BallLayer], Ball]]
"""For each step, the parameters after it and the loss before it."""


def exact_params(problem: Problem, p: Precision) -> list[BallLayer]:
    """Return the problem's parameters as balls of radius zero."""
    array = p.arithmetic.array
    return [(Ball(array(w)), Ball(array(b))) for w, b in problem.params]


def ball_of_gradients(problem: Problem, params: list[BallLayer], p: Precision) -> tuple[list[BallLayer], Ball]:
    """Return the gradients and the loss, from the inputs alone, every error carried along."""
    with np.errstate(all="ignore"):
        total = Totals(problem, params, p)
        for _, x, y in blocks(problem, p):
            hs, slopes = [Ball(x)], []
            for k, (w, b) in enumerate(params, start=1):
                z = bounds.ball_of_layer(hs[-1], w, b, p)
                hs.append(z if k == len(params) else bounds.ball_of_tanh(z, p))
                if k < len(params):
                    slopes.append(bounds.ball_of_slope(hs[-1], p, p.arithmetic.slope(z.exact)))
            total.add(hs, slopes, y)
        return total.gradients, total.loss


def ball_of_step(problem: Problem, params: list[BallLayer], p: Precision) -> tuple[list[BallLayer], Ball]:
    """Return the parameters after one step, and the loss before it, every error carried along."""
    gradients, loss = ball_of_gradients(problem, params, p)
    rate = round_to(problem.learning_rate, p.dtype)
    with np.errstate(all="ignore"):
        new = [
            (bounds.ball_of_update(w, dw, rate, p), bounds.ball_of_update(b, db, rate, p))
            for (w, b), (dw, db) in zip(params, gradients, strict=True)
        ]
    return new, loss


def balls_of_steps(problem: Problem, steps: int, p: Precision) -> Trajectory:
    """Return, for each step from the problem's parameters, the parameters after it and the loss before it."""
    state = exact_params(problem, p)
    trajectory = []
    for _ in range(steps):
        state, loss = ball_of_step(problem, state, p)
        trajectory.append((state, loss))
    return trajectory


class Totals:
    """Loss and gradients, summed over blocks of rows."""

    def __init__(self, problem: Problem, params: list[BallLayer], p: Precision) -> None:
        self._params = params
        self._rows, self._entries, self._p = len(problem.inputs), problem.targets.size, p
        self._loss: Ball | None = None
        self._gradients: list[BallLayer | None] = [None for _ in params]

    def add(self, hs: list[Ball], slopes: list[Ball], y: Array) -> None:
        """Add one block's share: ``hs`` begins with the inputs, ``slopes`` belong to the hidden layers."""
        p = self._p
        self._loss = bounds.add(self._loss, bounds.ball_of_loss(hs[-1], y, self._entries, p))
        g = bounds.ball_of_error_term(hs[-1], y, self._entries, p)
        for k in range(len(self._params) - 1, -1, -1):
            weights = bounds.ball_of_weights_gradient(g, hs[k], self._rows, p)
            biases = bounds.ball_of_biases_gradient(g, self._rows, p)
            before = self._gradients[k] or (None, None)
            self._gradients[k] = bounds.add(before[0], weights), bounds.add(before[1], biases)
            if k:
                g = bounds.ball_pulled_back(g, self._params[k][0], slopes[k - 1], p)

    @property
    def loss(self) -> Ball:
        """The loss of all rows."""
        assert self._loss is not None
        return self._loss

    @property
    def gradients(self) -> list[BallLayer]:
        """The gradients of all rows."""
        return [layer for layer in self._gradients if layer is not None]


def blocks(problem: Problem, p: Precision) -> Iterator[tuple[int, Array, Array]]:
    """Yield the first row of each block, and its inputs and targets in the oracle's arithmetic, column-major."""
    for start in range(0, len(problem.inputs), BLOCK):
        rows = slice(start, start + BLOCK)
        x, y = (np.asfortranarray(p.arithmetic.array(array[rows])) for array in (problem.inputs, problem.targets))
        yield start, x, y
