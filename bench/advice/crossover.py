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

STEP_POINTS = 109
"""How many numbers of steps are looked at: twelve a decade, up to 1e9."""


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
    changes = []
    for before, after, k in _changes(middle, centre, margin):
        gap = middle[before] - middle[after]
        at = _zero(x[k], x[k + 1], gap[k], gap[k + 1])
        places = _places(x, totals[before] - totals[after], at)
        low, high = np.quantile(places, TAILS, method="nearest")
        changes.append(Change(before, after, math.exp(at), _exp(low), _exp(high)))
    return changes


def step_changes(
    costs: Sequence[Cost], margin: float = MARGIN, around: int | None = None, most_steps: float = 1e9
) -> list[Change]:
    """Return where another backend gets the least total as the steps grow, for the first shape of each cost.

    What counts is the middle of the total, as it is for the answer: the middles of its parts do not add up to it if one
    of them scatters far, and the answer would contradict the place of the change.

    Args:
        costs: of the backends.
        margin: of equivalence, as in `batch_changes`.
        around: the number of steps to start from, whose best backend gives way on both sides; one by default.
        most_steps: that are looked at.
    """
    centre = around or 1
    steps = np.unique(np.append(np.geomspace(1, max(most_steps, centre), STEP_POINTS), float(centre)))
    fixed = {cost.label: cost.fixed_s[:, :1] for cost in costs}
    step = {cost.label: cost.step_s[:, :1] for cost in costs}
    middle = {name: np.log(np.median(fixed[name] + steps * step[name], axis=0)) for name in fixed}
    x = np.log(steps)
    changes = []
    for before, after, k in _changes(middle, int(np.searchsorted(steps, centre)), margin):
        gap = middle[before] - middle[after]
        saved, spent = step[before] - step[after], fixed[after] - fixed[before]
        with np.errstate(divide="ignore", invalid="ignore"):
            places = np.where(saved > 0, np.maximum(spent / saved, 0.0), np.inf)
        low, high = np.quantile(places, TAILS, method="nearest")
        at = math.exp(_zero(x[k], x[k + 1], gap[k], gap[k + 1]))
        changes.append(Change(before, after, at, min(float(low), at), max(float(high), at)))
    return changes


def _changes(middle: Mapping[str, Floats], centre: int, margin: float) -> list[tuple[str, str, int]]:
    """Return what `_take_overs` does, going both ways from the backend that is best at ``centre``, in rising order."""
    points = len(next(iter(middle.values())))
    first = min(middle, key=lambda name: middle[name][centre])
    down = [(after, before, k - 1) for before, after, k in _take_overs(middle, first, range(centre, -1, -1), margin)]
    return [*reversed(down), *_take_overs(middle, first, range(centre, points), margin)]


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
