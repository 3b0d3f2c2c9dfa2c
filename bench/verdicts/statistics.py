"""From rows of processes to intervals and verdicts. No files, no formatting.

What one fresh process says of a cell is one *process estimate*, taken as a logarithm. The processes of one
lap of a campaign were measured side by side, in turns of milliseconds, and what the machine did in a turn is in all
of them: `side_by_side` tells it from what is each arm's own. Two arms are compared by the mean of the differences of
their process estimates, lap by lap, which is the log of a ratio of times. Arms without laps in common, of two runs
say, are compared by the difference of their means.

The spread of such a mean is that of a bootstrap over processes, with rounds drawn again inside each process: what the
rounds add is in the scatter of the process estimates already, so nothing is added for it. No draw is made, because the
bootstrap's variance has a closed form. Two to six processes are too few for its percentiles, which cover the truth in
82 to 92 % of cases where 95 % are promised. Three things mend that:

1. The sum of squares of ``K`` process estimates is divided by ``K - 1``, not by ``K``.
2. Student's t takes the place of the normal distribution.
3. The variance of a cell is drawn towards what the other cells of the run let expect of it (`moderate`), which brings
   degrees of freedom that three processes alone do not have. Source: Smyth, Statistical Applications in Genetics 3
   (2004) 3. Cells differ much in how they scatter, and a cell whose turns scatter within a process scatters between
   processes too: so what is expected follows the scatter of the turns, as far as it does so over all cells of the run
   (`_relative`). Source: Law et al., Genome Biology 15 (2014) R29, who call it a trend.

Verdicts weigh three claims about a ratio against a margin of equivalence: *faster* and *slower*, the ratio lies beyond
the margin; *tie*, inside it. A claim is made only if the whole 95 % interval says so; what supports no claim is
*undecided*. Claims of a difference must hold for a whole grid together (`holm`): one false alarm in a grid is one too
many. A tie raises no alarm, and holds at 95 % for its own cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.basics.names import FASTER, MARGIN, SLOWER, TIE, UNDECIDED
from bench.results import timed
from bench.verdicts.student import digamma, inverse_trigamma, quantile, trigamma, upper_tail

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

ESTIMATES = ("minimum_s", "lower_quartile_s", "median_s", "turn_s")
"""Columns that can give the process estimate: as they are, or `side_by_side`."""

TURNS = "turn_s"
"""The one that `side_by_side` gives."""

ESTIMATE = TURNS
"""The one in use; `bench.verdicts.certify` tries them all."""
CONFIDENCE = 0.95
RATE = round(1 - CONFIDENCE, 10)
MOST_PASSES, CONVERGED = 50, 1e-6
LEAST_CELLS = 10
"""With a scatter, to learn from them how it follows the noise of their turns."""

CASE = ["network", "batch", "dtype", "device", "threads", "phase"]
"""What the backends of one comparison have in common."""


OF_PROCESSES = ["process_logs", "process_noises"]
"""Columns of `cell_estimates` that hold a dict a cell."""


class Ratios(NamedTuple):
    """Ratios of times, other / base, elementwise: estimate, 95 % interval, two-sided p-values of the claims.

    ``difference`` is the claim of a difference that the ratio supports better, *faster* or *slower*.
    """

    ratio: Floats
    low: Floats
    high: Floats
    p_difference: Floats
    p_tie: Floats
    difference: NDArray[np.str_]


def cell_estimates(frame: pd.DataFrame, estimate: str = ESTIMATE) -> pd.DataFrame:
    """Return one row a cell and arm: its time, and how sure that is.

    Args:
        frame: as `bench.results.load` gives it; rows that are not ``ok`` are passed over.
        estimate: one of `ESTIMATES`.

    Returns:
        ``CASE``, ``backend``, ``arm``, then ``seconds``, ``low_s``, ``high_s`` (95 %), ``log_s`` (mean of the
        processes), ``variance`` (of ``log_s``), ``dof``, ``processes``, `OF_PROCESSES`: ``process_logs`` (the log
        estimate of each process, by run and number of the process) and ``process_noises`` (the variance of each by
        its turns).
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
    most = float((cells.groupby(["backend", "arm"])["processes"].max() - 1).sum())
    noise = [mean_noise(noises.values()) for noises in cells["process_noises"]]
    _, variance, dof = means([list(logs.values()) for logs in cells["process_logs"]], most, noise)
    half = quantile((1 + CONFIDENCE) / 2, dof) * np.sqrt(variance)
    log_s = cells["log_s"].to_numpy(float)
    cells["seconds"], cells["low_s"], cells["high_s"] = np.exp(log_s), np.exp(log_s - half), np.exp(log_s + half)
    cells["variance"], cells["dof"] = variance, dof
    return cells


