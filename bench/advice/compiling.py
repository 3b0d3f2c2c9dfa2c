"""What compiling costs a job: the seconds in a process that compiles this shape first, from measured first calls.

Tests: `tests/bench/advice/test_recommendation.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.advice.time_model import DRAWS, Floats, Shape, apart

if TYPE_CHECKING:
    import pandas as pd

LEAST_COMPILE_S = 0.02
"""A first call that is longer than a steady one by no more than this compiled nothing worth a note."""

CompileTimes = dict[str, dict[Shape, Floats]]
"""By state of the compile cache and by shape: the seconds of compiling of each process."""

SINGLE_SCATTER = 0.15
"""Log scatter of an import or a compilation that was measured in one process alone."""


def compile_times(rows: pd.DataFrame, phases: Sequence[str] = ("step", "train")) -> CompileTimes:
    """Return the seconds of compiling of one backend: the longest of ``phases``, in each process.

    The phases share compiled code, so the seconds of all together would count some of it twice.
    """
    rows = rows[rows["phase"].isin(phases)]
    compiling = rows.assign(compile_s=compile_alone_s(rows) + _placing_compile_s(rows))
    process = ["network", "batch", "cache", "run", "process"]
    worst = compiling.groupby(process, sort=False)["compile_s"].max()
    times: CompileTimes = {}
    for (cache, network, batch), seconds in worst.groupby(["cache", "network", "batch"], sort=False):
        times.setdefault(str(cache), {})[Shape(str(network), int(batch))] = seconds.to_numpy(float)
    return times


def _placing_compile_s(rows: pd.DataFrame) -> pd.Series[float]:
    """Return what compiling for placing took the process of each row, as its first batch showed."""
    if "place_compile_s" not in rows:
        return rows["import_s"] * 0.0
    process = [rows[name] for name in ("run", "process")]
    return rows["place_compile_s"].fillna(0.0).groupby(process).transform("max")


def compile_alone_s(rows: pd.DataFrame) -> pd.Series[float]:
    """Return the seconds that compiling each row's shape would take as the first of its process.

    Frameworks share compiled code between shapes and do not say so. So a shape that took next to nothing (less than
    `LEAST_COMPILE_S`, or than a twentieth of the costliest shape before it) is taken to have used code of earlier
    shapes. It is given the seconds of the costliest earlier shape of its network, or else of any network.
    """
    import pandas as pd

    parts = [
        _alone_in_process(of_process)
        for _, of_process in rows.groupby(["run", "backend", "arm", "process", "cache"], sort=False)
    ]
    return pd.concat(parts).reindex(rows.index) if parts else rows["compile_s"]


def _alone_in_process(rows: pd.DataFrame) -> pd.Series[float]:
    """Return what `compile_alone_s` does for the rows of one process, in the order in which they were measured."""
    shapes = list(rows[["network", "batch", "dtype", "device"]].itertuples(index=False, name=None))
    own_s: dict[tuple[str, ...], float] = {}
    for shape, seconds in zip(shapes, rows["compile_s"].fillna(0.0), strict=True):
        own_s[shape] = max(own_s.get(shape, 0.0), seconds)
    of_network: dict[str, float] = {}
    costliest_s = 0.0
    alone = {}
    for shape, seconds in own_s.items():
        alone[shape] = seconds
        for shared_s in (of_network.get(shape[0], 0.0), costliest_s):
            if alone[shape] < max(LEAST_COMPILE_S, costliest_s / 20):
                alone[shape] = max(alone[shape], shared_s)
        of_network[shape[0]] = max(of_network.get(shape[0], 0.0), seconds)
        costliest_s = max(costliest_s, seconds)
    return rows.assign(alone_s=[alone[shape] for shape in shapes])["alone_s"]


def compile_s(times: CompileTimes, shape: Shape, cache: str, rng: np.random.Generator) -> tuple[Floats, str]:
    """Return draws of the seconds of compiling if ``shape`` is the first of a process, and the state of the cache.

    They come from the nearest measured shape, with ``cache`` in the state asked for if that was measured.
    """
    if not times:
        return np.zeros((DRAWS, 1)), cache
    state = cache if cache in times else min(times)
    nearest = min(times[state], key=lambda measured: apart(measured, shape))
    return scattered(times[state][nearest], rng), state


def scattered(seconds: Floats, rng: np.random.Generator) -> Floats:
    """Return draws ``[DRAWS, 1]`` around the geometric mean of some seconds; zeros if none is positive."""
    seconds = seconds[np.isfinite(seconds)]
    if len(seconds) == 0 or seconds.max() <= 0:
        return np.zeros((DRAWS, 1))
    logs = np.log(np.maximum(seconds, 1e-9))
    if logs.max() - logs.min() > 5:  # some are next to nothing: a mean of logarithms would be, too
        logs = np.full(1, math.log(seconds.mean()))
    error = float(logs.std(ddof=1)) / math.sqrt(len(logs)) if len(logs) > 1 else SINGLE_SCATTER
    return np.asarray(np.exp(logs.mean() + error * rng.standard_normal((DRAWS, 1))))
