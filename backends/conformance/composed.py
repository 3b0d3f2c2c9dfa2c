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
    """Loss and gradients, summed over blocks of rows; rows whose error terms are exactly zero may be left out."""

    def __init__(self, problem: Problem, params: list[BallLayer], p: Precision) -> None:
        self._params, self._p = params, p
        entries = CONTRACT_LOSSES[problem.loss].mean_over == "entries"
        self._entries = problem.targets.size if entries else len(problem.inputs)
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
        return self._loss.ball(self._p.gamma(self._loss.terms + self._rule.roundings))

    @property
    def gradients(self) -> list[BallLayer]:
        """The gradients of all rows."""
        gamma = self._p.gamma_of_products
        return [
            (sums[0].ball(gamma(sums[0].terms)), sums[1].ball(gamma(np.maximum(sums[1].terms - 1, 0))))
            for sums in self._gradients
            if sums is not None
        ]


def blocks(problem: Problem, p: Precision) -> Iterator[tuple[int, Array, Array]]:
    """Yield the first row of each block, and its inputs and targets in the oracle's arithmetic, column-major."""
    for start in range(0, len(problem.inputs), BLOCK):
        rows = slice(start, start + BLOCK)
        x, y = (np.asfortranarray(p.arithmetic.array(array[rows])) for array in (problem.inputs, problem.targets))
        yield start, x, y
