"""From rows of blocks to intervals and verdicts. No files, no formatting.

A block is one fresh process; what it says of a cell is one *block figure* (`FIGURE`), taken as a logarithm. Two
backends are compared by the difference of the means of their block figures: the log of a ratio of times.

The spread of a mean is that of a hierarchical bootstrap, which draws blocks with replacement and then, inside each
block drawn, rounds with replacement. No draw is made: the bootstrap's variance has a closed form (`round_variance`; for
``K`` blocks it is ``between (K - 1) / K^2 + within / K``), exact where a thousand draws would be near. Three to six
blocks are too few for the bootstrap's own percentiles, which cover the truth in 82 to 92 % of cases where 95 % are
promised. Three things mend that:

1. ``between`` is divided by ``K - 1``, not by ``K``.
2. Student's t takes the place of the normal distribution.
3. The variance of a cell is drawn towards that of the other cells of the run (`moderate`), which brings degrees of
   freedom that three blocks alone do not have. Source: Smyth, Statistical Applications in Genetics 3 (2004) 3.

Verdicts weigh three claims about a ratio against a margin of equivalence: *faster* and *slower*, the ratio lies beyond
the margin; *tie*, inside it. A claim is made only where the whole 95 % interval says so; what supports no claim is
*undecided*. Claims of a difference must hold for a whole grid together (`holm`): one false alarm in a grid is one too
many. A tie raises no alarm, and holds at 95 % for its own cell.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.student import digamma, inverse_trigamma, quantile, trigamma, upper_tail

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

FIGURES = {"minimum_s": 0.0, "lower_quartile_s": 0.25, "median_s": 0.5}
"""Columns that can serve as block figure, and the quantile of the rounds that each of them is."""

FIGURE = "lower_quartile_s"
MARGIN = 0.05
CONFIDENCE = 0.95

CASE = ["network", "batch", "dtype", "device", "threads", "phase"]
"""What the backends of one comparison have in common."""

FASTER, SLOWER, TIE, UNDECIDED = "faster", "slower", "tie", "undecided"


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


def cell_figures(frame: pd.DataFrame, figure: str = FIGURE) -> pd.DataFrame:
    """Return one row a cell and arm: its time, and how sure that is.

    Args:
        frame: as `bench.results.load` gives it; rows that are not ``ok`` are passed over.
        figure: a key of `FIGURES`.

    Returns:
        ``CASE``, ``backend``, ``arm``, then ``seconds``, ``low_s``, ``high_s`` (95 %), ``log_s`` (mean of the blocks),
        ``variance`` (of ``log_s``), ``dof``, ``blocks``.
    """
    import pandas as pd

    good = frame[(frame["status"] == "ok") & (frame[figure] > 0)]
    keys = [*CASE, "backend", "arm"]
    rows: list[dict[str, Any]] = []
    for key, cell in good.groupby(keys, sort=False, observed=True):
        logs = np.log(cell[figure].to_numpy(float))
        between = float(logs.var(ddof=1)) if len(logs) > 1 else math.nan
        within = float(np.mean(within_blocks(cell, figure)))
        rows.append(
            dict(zip(keys, key, strict=True))
            | {"log_s": float(logs.mean()), "between": between, "within": within, "blocks": len(logs)}
        )
    made = pd.DataFrame(rows, columns=[*keys, "log_s", "between", "within", "blocks"])
    most = float((made.groupby(["backend", "arm"])["blocks"].max() - 1).sum())
    variance, dof = variance_of_means(
        made["between"].to_numpy(float), made["within"].to_numpy(float), made["blocks"].to_numpy(float), most
    )
    half = quantile((1 + CONFIDENCE) / 2, dof) * np.sqrt(variance)
    log_s = made["log_s"].to_numpy(float)
    made["seconds"], made["low_s"], made["high_s"] = np.exp(log_s), np.exp(log_s - half), np.exp(log_s + half)
    made["variance"], made["dof"] = variance, dof
    return made.drop(columns=["between", "within"])


def within_blocks(rows: pd.DataFrame, figure: str = FIGURE) -> list[float]:
    """Return the variance of the log block figure of each row that its own rounds tell of."""
    return [
        round_variance(rounds, FIGURES[figure]) * min(1.0, len(rounds) / max(kept, 1))
        for rounds, kept in zip(rows["round_s"], rows["rounds"], strict=True)
    ]


def variance_of_means(between: Floats, within: Floats, blocks: Floats, most_dof: float) -> tuple[Floats, Floats]:
    """Return the variance of each cell's mean log figure, and its degrees of freedom.

    Args:
        between: variance of the block figures of each cell; NaN with one block.
        within: mean of `within_blocks` of each cell.
        blocks: of each cell.
        most_dof: as in `moderate`.
    """
    spread, dof = moderate(between + within, blocks - 1, most_dof)
    return spread / blocks, dof


def round_variance(seconds: ArrayLike, q: float) -> float:
    """Return the bootstrap's variance of the log of the ``q`` quantile of some rounds, without drawing.

    Resampled with replacement, the k-th of n rounds is the i-th of the original order with a probability that the
    incomplete beta function gives. Source: Maritz and Jarrett, J. American Statistical Association 73 (1978).
    """
    logs = np.log(np.sort(np.asarray(seconds, float)))
    if len(logs) < 2:
        return 0.0
    weights = _order_weights(len(logs), q)
    return float(weights @ logs**2 - (weights @ logs) ** 2)


@cache
def _order_weights(n: int, q: float) -> Floats:
    """Return the probability of each of n sorted rounds to be the ``q`` quantile of a resample."""
    from bench.student import incomplete_beta

    k = max(1, math.ceil(q * n))
    return np.diff(incomplete_beta(float(k), float(n - k + 1), np.arange(n + 1) / n))


def moderate(variances: ArrayLike, dof: ArrayLike, most_dof: float) -> tuple[Floats, Floats]:
    """Draw variances towards their common value, the more the less they differ beyond chance.

    Args:
        variances: of single blocks, one a cell; NaN where a cell has one block alone.
        dof: degrees of freedom of each.
        most_dof: most degrees of freedom that the common value may count for. Cells of one process share its luck, so
            this is the number of processes less that of backends, however many cells there are; 0: no moderation.

    Returns:
        The moderated variances and their degrees of freedom, NaN where nothing is known.
    """
    s2, d = np.asarray(variances, float), np.asarray(dof, float)
    common, prior_dof = _common_variance(s2, d, most_dof)
    known = np.where(np.isfinite(s2) & (d > 0), d, 0.0)
    total = prior_dof + known
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = (prior_dof * common + known * np.nan_to_num(s2)) / total
    return np.maximum(spread, 1e-12), np.where(total > 0, total, np.nan)


def _common_variance(s2: Floats, d: Floats, most_dof: float) -> tuple[float, float]:
    """Return the variance that the cells share and the degrees of freedom that it counts for."""
    usable = np.isfinite(s2) & (s2 > 0) & (d > 0)
    if usable.sum() < 3 or most_dof <= 0:
        return 0.0, 0.0
    log_s2, d = np.log(s2[usable]), d[usable]
    offset = {float(x): digamma(x / 2) - math.log(x / 2) for x in np.unique(d)}
    chance = {float(x): trigamma(x / 2) for x in np.unique(d)}
    centred = log_s2 - np.array([offset[float(x)] for x in d])
    excess = float(centred.var(ddof=1)) - float(np.mean([chance[float(x)] for x in d]))
    if excess <= 0:
        return float(np.average(s2[usable], weights=d)), most_dof
    prior_dof = 2 * inverse_trigamma(excess)
    common = math.exp(float(centred.mean()) + digamma(prior_dof / 2) - math.log(prior_dof / 2))
    return common, min(prior_dof, most_dof)


def ratios(base: pd.DataFrame, other: pd.DataFrame, margin: float = MARGIN) -> Ratios:
    """Return the ratios of times, other / base, row by row.

    Args:
        base: rows of `cell_figures`.
        other: as many rows of it, each to be divided by the row of ``base`` in the same place.
        margin: of equivalence; 0.05 makes ratios between 1 / 1.05 and 1.05 equivalent.
    """
    log_ratio = other["log_s"].to_numpy(float) - base["log_s"].to_numpy(float)
    one, two = base["variance"].to_numpy(float), other["variance"].to_numpy(float)
    with np.errstate(invalid="ignore"):
        dof = (one + two) ** 2 / (one**2 / base["dof"].to_numpy(float) + two**2 / other["dof"].to_numpy(float))
    return weigh(log_ratio, np.sqrt(one + two), dof, margin)


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


def verdicts(found: Ratios, together: bool = True) -> NDArray[np.str_]:
    """Return faster, slower, tie or undecided for each ratio.

    Args:
        found: ratios.
        together: whether differences are claimed for all of them together (`holm`) or for each alone.
    """
    p = holm(found.p_difference) if together else found.p_difference
    rate = 1 - CONFIDENCE
    tie = np.where(np.nan_to_num(found.p_tie, nan=1.0) <= rate, TIE, UNDECIDED)
    return np.where(np.nan_to_num(p, nan=1.0) <= rate, found.difference, tie)
