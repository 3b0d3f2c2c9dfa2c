"""What a search of threads left out: the time with fewer threads of shapes that were timed with the most alone.

A campaign tries fewer threads where they may win, at a few shapes. What it finds is how many times as long a step takes
with them: next to those shapes it holds, as a Gaussian process says. Far away it fades to what is usual: one for
a short step, most of the ratio of the threads for a long one. A model of the few times themselves would know nothing of
the cost of a call, and promise absurd times far away.

Tests: `tests/bench/advice/test_fewer_threads.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.advice.time_model import NUGGET, SHORT_S, Shape, likeness, usual_s

if TYPE_CHECKING:
    import pandas as pd

RATIO_SCATTER = 0.35
"""Log standard deviation of a ratio of two numbers of threads that nothing is known of: two threads halve a step at
best, and cost a short one some of its time.
"""

LONG_STEPS_GAIN = 0.75
"""How much of the log of a ratio of threads is gained in a step that is all work: between none and all, since memory is
shared and products are not.
"""

INFERRED = "inferred"
"""Column that is true of what was filled in."""


def with_inferred(cells: pd.DataFrame) -> pd.DataFrame:
    """Return cells with those that a search of threads left out filled in.

    Args:
        cells: rows of `bench.verdicts.statistics.cell_estimates`.

    A number of threads that shares no shape with the largest stays as it is.
    """
    import pandas as pd

    parts = [cells.assign(**{INFERRED: False})]
    for _, group in cells.groupby(["backend", "device", "phase"], sort=False):
        most = group["threads"].max()
        complete = group[group["threads"] == most]
        for _, few in group[group["threads"] < most].groupby("threads", sort=False):
            parts.append(_inferred(complete, few))
    return pd.concat(parts, ignore_index=True)


def _inferred(complete: pd.DataFrame, few: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of ``complete`` that ``few`` lacks, as they should be with its number of threads."""
    keys = ["network", "batch"]
    both = few.merge(complete, on=keys, suffixes=("", "_most"))
    missing = complete[~complete.set_index(keys).index.isin(few.set_index(keys).index)]
    if both.empty or missing.empty:
        return missing.iloc[:0].assign(**{INFERRED: True})
    known, asked = _shapes(both), _shapes(missing)
    threads = both["threads_most"].iloc[0] / both["threads"].iloc[0]
    ratios = (both["log_s"] - both["log_s_most"]).to_numpy(float) - _usual_log_ratio(known, threads)
    noise = np.nan_to_num((both["variance"] + both["variance_most"]).to_numpy(float), nan=0.01) + NUGGET**2
    across = RATIO_SCATTER**2 * likeness(asked, known)
    gain = np.linalg.solve(RATIO_SCATTER**2 * likeness(known, known) + np.diag(noise), across.T).T
    variance = np.maximum(RATIO_SCATTER**2 - (gain * across).sum(axis=1), 0.0)
    return missing.assign(
        threads=few["threads"].iloc[0],
        log_s=missing["log_s"] + _usual_log_ratio(asked, threads) + gain @ ratios,
        variance=missing["variance"].fillna(0.01) + variance,
        **{INFERRED: True},
    )


def _usual_log_ratio(shapes: Sequence[Shape], threads: float) -> NDArray[np.float64]:
    """Return the log of how many times as long steps take with so many times fewer threads, by the work in them."""
    work = np.array([1 / (1 + SHORT_S / usual_s(shape)) for shape in shapes])
    return np.asarray(LONG_STEPS_GAIN * math.log(threads) * work)


def _shapes(cells: pd.DataFrame) -> list[Shape]:
    return list(map(Shape, cells["network"].astype(str), cells["batch"].astype(int)))