def estimates_and_noises(rows: pd.DataFrame, estimate: str = ESTIMATE) -> tuple[Floats, Floats]:
    """Return the log process estimate of each row, and the variance that its turns let expect of it.

    Args:
        rows: that are ``ok``.
        estimate: of `ESTIMATES`; all but `TURNS` have no variance, which is NaN then.
    """
    estimates, noises = np.empty(len(rows)), np.full(len(rows), np.nan)
    if estimate != TURNS:
        return np.log(rows[estimate].to_numpy(float)), noises
    # Runs of earlier versions did not keep their turns: each is one turn then.
    kept = rows["turn_s"] if "turn_s" in rows else [None] * len(rows)
    turns = [
        recorded if isinstance(recorded, list) and any(recorded) else [median]
        for recorded, median in zip(kept, rows["median_s"], strict=True)
    ]
    # All processes of a lap took turns, with any number of threads.
    cell = [name for name in CASE if name != "threads"]
    for places in rows.groupby(["run", "process", *cell], sort=False, observed=True).indices.values():
        estimates[places], noises[places] = _levels([turns[place] for place in places])
    return estimates, noises


def side_by_side(turns: Sequence[Sequence[float | None]]) -> Floats:
    """Return the log seconds of some arms whose turns were timed one after the other, turn by turn.

    A turn's log seconds are the arm's own plus what the machine added to all arms in that turn. The two are found by
    turns, each from what the other leaves; of what is an arm's level, the middle half counts, since a machine changes
    its speed between two arms of a turn as well.

    Args:
        turns: seconds of each arm's turns, in order; ``None`` or NaN if a turn was spoiled. An arm may have fewer.
    """
    return _levels(turns)[0]


def _levels(turns: Sequence[Sequence[float | None]]) -> tuple[Floats, Floats]:
    """Return what `side_by_side` does, and the variance of each arm's mean by what is left of its turns.

    The variance is NaN if an arm has one turn, or none in common with another.
    """
    logs = np.full((len(turns), max(map(len, turns))), np.nan)
    for arm, seconds in zip(logs, turns, strict=True):
        arm[: len(seconds)] = np.log(np.asarray(seconds, float))
    known = np.isfinite(logs)
    shared = known & (known.sum(axis=0) > 1)
    use = np.where(shared.any(axis=1, keepdims=True), shared, known)
    added, level = np.zeros(logs.shape[1]), np.zeros(len(logs))
    for _ in range(MOST_PASSES if shared.any() else 1):
        before, level = level, np.array([_middle((arm - added)[mask]) for arm, mask in zip(logs, use, strict=True)])
        added = np.where(shared, logs - level[:, None], 0.0).sum(axis=0) / np.maximum(shared.sum(axis=0), 1)
        # What all arms gain in a pass their turns lose, pass after pass: how arms differ is what settles.
        if np.ptp(level - before) < CONVERGED:
            break
    left = [(arm - added - own)[mask] for arm, own, mask in zip(logs, level, use, strict=True)]
    noise = np.array([values.var(ddof=1) / len(values) if len(values) > 1 else math.nan for values in left])
    return level + (_middle(added[shared.any(axis=0)]) if shared.any() else 0.0), noise


