"""The estimate of a cell from one process, and how much it should scatter by the process's own turns. No files.

One fresh process gives one *process estimate* of a cell, as a logarithm. The processes of a lap are measured side by
side in turns of milliseconds, so what slows the machine in a turn slows all of them. `side_by_side` separates this
effect of a turn from the level of each arm.

Tests: `tests/bench/verdicts/test_estimates.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

CASE = ["network", "batch", "dtype", "device", "threads", "phase"]
"""Columns that the backends of one comparison have in common."""

ESTIMATES = ("minimum_s", "lower_quartile_s", "median_s", "turn_s")
"""Columns that the process estimate can come from: directly, or for `TURNS` by `side_by_side`."""

TURNS = "turn_s"
"""The column of turns, which `side_by_side` makes an estimate of."""

ESTIMATE = TURNS
"""The column in use; `bench.verdicts.certify` tries them all."""

MOST_PASSES, CONVERGED = 50, 1e-6


def estimates_and_noises(rows: pd.DataFrame, estimate: str = ESTIMATE) -> tuple[Floats, Floats]:
    """Return the log process estimate of each row, and its variance by the scatter of the turns.

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
    """Return the level, in log seconds, of each of some arms that were timed in turns.

    The model is: log seconds of an arm in a turn = level of the arm + effect of the turn. Levels and effects are fitted
    alternately. A level is the mean of the middle half of its values, since the machine may also change its speed
    between two arms of a turn.

    Args:
        turns: seconds of each arm's turns, in order; ``None`` or NaN if a turn was spoiled. An arm may have fewer.
    """
    return _levels(turns)[0]


def _levels(turns: Sequence[Sequence[float | None]]) -> tuple[Floats, Floats]:
    """Return what `side_by_side` does, and the variance of each level by the residuals of its turns.

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
        # A constant may move between levels and effects in each pass; the differences of levels converge.
        if np.ptp(level - before) < CONVERGED:
            break
    left = [(arm - added - own)[mask] for arm, own, mask in zip(logs, level, use, strict=True)]
    noise = np.array([values.var(ddof=1) / len(values) if len(values) > 1 else math.nan for values in left])
    return level + (_middle(added[shared.any(axis=0)]) if shared.any() else 0.0), noise


def _middle(values: Floats) -> float:
    """Return the mean of the middle half of some values, NaN if there are none."""
    if not len(values):
        return math.nan
    cut = len(values) // 4
    return float(np.sort(values)[cut : len(values) - cut].mean())


def mean_noise(noises: Iterable[float]) -> float:
    """Return the mean of the finite values, NaN if there are none."""
    known = [noise for noise in noises if math.isfinite(noise)]
    return sum(known) / len(known) if known else math.nan
