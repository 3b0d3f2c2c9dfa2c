"""Whether it pays to divide a batch among ranks or machines: a prediction from measured steps and a probed all-reduce.

    t(p) = step(rows / p) of the rank that takes longest, called from Python + all-reduce(parameters + 1 numbers, p)

On one machine a rank has its part of the cores, so its step is that measured with fewer threads. With machines each has
all. All parts are draws, so the answer is an interval; within the margin it is a tie.

Tests: `tests/bench/advice/test_sharing.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import results
from bench.advice import costs
from bench.advice.costs import Cost
from bench.advice.job import Job
from bench.advice.time_model import DRAWS, Floats, Shape
from bench.basics.names import FASTER, MARGIN, OK, SCALING, SLOWER, TIE, UNDECIDED
from bench.machine import machine_id
from bench.ranks.allreduce import AllReduce, Link, sum_s
from bench.verdicts.scaling import scaling
from bench.workload.memory import PROCESS_BYTES, SPARE, need_bytes

if TYPE_CHECKING:
    import pandas as pd

SKEW = 0.05
"""Log scatter of the ranks of one step, of which the slowest counts."""
SUM_SCATTER, FAR_SCATTER = 0.1, 0.25
"""Log scatter of an all-reduce: of two ranks, as probed here; over a link, or of more ranks than were probed."""

GRID = 49
LEAST_ROWS, MOST_ROWS = 2, 1 << 30
"""How many numbers of rows, and between which, are looked at to find where two parts pay."""


@dataclass(frozen=True)
class Sharing:
    """What a batch is shared out among.

    Attributes:
        parts: ranks, or machines if there is a link.
        cores: of this machine.
        link: between machines; ``None`` for ranks of this machine.
    """

    parts: int
    cores: int
    link: Link | None = None

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of parts that are answered for: powers of two, and all."""
        return tuple(sorted({1 << k for k in range(self.parts.bit_length()) if 1 << k <= self.parts} | {self.parts}))

    def threads(self, count: int) -> int | None:
        """Return the threads of each part; ``None``, for a whole machine, leaves the best number to each backend."""
        return None if self.link or count == 1 else max(1, self.cores // count)


def predicted(
    frame: pd.DataFrame, job: Job, how: Sharing, known: AllReduce, margin: float = MARGIN, seed: int = 0
) -> list[dict[str, Any]]:
    """Return one record for each backend and number of parts, fewest first.

    Args:
        frame: rows as `bench.results.load` gives them, of one machine.
        job: network, rows and dtype.
        how: ranks of this machine, or machines.
        known: the engine's all-reduce.
        margin: speed-ups this near to 1 are a tie.
        seed: of the draws.

    Returns:
        ``backend``, ``parts``, ``threads``; ``step_s``, ``low_s``, ``high_s`` (95 %); ``sum_s`` and ``sum_share``;
        ``speed_up`` over one machine, ``speed_up_low``, ``speed_up_high``; ``verdict``; ``basis``; and for two parts
        ``pays_from``, ``pays_from_low``, ``pays_from_high``: the rows from which they are faster, NaN if never.
    """
    rows = frame[(frame["dtype"] == job.dtype) & (frame["device"] == (job.device or "cpu"))]
    network = job.shape.network
    grid = [int(n) for n in np.geomspace(LEAST_ROWS, MOST_ROWS, GRID)]
    shapes = [Shape(network, max(1, math.ceil(job.rows / count))) for count in how.counts]
    shapes += [Shape(network, n) for n in grid] + [Shape(network, max(1, n // 2)) for n in grid]
    of_backend: dict[str, list[Cost]] = {}
    every = costs.costs(rows, shapes, job.cache, seed, job)
    for cost in costs.with_threads(every, job.threads) if how.link else every:  # of each machine
        of_backend.setdefault(cost.backend, []).append(cost)
    message = (job.network.parameter_count + 1) * np.dtype(job.dtype).itemsize
    records: list[dict[str, Any]] = []
    for number, (backend, group) in enumerate(of_backend.items()):
        rng = np.random.default_rng([seed, number])
        whole = costs.with_best_threads(group, job.steps)[0]
        for place, count in enumerate(how.counts):
            part = _with_threads(group, how.threads(count), whole)
            if part is None:
                continue
            called_s = part.step_s + (part.call_s if count > 1 else 0.0)  # between ranks every step is a call
            step_s = called_s * _slowest(count, rng) + _sums(known, message, count, how.link, rng)
            record = _record(backend, count, how, whole.step_s[:, 0], step_s[:, place], margin)
            summed = sum_s(known, message, count, how.link)
            record |= {"sum_s": summed, "sum_share": summed / record["step_s"], "basis": part.basis}
            if count == 2:
                record |= _pays_from(whole, step_s, grid, len(how.counts))
            records.append(record)
    return records


def least_parts(job: Job, free: int) -> int:
    """Return the least number of machines with so much free memory that hold the batch; 0 if none can."""
    left = SPARE * free - PROCESS_BYTES
    fixed = need_bytes(job.workload, 0, job.dtype)
    a_row = need_bytes(job.workload, 1, job.dtype) - fixed
    rows = int((left - fixed) // a_row)
    return math.ceil(job.rows / rows) if rows > 0 else 0


def _with_threads(group: Sequence[Cost], threads: int | None, whole: Cost) -> Cost | None:
    """Return the cost with a number of threads, ``None`` if it was not measured."""
    if threads is None:
        return whole
    return next((cost for cost in group if cost.threads == threads), None)


def _slowest(count: int, rng: np.random.Generator) -> Floats:
    """Return draws of how much longer than one rank the slowest takes."""
    if count == 1:
        return np.ones((DRAWS, 1))
    return np.asarray(np.exp(SKEW * rng.standard_normal((DRAWS, min(count, 64))).max(axis=1, keepdims=True)))


def _sums(known: AllReduce, message: int, count: int, link: Link | None, rng: np.random.Generator) -> Floats:
    scatter = SUM_SCATTER if count <= 2 and link is None else FAR_SCATTER
    return np.asarray(sum_s(known, message, count, link) * np.exp(scatter * rng.standard_normal((DRAWS, 1))))


def _record(backend: str, count: int, how: Sharing, one_s: Floats, step_s: Floats, margin: float) -> dict[str, Any]:
    low_s, middle_s, high_s = np.quantile(step_s, (0.025, 0.5, 0.975))
    low, middle, high = np.quantile(one_s / step_s, (0.025, 0.5, 0.975)) if count > 1 else (1.0, 1.0, 1.0)
    verdict = ""
    if count > 1:
        verdict = FASTER if low > 1 + margin else SLOWER if high < 1 / (1 + margin) else UNDECIDED
        if 1 / (1 + margin) <= middle <= 1 + margin and verdict == UNDECIDED:
            verdict = TIE
    return {
        "backend": backend, "parts": count, "threads": how.threads(count),
        "step_s": float(middle_s), "low_s": float(low_s), "high_s": float(high_s),
        "speed_up": float(middle), "speed_up_low": float(low), "speed_up_high": float(high),
        "verdict": verdict, "extrapolated": count > 2,
    }  # fmt: skip


def _pays_from(whole: Cost, step_s: Floats, grid: Sequence[int], first: int) -> dict[str, float]:
    """Return the rows from which two parts are faster than one, over the draws."""
    one = whole.step_s[:, first : first + len(grid)]
    two = step_s[:, first + len(grid) : first + 2 * len(grid)]
    gain = np.log(one) - np.log(two)
    # The last place where two are slower: beyond it they pay for good.
    places = np.array([_crossing(draw, grid) for draw in gain])
    low, middle, high = (float(np.quantile(places, q)) for q in (0.025, 0.5, 0.975))
    return {
        name: value if value < MOST_ROWS else math.nan
        for name, value in (("pays_from_low", low), ("pays_from", middle), ("pays_from_high", high))
    }


def _crossing(gain: Floats, grid: Sequence[int]) -> float:
    slower = np.flatnonzero(gain <= 0)
    if not len(slower):
        return float(grid[0])
    last = int(slower[-1])
    if last == len(grid) - 1:
        return float(MOST_ROWS)
    share = -gain[last] / (gain[last + 1] - gain[last])
    return float(np.exp(np.log(grid[last]) + share * (np.log(grid[last + 1]) - np.log(grid[last]))))


def measured_faster(job: Job, root: Path | None = None, margin: float = MARGIN) -> list[dict[str, Any]]:
    """Return what the latest run of `scale` for this network found faster than one rank with all threads, best first.

    Its rows are those of the job to a factor of two. ``alone`` and ``alone_s`` of each record are the backend whose
    step takes least on one rank with the same rows, and its seconds.
    """
    for run in reversed(results.runs(root)):
        if run.purpose != SCALING or run.machine != machine_id() or not run.rows_path.exists():
            continue
        frame = results.load(run)
        alike = (frame["network"] == job.shape.network) & (frame["dtype"] == job.dtype) & (frame["hosts"] == 1)
        near = frame[alike & frame["batch"].between(job.rows / 2, job.rows * 2)]
        if not (near["status"] == OK).any():
            continue
        rows = scaling(near, margin)
        faster = rows[(rows["ranks"] > 1) & (rows["verdict"] == FASTER)].sort_values("step_s")
        return [record | _alone(rows, record["rows"]) for record in faster.to_dict("records")]
    return []


def _alone(rows: pd.DataFrame, batch: int) -> dict[str, Any]:
    """Return the backend whose step takes least on one rank."""
    one = rows[(rows["ranks"] == 1) & (rows["rows"] == batch)]
    best = one.loc[one["step_s"].idxmin()]
    return {"alone": best["backend"], "alone_s": float(best["step_s"])}