def _middle(values: Floats) -> float:
    """Return the mean of the middle half, NaN of nothing."""
    if not len(values):
        return math.nan
    cut = len(values) // 4
    return float(np.sort(values)[cut : len(values) - cut].mean())


def mean_noise(noises: Iterable[float]) -> float:
    """Return the mean of those that are known, NaN if none is."""
    known = [noise for noise in noises if math.isfinite(noise)]
    return sum(known) / len(known) if known else math.nan


def means(
    values: Sequence[Sequence[float]], most_dof: float, noise: ArrayLike | None = None
) -> tuple[Floats, Floats, Floats]:
    """Return the mean of each cell's values, the variance of that mean, and its degrees of freedom.

    Args:
        values: of each cell, one a process: log estimates, or differences of two.
        most_dof: as in `moderate`.
        noise: as in `moderate`.
    """
    counts = np.array([len(cell) for cell in values], float)
    middle = np.array([np.mean(cell) if len(cell) else math.nan for cell in values], float)
    scatter = np.array([np.var(cell, ddof=1) if len(cell) > 1 else math.nan for cell in values], float)
    spread, dof = moderate(scatter, counts - 1, most_dof, noise)
    with np.errstate(invalid="ignore", divide="ignore"):
        return middle, spread / counts, dof


def moderate(
    variances: ArrayLike, dof: ArrayLike, most_dof: float, noise: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Draw variances towards what is expected of them, the more the less they differ from that beyond chance.

    Args:
        variances: of single processes, one a cell; NaN if a cell has one process alone.
        dof: degrees of freedom of each.
        most_dof: most degrees of freedom that what is expected may count for. Cells of one process share its luck, so
            this is the number of processes less that of backends, however many cells there are; 0: no moderation.
        noise: of each cell: the variance that the turns within its processes let expect; NaN if it is not known. What
            is expected of all cells is one value if there is none.

    Returns:
        The moderated variances and their degrees of freedom, NaN if nothing is known.
    """
    s2, d = np.asarray(variances, float), np.asarray(dof, float)
    relative = _relative(s2, d, np.full(s2.shape, np.nan) if noise is None else np.asarray(noise, float))
    common, prior_dof = _common_variance(s2 / relative, d, most_dof, 1 + bool((relative != 1).any()))
    known = np.where(np.isfinite(s2) & (d > 0), d, 0.0)
    total = prior_dof + known
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = (prior_dof * common * relative + known * np.nan_to_num(s2)) / total
    return np.maximum(spread, 1e-12), np.where(total > 0, total, np.nan)


def _common_variance(s2: Floats, d: Floats, most_dof: float, fitted: int) -> tuple[float, float]:
    """Return the variance that the cells share and the degrees of freedom that it counts for.

    So many numbers were ``fitted`` to the variances, this one included.
    """
    usable = np.isfinite(s2) & (s2 > 0) & (d > 0)
    if usable.sum() < 3 or most_dof <= 0:
        return 0.0, 0.0
    s2, d = s2[usable], d[usable]
    centred, chance = _logs(s2, d)
    middle = float(np.average(centred, weights=1 / chance))
    differ = float(np.average((centred - middle) ** 2, weights=1 / chance)) * len(d) / (len(d) - fitted)
    excess = differ - float(np.average(chance, weights=1 / chance))
    if excess <= 0:
        return float(np.average(s2, weights=d)), most_dof
    prior_dof = 2 * inverse_trigamma(excess)
    common = math.exp(middle + digamma(prior_dof / 2) - math.log(prior_dof / 2))
    return common, min(prior_dof, most_dof)


def _logs(s2: Floats, d: Floats) -> tuple[Floats, Floats]:
    """Return unbiased logs of variances, and their own variance by chance alone."""
    offset = {float(x): digamma(x / 2) - math.log(x / 2) for x in np.unique(d)}
    chance = {float(x): trigamma(x / 2) for x in np.unique(d)}
    return np.log(s2) - np.array([offset[float(x)] for x in d]), np.array([chance[float(x)] for x in d])


def _relative(s2: Floats, d: Floats, noise: Floats) -> Floats:
    """Return by which factor each cell's variance should differ from the common one, going by the noise of its turns.

    The factor is a power of the noise: the power that fits the cells best, from 0 (the noise tells nothing) to 1 (all
    scatter comes from the turns). It is 1 for cells of unknown noise, and for all if fewer than `LEAST_CELLS` tell.
    """
    known = np.isfinite(noise) & (noise > 0)
    usable = known & np.isfinite(s2) & (s2 > 0) & (d > 0)
    if usable.sum() < LEAST_CELLS:
        return np.ones(s2.shape)
    logs, chance = _logs(s2[usable], d[usable])
    log_noise = np.log(np.where(known, noise, 1.0))
    middle = np.average(log_noise[usable], weights=1 / chance)
    away = log_noise[usable] - middle
    power = np.sum(away * logs / chance) / max(np.sum(away**2 / chance), 1e-12)
    return np.where(known, np.exp(np.clip(power, 0.0, 1.0) * (log_noise - middle)), 1.0)


def ratios(base: pd.DataFrame, other: pd.DataFrame, margin: float = MARGIN) -> Ratios:
    """Return the ratios of times, other / base, row by row: from their common laps where there are two or more.

    Args:
        base: rows of `cell_estimates`.
        other: as many rows of it, each to be divided by the row of ``base`` in the same place.
        margin: of equivalence; 0.05 makes ratios between 1 / 1.05 and 1.05 equivalent.
    """
    base_variance, other_variance = base["variance"].to_numpy(float), other["variance"].to_numpy(float)
    log_ratio = other["log_s"].to_numpy(float) - base["log_s"].to_numpy(float)
    variance = base_variance + other_variance
    with np.errstate(invalid="ignore"):
        dof = (base_variance + other_variance) ** 2 / (
            base_variance**2 / base["dof"].to_numpy(float) + other_variance**2 / other["dof"].to_numpy(float)
        )
    differences = [
        [after[process] - before[process] for process in before.keys() & after.keys()]
        for before, after in zip(base["process_logs"], other["process_logs"], strict=True)
    ]
    paired = np.array([len(laps) > 1 for laps in differences], bool)
    if paired.any():
        arms = {arm for side in (base, other) for arm in zip(side["backend"], side["arm"], strict=True)}
        most = (max(map(len, differences)) - 1) * max(len(arms) - 1, 1)
        noises = [
            mean_noise(before[process] + after[process] for process in before.keys() & after.keys())
            for before, after in zip(base["process_noises"], other["process_noises"], strict=True)
        ]
        paired_means = means(
            [laps for laps in differences if len(laps) > 1], float(most), np.array(noises, float)[paired]
        )
        log_ratio[paired], variance[paired], dof[paired] = paired_means
    return weigh(log_ratio, np.sqrt(variance), dof, margin)


def weigh(log_ratio: ArrayLike, error: ArrayLike, dof: ArrayLike, margin: float = MARGIN) -> Ratios:
    """Return ratios with interval and p-values, from log ratios, their standard errors and degrees of freedom."""
    estimate, spread = np.asarray(log_ratio, float), np.asarray(error, float)
    edge = math.log1p(margin)
    half = quantile((1 + CONFIDENCE) / 2, dof) * spread
    faster = upper_tail((-edge - estimate) / spread, dof)
    slower = upper_tail((estimate - edge) / spread, dof)
    tie = upper_tail((edge - np.abs(estimate)) / spread, dof)
    p_difference = np.minimum(2 * np.minimum(faster, slower), 1.0)
    difference = np.where(estimate < 0, FASTER, SLOWER)
    ends = np.exp(estimate - half), np.exp(estimate + half)
    return Ratios(np.exp(estimate), *ends, p_difference, np.minimum(2 * tie, 1.0), difference)


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
