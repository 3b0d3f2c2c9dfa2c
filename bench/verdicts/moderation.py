"""Moderated variances: the variance of a cell from few processes is drawn towards what the other cells show. No files.

Three processes say little about the variance of one cell, but all cells of a run together show what is usual. Using
that gives a cell more degrees of freedom (empirical Bayes). Source: Smyth, Statistical Applications in Genetics 3
(2004) 3. Cells differ in their variance, and a cell whose turns scatter within a process tends to scatter between
processes as well. So the expected variance follows the scatter of the turns, as far as it does over all cells of the
run (`_relative`). Source: Law et al., Genome Biology 15 (2014) R29, who call it a trend.

Tests: `tests/bench/verdicts/test_moderation.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from bench.verdicts.estimates import Floats
from bench.verdicts.student import digamma, inverse_trigamma, trigamma

LEAST_CELLS = 10
"""With a scatter, to learn from them how it follows the noise of their turns."""


def means(
    values: Sequence[Sequence[float]], most_dof: float, noise: ArrayLike | None = None, left: ArrayLike = 1.0
) -> tuple[Floats, Floats, Floats]:
    """Return the mean of each cell's values, the variance of that mean, and its degrees of freedom.

    Args:
        values: of each cell, one a process: log estimates, or differences of two.
        most_dof: as in `moderate`.
        noise: as in `moderate`.
        left: share of the degrees of freedom of each cell that what was removed from its values has left.
    """
    counts = np.array([len(cell) for cell in values], float)
    middle = np.array([np.mean(cell) if len(cell) else math.nan for cell in values], float)
    scatter = np.array([np.var(cell, ddof=1) if len(cell) > 1 else math.nan for cell in values], float)
    spread, dof = moderate(scatter, np.asarray(left) * (counts - 1), most_dof, noise)
    with np.errstate(invalid="ignore", divide="ignore"):
        return middle, spread / counts, dof


def moderate(
    variances: ArrayLike, dof: ArrayLike, most_dof: float, noise: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Draw variances towards their expected values, more strongly if they differ from these by chance only.

    Args:
        variances: of single processes, one a cell; NaN if a cell has one process alone.
        dof: degrees of freedom of each.
        most_dof: most degrees of freedom that the expected variance may have. Cells of one process are not
            independent, so this is the number of processes less the number of backends; 0: no moderation.
        noise: of each cell: its variance by the turns within its processes; NaN if it is not known. Without it the
            expected variance is the same for all cells.

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
    """Return the variance that the cells share and its degrees of freedom.

    ``fitted`` is how many parameters were fitted to the variances, this one included.
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
    """Return the factor by which each cell's variance is expected to differ from the common one.

    The factor is a power of the noise of the cell's turns. The exponent is fitted to all cells, from 0 (the noise does
    not matter) to 1 (all scatter comes from the turns). The factor is 1 for cells of unknown noise, and for all cells
    if the noise of fewer than `LEAST_CELLS` is known.
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
