"""Where the best backend changes: along the batch, and along the number of steps, each place with its interval.

Costs are arrays of draws: what holds in 95 % of the draws is stated with 95 % confidence. An end of an interval is 0 or
infinite if the change may lie outside the range that was searched.

Tests: `tests/bench/advice/test_recommendation.py`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.advice.costs import Cost
from bench.basics.names import MARGIN

Floats = NDArray[np.float64]
TAILS = (0.025, 0.975)
"""Quantiles of the draws: the ends of a 95 % interval."""


@dataclass(frozen=True)
class Change:
    """The place where the best backend changes.

    Attributes:
        before: the best below it.
        after: the best above it.
        at: rows or steps.
        low: lower end of the 95 % interval; 0 if it may lie below all that was looked at.
        high: upper end, infinite if it may lie above.
    """

    before: str
    after: str
    at: float
    low: float
    high: float


def batch_changes(
    costs: Sequence[Cost], batches: Sequence[int], steps: float, margin: float = MARGIN, around: int | None = None
) -> list[Change]:
    """Return where another backend gets the least total as the batch grows.

    A backend that is never ahead by more than the margin is a tie, and counts as no change.

    Args:
        costs: of the backends, whose shapes are ``batches`` in rising order.
        batches: rows.
        steps: how many the job takes.
        margin: of equivalence.
        around: the one of ``batches`` to start from, whose best backend gives way on both sides; the first by default.
    """
    x = np.log(np.asarray(batches, float))
    totals = {cost.label: np.log(cost.total_s(steps)) for cost in costs}
    middle = {name: np.median(total, axis=0) for name, total in totals.items()}
    centre = 0 if around is None else list(batches).index(around)
    first = min(middle, key=lambda name: middle[name][centre])
    down = [(after, before, k - 1) for before, after, k in _take_overs(middle, first, range(centre, -1, -1), margin)]
    changes = []
    for before, after, k in [*reversed(down), *_take_overs(middle, first, range(centre, len(x)), margin)]:
        gap = middle[before] - middle[after]
        at = _zero(x[k], x[k + 1], gap[k], gap[k + 1])
        places = _places(x, totals[before] - totals[after], at)
        low, high = np.quantile(places, TAILS, method="nearest")
        changes.append(Change(before, after, math.exp(at), _exp(low), _exp(high)))
    return changes


def _take_overs(middle: Mapping[str, Floats], best: str, way: range, margin: float) -> list[tuple[str, str, int]]:
    """Return old best, new best and the last point at which the old one was still ahead, going one way."""
    changes = []
    for k in way[1:]:
        ahead = min(middle, key=lambda name: middle[name][k])
        if middle[best][k] - middle[ahead][k] > math.log1p(margin):
            back = k
            while back != way.start and middle[best][back] > middle[ahead][back]:
                back -= way.step
            changes.append((best, ahead, back))
            best = ahead
    return changes


def step_changes(costs: Sequence[Cost], most_steps: float = 1e9) -> list[Change]:
    """Return where the least total changes along the number of steps, for the first shape of each cost.

    The totals are straight lines over the steps; the best ones make their lower envelope.
    """
    fixed = {cost.label: cost.fixed_s[:, 0] for cost in costs}
    step = {cost.label: cost.step_s[:, 0] for cost in costs}
    fixed_s = {name: float(np.median(draws)) for name, draws in fixed.items()}
    step_s = {name: float(np.median(draws)) for name, draws in step.items()}
    best = min(fixed_s, key=lambda name: (fixed_s[name] + step_s[name], step_s[name]))
    changes: list[Change] = []
    while True:
        meets = {
            name: (fixed_s[name] - fixed_s[best]) / (step_s[best] - step_s[name])
            for name in step_s
            if step_s[name] < step_s[best]
        }
        after = min(meets, key=lambda name: meets[name], default=None)
        if after is None or meets[after] > most_steps:
            return changes
        saved, spent = step[best] - step[after], fixed[after] - fixed[best]
        with np.errstate(divide="ignore", invalid="ignore"):
            places = np.where(saved > 0, np.maximum(spent / saved, 0.0), np.inf)
        low, high = np.quantile(places, TAILS, method="nearest")
        changes.append(Change(best, after, max(meets[after], 1.0), float(low), float(high)))
        best = after


def _places(x: Floats, gap: Floats, near: float) -> Floats:
    """Return in each draw where the gap turns positive, nearest to ``near``; infinite if it never does."""
    up = (gap[:, :-1] <= 0) & (gap[:, 1:] > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x[:-1] - gap[:, :-1] * np.diff(x) / np.diff(gap, axis=1)
    distance = np.where(up, np.abs(at - near), np.inf)
    nearest = distance.argmin(axis=1)
    places = at[np.arange(len(gap)), nearest]
    always_after = (gap > 0).mean(axis=1) > 0.5
    return np.where(up.any(axis=1), places, np.where(always_after, -np.inf, np.inf))


def _zero(x0: float, x1: float, y0: float, y1: float) -> float:
    return float(x0 - y0 * (x1 - x0) / (y1 - y0)) if y1 != y0 else float(x0)


def _exp(value: float) -> float:
    return 0.0 if value == -math.inf else math.inf if value == math.inf else math.exp(value)
