"""From rows of processes to intervals and verdicts. No files, no formatting.

Each process gives an estimate of a cell, taken as a logarithm (`bench.verdicts.estimates`). Two arms are compared by
the mean of the differences of their process estimates, lap by lap, which is the log of a ratio of times (`ratios`). The
backends of a case, of which some miss laps, are compared by all laps of the case (`ratios_side_by_side`). Arms without
laps in common, of two runs say, are compared by the difference of their means.

The spread of such a mean is that of a bootstrap over processes, with rounds drawn again inside each process: what the
rounds add is in the scatter of the process estimates already, so nothing is added for it. No draw is made, because the
bootstrap's variance has a closed form. Two to six processes are too few for its percentiles, which cover the truth in
82 to 92 % of cases where 95 % are promised. Three things mend that: the sum of squares of ``K`` process estimates is
divided by ``K - 1``, not by ``K``; Student's t takes the place of the normal distribution; and variances are moderated
(`bench.verdicts.moderation`).

Verdicts weigh claims about a ratio against a margin of equivalence: *faster* and *slower*, the ratio lies beyond the
margin; *tie*, inside it; *not faster*, inside it or beyond it on the slow side. The last closes the gap between the
others: a ratio near the edge of the margin is on neither side of it for certain, however long one measures. A claim is
made only if the whole 95 % interval says so; what supports no claim is *undecided*. Claims of a difference must hold
for a whole grid together (`holm`): one false alarm in a grid is one too many. *Tie* and *not faster* raise no alarm,
and hold at 95 % for their own cell.

Tests: `tests/bench/verdicts/test_statistics.py`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.basics.names import FASTER, MARGIN, SLOWER, TIE, UNDECIDED
from bench.results import timed
from bench.verdicts.estimates import CASE, ESTIMATE, Floats, estimates_and_noises, mean_noise
from bench.verdicts.laps import differences, levels
from bench.verdicts.moderation import means
from bench.verdicts.student import quantile, upper_tail

if TYPE_CHECKING:
    import pandas as pd

CONFIDENCE = 0.95
RATE = round(1 - CONFIDENCE, 10)

OF_PROCESSES = ["process_logs", "process_noises"]
"""Columns of `cell_estimates` that hold a dict a cell."""


class Ratios(NamedTuple):
    """Ratios of times, other / base, elementwise: estimate, 95 % interval, two-sided p-values of the claims.

    ``difference`` is the claim of a difference that the ratio supports better, *faster* or *slower*; ``p_not_faster``
    is the p-value of *not faster*.
    """

    ratio: Floats
    low: Floats
    high: Floats
    p_difference: Floats
    p_tie: Floats
    p_not_faster: Floats
    difference: NDArray[np.str_]


def cell_estimates(frame: pd.DataFrame, estimate: str = ESTIMATE) -> pd.DataFrame:
    """Return one row a cell and arm: its time, and how sure that is.

    Args:
        frame: as `bench.results.load` gives it; rows that are not ``ok`` are passed over.
        estimate: one of `bench.verdicts.estimates.ESTIMATES`.

    Returns:
        ``CASE``, ``backend``, ``arm``, then ``seconds``, ``low_s``, ``high_s`` (95 %), ``log_s`` (mean of the
        processes, as `bench.verdicts.laps.levels` makes it comparable), ``variance`` (of ``log_s``), ``dof``,
        ``processes``, `OF_PROCESSES`: ``process_logs`` (the log estimate of each process, by run and number of the
        process) and ``process_noises`` (the variance of each by its turns).
    """
    import pandas as pd

    good = timed(frame)
    keys = [*CASE, "backend", "arm"]
    rows: list[dict[str, Any]] = []
    logs, noises = estimates_and_noises(good, estimate)
    good = good.assign(log_estimate=logs, noise=noises)
    for key, cell in good.groupby(keys, sort=False, observed=True):
        processes = list(zip(cell["run"], cell["process"], strict=True))
        of_processes = (dict(zip(processes, cell[name].tolist(), strict=True)) for name in ("log_estimate", "noise"))
        of_cell = {"log_s": cell["log_estimate"].mean()} | dict(zip(OF_PROCESSES, of_processes, strict=True))
        rows.append(dict(zip(keys, key, strict=True)) | of_cell)
    cells = pd.DataFrame(rows, columns=[*keys, "log_s", *OF_PROCESSES])
    cells["processes"] = [len(logs) for logs in cells["process_logs"]]
    cells["log_s"] = levels(cells)
    most = float((cells.groupby(["backend", "arm"])["processes"].max() - 1).sum())
    noise = [mean_noise(noises.values()) for noises in cells["process_noises"]]
    _, variance, dof = means([list(logs.values()) for logs in cells["process_logs"]], most, noise)
    half = quantile((1 + CONFIDENCE) / 2, dof) * np.sqrt(variance)
    log_s = cells["log_s"].to_numpy(float)
    cells["seconds"], cells["low_s"], cells["high_s"] = np.exp(log_s), np.exp(log_s - half), np.exp(log_s + half)
    cells["variance"], cells["dof"] = variance, dof
    return cells


def ratios(base: pd.DataFrame, other: pd.DataFrame, margin: float = MARGIN) -> Ratios:
    """Return the ratios of times, other / base, row by row: from their common laps where there are two or more.

    Args:
        base: rows of `cell_estimates`.
        other: as many rows of it, each to be divided by the row of ``base`` in the same place.
        margin: of equivalence; 0.05 makes ratios between 1 / 1.05 and 1.05 equivalent.
    """
    log_ratio, variance, dof = _apart(base, other)
    by_lap = [
        [after[process] - before[process] for process in before.keys() & after.keys()]
        for before, after in zip(base["process_logs"], other["process_logs"], strict=True)
    ]
    paired = np.array([len(laps) > 1 for laps in by_lap], bool)
    if paired.any():
        arms = {arm for side in (base, other) for arm in zip(side["backend"], side["arm"], strict=True)}
        most = (max(map(len, by_lap)) - 1) * max(len(arms) - 1, 1)
        noises = [
            mean_noise(before[process] + after[process] for process in before.keys() & after.keys())
            for before, after in zip(base["process_noises"], other["process_noises"], strict=True)
        ]
        paired_means = means([laps for laps in by_lap if len(laps) > 1], float(most), np.array(noises, float)[paired])
        log_ratio[paired], variance[paired], dof[paired] = paired_means
    return weigh(log_ratio, np.sqrt(variance), dof, margin)


def ratios_side_by_side(cells: pd.DataFrame, base: ArrayLike, other: ArrayLike, margin: float = MARGIN) -> Ratios:
    """Return the ratios of times, other / base, of cells of the same case: from all laps of the case.

    Args:
        cells: rows of `cell_estimates`.
        base: places of cells.
        other: as many, each of the same case as the base in the same place.
        margin: of equivalence.
    """
    joined = np.array(differences(cells, base, other))
    apart = np.array(_apart(cells.iloc[np.asarray(base)], cells.iloc[np.asarray(other)]))
    log_ratio, variance, dof = np.where(np.isfinite(joined[0]), joined, apart)
    return weigh(log_ratio, np.sqrt(variance), dof, margin)


def _apart(base: pd.DataFrame, other: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
    """Return log ratios, other / base, their variances and dof, of cells that have nothing to do with each other."""
    base_variance, other_variance = base["variance"].to_numpy(float), other["variance"].to_numpy(float)
    with np.errstate(invalid="ignore"):
        dof = (base_variance + other_variance) ** 2 / (
            base_variance**2 / base["dof"].to_numpy(float) + other_variance**2 / other["dof"].to_numpy(float)
        )
    return other["log_s"].to_numpy(float) - base["log_s"].to_numpy(float), base_variance + other_variance, dof


def weigh(log_ratio: ArrayLike, error: ArrayLike, dof: ArrayLike, margin: float = MARGIN) -> Ratios:
    """Return ratios with interval and p-values, from log ratios, their standard errors and degrees of freedom."""
    estimate, spread = np.asarray(log_ratio, float), np.asarray(error, float)
    edge = math.log1p(margin)
    half = quantile((1 + CONFIDENCE) / 2, dof) * spread
    faster = upper_tail((-edge - estimate) / spread, dof)
    slower = upper_tail((estimate - edge) / spread, dof)
    tie = upper_tail((edge - np.abs(estimate)) / spread, dof)
    not_faster = upper_tail((estimate + edge) / spread, dof)
    p_difference, p_tie, p_not_faster = (np.minimum(2 * p, 1.0) for p in (np.minimum(faster, slower), tie, not_faster))
    low, high = np.exp(estimate - half), np.exp(estimate + half)
    difference = np.where(estimate < 0, FASTER, SLOWER)
    return Ratios(np.exp(estimate), low, high, p_difference, p_tie, p_not_faster, difference)


def weigh_draws(log_ratio: ArrayLike, margin: float = MARGIN) -> Ratios:
    """Return ratios with interval and p-values, from draws of log ratios along the last axis.

    The p-value of a claim is twice the share of draws that contradict it, so a long tail on one side counts as it is.
    """
    draws = np.asarray(log_ratio, float)
    edge = math.log1p(margin)
    middle = np.median(draws, axis=-1)
    low, high = np.quantile(draws, [RATE / 2, 1 - RATE / 2], axis=-1)
    above, below = (draws > edge).mean(axis=-1), (draws < -edge).mean(axis=-1)
    against = np.minimum(1 - above, 1 - below), np.maximum(above, below), below
    p_difference, p_tie, p_not_faster = (np.minimum(2 * p, 1.0) for p in against)
    difference = np.where(middle < 0, FASTER, SLOWER)
    return Ratios(np.exp(middle), np.exp(low), np.exp(high), p_difference, p_tie, p_not_faster, difference)


def holm(p_values: ArrayLike) -> Floats:
    """Return p-values adjusted by Holm's method; NaN stays NaN and does not count."""
    p = np.asarray(p_values, float)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known])]
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted


def verdicts(claims: Ratios, together: bool = True, rate: float = RATE) -> NDArray[np.str_]:
    """Return faster, slower, tie or undecided for each ratio.

    Args:
        claims: ratios.
        together: whether differences are claimed for all of them together (`holm`) or for each alone.
        rate: of errors.
    """
    p = holm(claims.p_difference) if together else claims.p_difference
    tie = np.where(np.nan_to_num(claims.p_tie, nan=1.0) <= rate, TIE, UNDECIDED)
    return np.where(np.nan_to_num(p, nan=1.0) <= rate, claims.difference, tie)
