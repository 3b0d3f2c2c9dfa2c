"""Remove from the times of a case what each lap added to all backends alike. No files, no formatting.

The processes of a lap take turns, so a slow spell of the machine lengthens the times of all of them. It makes each time
less sure, but not the comparison of two. `without_laps` fits, by least squares,

    log time of a backend in a lap = level of the backend + effect of the lap

and removes the effects of the laps. It also returns how much they scatter, so that sums of times can be given an
interval that includes it, with the same draw for all backends.

Tests: `tests/bench/verdicts/test_laps.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.verdicts.estimates import CASE, Floats, mean_noise
from bench.verdicts.moderation import means

if TYPE_CHECKING:
    import pandas as pd

ALIKE = [name for name in CASE if name != "threads"]
"""Columns that the processes of a lap have in common; they may have any number of threads."""

LEAST_LAPS = 1e-6
"""Weight of a penalty on the effects of laps: an effect that cannot be separated from a backend's level is set to 0."""

Logs = Mapping[Any, float]


def without_laps(cells: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Return cells without the effects of their laps, and the log scatter that these effects give a mean over laps.

    Args:
        cells: rows of `bench.verdicts.statistics.cell_estimates`.

    Returns:
        The cells with other ``log_s``, ``variance`` and ``dof``, in the same order; cells of a case without a lap in
        common with another one stay as they are.
    """
    own: list[list[float]] = [list(logs.values()) for logs in cells["process_logs"]]
    shared: list[float] = []
    for places in cells.groupby(ALIKE, sort=False, observed=True).indices.values():
        logs = _in_company([cells["process_logs"].iloc[place] for place in places])
        laps = {lap for of_arm in logs for lap in of_arm}
        arms, values = sum(map(bool, logs)), sum(map(len, logs))
        left = values - arms - max(len(laps) - 1, 0)
        if left <= 0:
            continue
        added = _added(logs)
        shared.append(float(np.var(list(added.values()), ddof=1)) / len(laps))
        # The fitted laps used degrees of freedom and took scatter with them: scale what is left.
        missing = math.sqrt((values - arms) / left)
        for place, of_arm in zip(places, logs, strict=True):
            if of_arm:
                rest = np.array([value - added[lap] for lap, value in of_arm.items()])
                own[place] = (rest.mean() + (rest - rest.mean()) * missing).tolist()
    most = float((cells.groupby(["backend", "arm"])["processes"].max() - 1).sum())
    log_s, variance, dof = means(own, most, [mean_noise(noises.values()) for noises in cells["process_noises"]])
    scatter = math.sqrt(sum(shared) / len(shared)) if shared else 0.0
    return cells.assign(log_s=log_s, variance=variance, dof=dof), scatter


def _in_company(logs: Sequence[Logs]) -> list[Logs]:
    """Return the log times of each arm in laps that another arm has as well; other laps say nothing about effects."""
    count = Counter(lap for of_arm in logs for lap in of_arm)
    return [{lap: value for lap, value in of_arm.items() if count[lap] > 1} for of_arm in logs]


def _added(logs: Sequence[Logs]) -> dict[Any, float]:
    """Return the effect of each lap on the log times of its arms; the effects have mean 0."""
    laps = list(dict.fromkeys(lap for of_arm in logs for lap in of_arm))
    arm, lap, values = _table(logs, laps)
    rows = np.zeros((len(values) + len(laps), len(logs) + len(laps)))
    each = np.arange(len(values))
    rows[each, arm] = rows[each, len(logs) + lap] = 1.0
    rows[len(values) :, len(logs) :] = math.sqrt(LEAST_LAPS) * np.eye(len(laps))
    wanted = np.concatenate([values - values.mean(), np.zeros(len(laps))])
    added = np.linalg.lstsq(rows, wanted, rcond=None)[0][len(logs) :]
    return dict(zip(laps, (added - added.mean()).tolist(), strict=True))


def _table(logs: Sequence[Logs], laps: Sequence[Any]) -> tuple[Any, Any, Floats]:
    """Return arrays of arm number, lap number and log time, with one element for each process."""
    place = {lap: number for number, lap in enumerate(laps)}
    entries = [(arm, place[lap], value) for arm, of_arm in enumerate(logs) for lap, value in of_arm.items()]
    arm, lap, values = zip(*entries, strict=True)
    return np.array(arm), np.array(lap), np.array(values)
