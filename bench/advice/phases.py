"""The seconds of one phase of one backend for any shapes, as draws, from the cells that were measured.

Tests: `tests/bench/advice/test_recommendation.py`, `tests/bench/advice/test_workloads.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

from bench.advice.compiling import SINGLE_SCATTER
from bench.advice.fewer_threads import INFERRED
from bench.advice.time_model import (
    DRAWS,
    ESTIMATED,
    INTERPOLATED,
    KIND_SCATTER,
    Floats,
    Shape,
    TimeModel,
    apart,
    as_kind,
    costs_of_work,
    draw,
    kind_of,
    nearest_kind,
    work_of,
)
from bench.workload import Workload

if TYPE_CHECKING:
    import pandas as pd


def phase_s(estimates: pd.DataFrame, shapes: Sequence[Shape], rng: np.random.Generator) -> tuple[Floats, list[str]]:
    """Return draws ``[DRAWS, shapes]`` of a phase's seconds, and what each shape rests on.

    The seconds of a shape come from the cells of its kind of workload. If there are none, they come from the cells of
    the nearest kind, scaled by the work of both, and are less sure.

    Args:
        estimates: rows of `bench.verdicts.statistics.cell_estimates` of one backend and phase, some maybe inferred.
        shapes: any; measured ones keep their times, others are predicted.
        rng: of the draws.
    """
    kinds = [kind_of(network) for network in estimates["network"].astype(str)]
    asked = [kind_of(network) for network, _ in shapes]
    draws, bases = np.empty((DRAWS, len(shapes))), [ESTIMATED] * len(shapes)
    for kind in dict.fromkeys(asked):
        of_kind = [place for place, other in enumerate(asked) if other == kind]
        source = kind if kind in kinds else nearest_kind(kind, kinds)
        rows = estimates[[other == source for other in kinds]]
        known = list(map(Shape, rows["network"].astype(str), rows["batch"].astype(int)))
        logs = rows["log_s"].to_numpy(float)
        if source != kind:
            known, logs = _as_another_kind(known, logs, kind)
        model = TimeModel.fit(known, logs, _widened(rows["variance"], rows["dof"]))
        some = [shapes[place] for place in of_kind]
        draws[:, of_kind] = np.exp(draw(*model.predict(some), rng))
        if source != kind:
            draws[:, of_kind] *= np.exp(KIND_SCATTER * rng.standard_normal((DRAWS, 1)))
            continue
        inferred = set(compress(known, rows[INFERRED])) if INFERRED in rows else ()
        for place in of_kind:
            bases[place] = INTERPOLATED if shapes[place] in inferred else model.basis(shapes[place])
    return draws, bases


def _as_another_kind(known: Sequence[Shape], logs: Floats, kind: Workload) -> tuple[list[Shape], Floats]:
    """Return measured shapes and log seconds, scaled by the work of both to another kind of workload."""
    cost_s = costs_of_work(known, logs)
    changed = [as_kind(*shape, kind) for shape in known]
    work, changed_work = (np.array([work_of(shape) for shape in shapes]) @ cost_s for shapes in (known, changed))
    return changed, logs + np.log(np.maximum(changed_work, 1e-12)) - np.log(np.maximum(work, 1e-12))


def _widened(variance: pd.Series[float], dof: pd.Series[float]) -> Floats:
    """Return variances with which a normal interval is as wide as Student's; if unknown, for a scatter of 10 %."""
    from bench.verdicts.student import quantile

    factor = (quantile(0.975, dof.to_numpy(float)) / 1.96) ** 2
    return np.asarray(np.nan_to_num(variance.to_numpy(float) * factor, nan=0.01))


def placing_s(rows: pd.DataFrame, shapes: Sequence[Shape], rng: np.random.Generator) -> Floats:
    """Return draws of the seconds of placing each shape the first time."""
    sizes = rows["network"].map(_sizes_alone)
    placed = rows[rows["place_s"] > 0].assign(network=sizes).groupby(["network", "batch"])["place_s"]
    logs = placed.apply(lambda seconds: np.log(seconds).mean())
    if logs.empty:
        return np.zeros((DRAWS, len(shapes)))
    spread = placed.apply(lambda seconds: np.log(seconds).var()).fillna(SINGLE_SCATTER**2) / placed.size()
    model = TimeModel.fit([Shape(str(n), int(b)) for n, b in logs.index], logs, spread)
    return np.exp(draw(*model.predict([Shape(_sizes_alone(n), b) for n, b in shapes]), rng))


def _sizes_alone(network: str) -> str:
    """Return the layer sizes of a workload, on which the placing of a whole batch depends."""
    return network.partition("/")[0]


LEAST_ROUNDS = 100
"""Fewer rounds say nothing of the one in a hundred that is slowest."""


def tail(rows: pd.DataFrame, phase: str, shape: Shape) -> float:
    """Return the 99th percentile of a phase's rounds over their median, at the measured shape that is nearest.

    It is NaN if fewer than `LEAST_ROUNDS` rounds of that shape were kept.
    """
    of_phase = rows[rows["phase"] == phase]
    places = {
        key: apart(Shape(str(key[0]), int(key[1])), shape) for key in of_phase.groupby(["network", "batch"]).groups
    }
    if not places:
        return math.nan
    network, batch = min(places, key=lambda key: float(places[key]))
    nearest = of_phase[(of_phase["network"] == network) & (of_phase["batch"] == batch)]
    ratios = [np.asarray(times, float) / np.median(times) for times in nearest["round_s"] if len(times)]
    if sum(map(len, ratios)) < LEAST_ROUNDS:
        return math.nan
    return float(np.quantile(np.concatenate(ratios), 0.99))
