"""The time that it takes to move a batch, under the times that are predicted.

A model of measured times knows nothing of what was never the bottleneck: where every measured network computes for long
on what it reads, reading seems to cost nothing. So a network of many inputs and few hidden units was promised a step in
a tenth of the time that its inputs take to come from memory. The machine's bandwidth says what they take
(`bench.limits.ceilings`), and arithmetic hides no more than all of it.

Tests: `tests/bench/advice/test_floor.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.advice.costs import Cost
from bench.advice.job import Job
from bench.advice.time_model import DRAWS, MEASURED, Floats, Shape
from bench.basics.errors import UsageError
from bench.limits import corrections
from bench.limits.ceilings import Ceilings, limit_s
from bench.results import Run
from bench.workload import Workload

LEAST_SHARE = 1 / 3
"""Of the bandwidth: what a step that waits for memory reaches at least, about. Measured: 0.36 (numba, 415-2-1, 123,016
rows, two cores of a Xeon) to 0.73 (numba, 3-2-1, 2^20 rows).
"""


def ceilings_of(runs: Sequence[Run], root: Path | None = None) -> Ceilings | None:
    """Return the ceilings of the first of some runs of one machine that has any."""
    return next((found for run in runs if (found := corrections.load(run, root))), None)


def not_below(cost: Cost, shapes: Sequence[Shape], job: Job, ceilings: Ceilings) -> Cost:
    """Return a cost whose steps and placing take no less than memory allows, where they were not measured.

    Args:
        cost: of ``shapes``.
        shapes: that it is for.
        job: what is done with each batch.
        ceilings: of the machine that the cost is for.
    """
    rng = np.random.default_rng(list(cost.label.encode()))
    reached = rng.uniform(LEAST_SHARE, 1.0, (DRAWS, 1))

    def raised(seconds: Floats, *phases: str) -> Floats:
        return np.maximum(seconds, _moving_s(cost, shapes, phases, job.dtype, ceilings) / reached)

    if job.places:
        return replace(cost, step_s=raised(cost.step_s, cost.phase, "place"))
    placed = cost.place_s.any()  # a run that timed no placing says nothing of it
    place_s = raised(cost.place_s, "place") if placed else cost.place_s
    return replace(cost, step_s=raised(cost.step_s, cost.phase), place_s=place_s)


def _moving_s(cost: Cost, shapes: Sequence[Shape], phases: Sequence[str], dtype: str, ceilings: Ceilings) -> Floats:
    """Return the least time that the bytes of these phases take for each shape.

    It is 0 where the time was measured, and if no bandwidth was measured for these threads.
    """
    where = (ceilings, cost.threads, cost.device)
    moving_s = np.zeros(len(shapes))
    for place, (shape, basis) in enumerate(zip(shapes, cost.bases, strict=True)):
        if basis != MEASURED:
            workload = Workload.parse(shape.network)
            with contextlib.suppress(UsageError):
                limits = [limit_s(workload, shape.rows, dtype, phase, *where) for phase in phases]
                moving_s[place] = sum(limit.bytes_s for limit in limits)
    return moving_s
