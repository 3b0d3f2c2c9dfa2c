"""What compiling costs a job: the seconds in a process that compiles this shape first, from measured first calls.

Tests: `tests/bench/advice/test_compiling.py`.
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
"""Log scatter of an import or a compilation from process to process, as far as few processes do not show it."""

SINGLE_COUNT = 0.5
"""For how many processes `SINGLE_SCATTER` counts: two alone show anything between none and several times it."""

SHARING = ("forward", "backward", "step")
"""Phases whose code others may use: if one of these is called first, it bears the compiling."""


def compile_times(rows: pd.DataFrame, phases: Sequence[str] = ("step", "train")) -> CompileTimes:
    """Return the seconds of compiling of one backend: the longest of ``phases``, in each process.

    The phases share compiled code, so the seconds of all together would count some of it twice.
    """
    compiling = rows.assign(compile_s=compile_alone_s(rows, phases) + _placing_compile_s(rows))
    compiling = compiling[compiling["phase"].isin(phases)]
    process = ["network", "batch", "cache", "run", "process"]
    worst = compiling.groupby(process, sort=False)["compile_s"].max()
    times: CompileTimes = {}
    for (cache, network, batch), seconds in worst.groupby(["cache", "network", "batch"], sort=False):
        times.setdefault(str(cache), {})[Shape(str(network), int(batch))] = seconds.to_numpy(float)
    return times


def _placing_compile_s(rows: pd.DataFrame) -> pd.Series[float]:
    """Return what compiling for placing each row's shape would take as the first of its process."""
    if "place_compile_s" not in rows:
        return rows["import_s"] * 0.0
    return compile_alone_s(rows.assign(compile_s=rows["place_compile_s"]), tuple(rows["phase"].unique()))


def compile_alone_s(rows: pd.DataFrame, phases: Sequence[str] = ("step", "train")) -> pd.Series[float]:
    """Return the seconds that compiling ``phases`` for each row's shape would take as the first of its process.

    Frameworks share compiled code between phases and shapes and do not say so. Phases that took next to nothing (less
    than `LEAST_COMPILE_S`) are taken to have used the code of others (`SHARING`), and are given the most of theirs. A
    shape that took next to nothing, or less than a twentieth of the costliest shape before it, is taken to have used
    code of earlier shapes: it is given the seconds of the costliest of its network, or else of any network.
    Any other took no less than an earlier one of its network, nor than the first of the process, which starts the
    framework.
    """
    import pandas as pd

    process = ["run", "backend", "arm", "process", "cache"]
    needed = rows[[*process, "network", "batch", "dtype", "device", "phase", "compile_s"]]  # all would be copied
    parts = [_alone_in_process(of_process, phases) for _, of_process in needed.groupby(process, sort=False)]
    return pd.concat(parts).reindex(rows.index) if parts else rows["compile_s"]


def _alone_in_process(rows: pd.DataFrame, phases: Sequence[str]) -> pd.Series[float]:
    """Return what `compile_alone_s` does for the rows of one process, in the order in which they were measured."""
    import pandas as pd

    shapes = list(zip(*(rows[name] for name in ("network", "batch", "dtype", "device")), strict=True))
    own_s, sharing_s = (dict.fromkeys(shapes, 0.0) for _ in range(2))
    for shape, phase, seconds in zip(shapes, rows["phase"], rows["compile_s"].fillna(0.0), strict=True):
        for names, longest_s in ((phases, own_s), (SHARING, sharing_s)):
            if phase in names:
                longest_s[shape] = max(longest_s[shape], seconds)
    own_s |= {shape: max(s, sharing_s[shape]) for shape, s in own_s.items() if s < LEAST_COMPILE_S}
    of_network: dict[str, float] = {}
    first_s, costliest_s = next(iter(own_s.values()), 0.0), 0.0
    alone = {}
    for shape, seconds in own_s.items():
        alone[shape] = max(seconds, of_network.get(shape[0], 0.0))
        if alone[shape] < max(LEAST_COMPILE_S, costliest_s / 20):
            alone[shape] = costliest_s
        alone[shape] = max(alone[shape], first_s)
        of_network[shape[0]] = max(of_network.get(shape[0], 0.0), seconds)
        costliest_s = max(costliest_s, seconds)
    return pd.Series([alone[shape] for shape in shapes], rows.index, float)


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
    squares = float(((logs - logs.mean()) ** 2).sum()) + SINGLE_COUNT * SINGLE_SCATTER**2
    error = math.sqrt(squares / (len(logs) - 1 + SINGLE_COUNT) / len(logs))
    return np.asarray(np.exp(logs.mean() + error * rng.standard_normal((DRAWS, 1))))
