"""Tell what each lap added to the times of a case from what is each backend's own. No files, no formatting.

The processes of a lap take turns, so a slow spell of the machine lengthens the times of all of them. It makes each time
less sure, but not the comparison of two. For each case this is fitted, by least squares:

    log time of a backend in a lap = level of the backend + effect of the lap

A level is so a sum of log times, each with a weight of its own. It is comparable with others although an adaptive
campaign measured some backends in some of the laps only, and all laps count, those of other backends as well.

- `levels` are what each backend takes in an average lap.
- `differences` are those of two levels; their variance follows from the weights.
- `without_laps` returns cells without the effects, and how much these scatter, so that sums of times can be given an
  interval that includes it, with the same draw for all backends.

Tests: `tests/bench/verdicts/test_laps.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bench.verdicts.estimates import CASE, Floats, mean_noise
from bench.verdicts.moderation import means, moderate

if TYPE_CHECKING:
    import pandas as pd

ALIKE = [name for name in CASE if name != "threads"]
"""Columns that the processes of a lap have in common; they may have any number of threads."""

LEAST_LAPS = 1e-6
"""Weight of a penalty on the effects of laps: an effect that cannot be separated from a backend's level is set to 0."""

LEFT_OVER = 1e-3
"""Of the effect of a lap, in a difference of levels: what is more was not removed, as laps did not connect the two."""

Logs = Mapping[Any, float]


@dataclass(frozen=True, eq=False)
class _Fit:
    """The fit of one case.

    Attributes:
        places: of its arms in the table of cells.
        arm, lap: numbers of the arm and of the lap of each log time.
        values: the log times.
        weights: of each log time in the level of each arm, ``[arms, values]``, but for a constant that all arms share.
        level: of each arm.
        added: effect of each lap; their mean is 0.
    """

    places: Any
    arm: Any
    lap: Any
    values: Floats
    weights: Floats
    level: Floats
    added: Floats

    @cached_property
    def counts(self) -> Any:
        """Log times of each arm."""
        return np.bincount(self.arm, minlength=len(self.level))

    @cached_property
    def own(self) -> int:
        """Degrees of freedom that levels alone would leave."""
        return len(self.values) - int(np.count_nonzero(self.counts))

    @cached_property
    def left(self) -> int:
        """Degrees of freedom that levels and effects leave."""
        return self.own - max(len(self.added) - 1, 0)

    @cached_property
    def rest(self) -> Floats:
        """What neither level nor lap explains, made larger by what the fitted laps took of it."""
        rest = self.values - self.level[self.arm] - self.added[self.lap]
        return np.asarray(rest * math.sqrt(self.own / self.left))

    def connects(self, number: int, other: int) -> bool:
        """Return whether the effects of the laps are gone from the difference of the levels of two arms."""
        left = np.bincount(self.lap, self.weights[number] - self.weights[other])
        return bool(self.counts[number] and self.counts[other] and np.abs(left).max() < LEFT_OVER)

    def difference(self, number: int, other: int) -> tuple[float, float, float, float]:
        """Return how much the level of an arm is above that of another, and how sure that is.

        Returns:
            The difference; the sum of the squares of the weights of all log times in it; the variance of a log time, as
            these weigh them, and its dof by Satterthwaite's formula, NaN and 0 if the scatter of an arm is not known.
        """
        weights = np.bincount(self.arm, (self.weights[number] - self.weights[other]) ** 2, minlength=len(self.level))
        above, squares = float(self.level[number] - self.level[other]), float(weights.sum())
        part = weights > LEAST_LAPS * squares
        if self.left <= 0 or (self.counts[part] < 2).any():
            return above, squares, math.nan, 0.0
        scatter = np.bincount(self.arm, self.rest**2, minlength=len(self.level))
        variance = scatter[part] / (self.counts[part] - 1)
        dof = (self.counts[part] - 1) * self.left / self.own
        terms = weights[part] * variance
        if not terms.sum():
            return above, squares, 0.0, float(dof.sum())
        return above, squares, float(terms.sum()) / squares, float(terms.sum() ** 2 / (terms**2 / dof).sum())


def levels(cells: pd.DataFrame) -> Floats:
    """Return the log time of each cell in an average lap of its case.

    Without this, a backend that rested in a slow lap would look faster than it is.

    Args:
        cells: of columns `ALIKE`, ``log_s`` and ``process_logs``, as in `bench.verdicts.statistics.cell_estimates`.
    """
    log_s: Floats = cells["log_s"].to_numpy(float).copy()
    for fit in _fits(cells):
        of_fit = np.flatnonzero(fit.counts)
        log_s[fit.places[of_fit]] = fit.level[of_fit]
    return log_s


