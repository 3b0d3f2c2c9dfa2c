"""The time that it takes to move a batch, under the times that are predicted.

A model of measured times knows nothing of what was never the bottleneck: where every measured network computes for long
on what it reads, reading seems to cost nothing. So a network of many inputs and few hidden units was promised a step in
a tenth of the time that its inputs take to come from memory. The machine's bandwidth says what they take
(`bench.limits.ceilings`), and arithmetic hides no more than all of it.

Tests: `tests/bench/advice/test_floor.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.advice.costs import Cost
from bench.advice.job import Job
from bench.advice.time_model import DRAWS, MEASURED, Shape
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
    """Return a cost whose steps take no less than memory allows, where they were not measured.

    Args:
        cost: of ``shapes``.
        shapes: that it is for.
        job: what is done with each batch.
        ceilings: of the machine that the cost is for.
    """
    moving_s = [
        0.0 if basis == MEASURED else _moving_s(shape, cost, job, ceilings)
        for shape, basis in zip(shapes, cost.bases, strict=True)
    ]
    rng = np.random.default_rng(list(cost.label.encode()))
    reached = rng.uniform(LEAST_SHARE, 1.0, (DRAWS, 1))
    return replace(cost, step_s=np.maximum(cost.step_s, np.array(moving_s) / reached))


def _moving_s(shape: Shape, cost: Cost, job: Job, ceilings: Ceilings) -> float:
    """Return the least time that the bytes of a job's step take, 0 if no bandwidth was measured for these threads."""
    phases = (cost.phase, "place") if job.places else (cost.phase,)
    workload, where = Workload.parse(shape.network), (ceilings, cost.threads, cost.device)
    try:
        return sum(limit_s(workload, shape.rows, job.dtype, phase, *where).bytes_s for phase in phases)
    except UsageError:
        return 0.0