def differences(cells: pd.DataFrame, first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Return by how much the log times of some cells exceed those of others, the variance of that, and its dof.

    Args:
        cells: rows of `bench.verdicts.statistics.cell_estimates`.
        first: places of the cells that are subtracted.
        second: places of as many cells, each of the same case.

    Returns:
        Three arrays; NaN where no laps connect the two.
    """
    fit_of = {place: (fit, number) for fit in _fits(cells) for number, place in enumerate(fit.places.tolist())}
    noises = _noises(cells)
    parts = np.full((5, np.size(second)), np.nan)
    for column, (a, b) in enumerate(zip(np.asarray(first).tolist(), np.asarray(second).tolist(), strict=True)):
        if a in fit_of and b in fit_of:
            (fit, number), (same, other) = fit_of[b], fit_of[a]
            if fit is same and fit.connects(number, other):
                parts[:, column] = *fit.difference(number, other), noises[a] + noises[b]
    above, squares, variance, dof, noise = parts
    spread, dof = moderate(variance, np.nan_to_num(dof), _most_dof(cells), noise)
    return above, np.where(np.isfinite(above), spread * squares, np.nan), dof


def without_laps(cells: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Return cells without the effects of their laps, and the log scatter that these effects give a mean over laps.

    Args:
        cells: rows of `bench.verdicts.statistics.cell_estimates`.

    Returns:
        The cells with other ``log_s``, ``variance`` and ``dof``, in the same order; cells of a case without a lap in
        common with another one stay as they are.
    """
    own: list[list[float]] = [list(logs.values()) for logs in cells["process_logs"]]
    left = np.ones(len(cells))
    shared: list[float] = []
    for fit in _fits(cells):
        if fit.left <= 0:
            continue
        left[fit.places] = fit.left / fit.own
        shared.append(float(np.var(fit.added, ddof=1)) / len(fit.added))
        for number in np.flatnonzero(fit.counts):
            own[fit.places[number]] = (fit.level[number] + fit.rest[fit.arm == number]).tolist()
    log_s, variance, dof = means(own, _most_dof(cells), _noises(cells), left)
    scatter = math.sqrt(sum(shared) / len(shared)) if shared else 0.0
    return cells.assign(log_s=log_s, variance=variance, dof=dof), scatter


def _most_dof(cells: pd.DataFrame) -> float:
    """Return the most degrees of freedom of a variance that all cells share."""
    return float((cells.groupby(["backend", "arm"])["processes"].max() - 1).sum())


def _noises(cells: pd.DataFrame) -> list[float]:
    """Return of each cell the variance by the turns within its processes, NaN if it is not known."""
    return [mean_noise(noises.values()) for noises in cells["process_noises"]]


def _fits(cells: pd.DataFrame) -> Iterator[_Fit]:
    """Yield the fit of each case in which two arms have a lap in common."""
    for places in cells.groupby(ALIKE, sort=False, observed=True).indices.values():
        logs = _in_company([cells["process_logs"].iloc[place] for place in places])
        if any(logs):
            yield _fit(places, logs)


def _in_company(logs: Sequence[Logs]) -> list[Logs]:
    """Return the log times of each arm in laps that another arm has as well; other laps say nothing about effects."""
    count = Counter(lap for of_arm in logs for lap in of_arm)
    return [{lap: value for lap, value in of_arm.items() if count[lap] > 1} for of_arm in logs]


def _fit(places: Any, logs: Sequence[Logs]) -> _Fit:
    """Fit levels and effects of laps to the log times of the arms of a case."""
    number = {lap: place for place, lap in enumerate(dict.fromkeys(lap for of_arm in logs for lap in of_arm))}
    entries = [(arm, number[lap], value) for arm, of_arm in enumerate(logs) for lap, value in of_arm.items()]
    arm, lap, values = map(np.array, zip(*entries, strict=True))
    rows = np.zeros((len(values) + len(number), len(logs) + len(number)))
    each = np.arange(len(values))
    rows[each, arm] = rows[each, len(logs) + lap] = 1.0
    rows[len(values) :, len(logs) :] = math.sqrt(LEAST_LAPS) * np.eye(len(number))
    solution = np.asarray(np.linalg.pinv(rows), float)[:, : len(values)]
    middle = values.mean()
    fitted = solution @ (values - middle)
    level, added = fitted[: len(logs)], fitted[len(logs) :]
    return _Fit(places, arm, lap, values, solution[: len(logs)], level + middle + added.mean(), added - added.mean())
