"""Totals, winners, crossovers and break-even points of everything that was measured, by `bench.advice`.

What ``python -m bench recommend`` says of one case, for every measured case of a run at once. No statistics of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.advice import crossover, decision, ledger
from bench.advice.crossover import Change
from bench.advice.decision import Standing
from bench.advice.ledger import CompileTimes, Job
from bench.report.answers import MIDDLE_STEPS, Cell, Total, Verdict
from bench.results import timed
from bench.verdicts.statistics import MARGIN

if TYPE_CHECKING:
    import pandas as pd

STEPS = tuple(10**power for power in range(7))
"""Numbers of steps on the maps."""

GRID_POINTS = 25
"""Batches between the smallest and the largest at which crossovers are looked for."""

LINE = ["run", "network", "dtype", "device", "threads"]
"""What the cases of one line of a chart have in common, beside the phase."""

CHANGE = ["before", "after", "label", "low", "high", "band_low", "band_high"]
"""Columns of a crossover or break-even point, beside its place."""

CACHES = ("warm", "cold")
VERDICTS: dict[str, Verdict] = {"fastest": "winner", "tie": "tie", "undecided": "undecided"}


@dataclass(frozen=True)
class Outlook:
    """What is to be expected of one network under one set of conditions.

    Attributes:
        run, network, dtype, device, threads, cache: the conditions.
        cells: an answer for each measured batch and each of `STEPS`.
        costs: one row a batch and backend: the parts of its total.
        batch_changes: where the best backend changes along the batch, for `MIDDLE_STEPS` steps.
        step_changes: by batch, where it changes along the steps.
    """

    run: str
    network: str
    dtype: str
    device: str
    threads: int
    cache: str
    cells: tuple[Cell, ...]
    costs: tuple[dict[str, Any], ...]
    batch_changes: tuple[Change, ...]
    step_changes: dict[int, tuple[Change, ...]]

    @property
    def conditions(self) -> dict[str, Any]:
        """The conditions by name, for a row of a table."""
        return {name: getattr(self, name) for name in ("run", "network", "dtype", "device", "threads", "cache")}


def outlooks(frame: pd.DataFrame) -> Iterator[Outlook]:
    """Yield the outlook of each network, for each run, dtype, device, number of threads and state of the cache."""
    good = timed(frame, arm="")
    good = good[good["phase"].isin(("step", "train"))]
    for (run, dtype, device, threads), own in good.groupby(["run", "dtype", "device", "threads"], sort=False):
        everything = frame[(frame["run"] == run) & (frame["dtype"] == dtype) & (frame["device"] == device)]
        rows = everything[everything["threads"] == threads]
        batches = {str(network): _batches(cells) for network, cells in own.groupby("network", sort=False)}
        cases = [(network, batch) for network, measured in batches.items() for batch in measured]
        along = {network: batch_grid(measured) for network, measured in batches.items()}
        grid = [(network, batch) for network, points in along.items() for batch in points]
        found = ledger.jobs(rows, [*cases, *grid])
        if not found:
            continue
        compiled = {job.backend: ledger.compile_times(own[own["backend"] == job.backend]) for job in found}
        measured = {(str(b), str(n), int(size)) for b, n, size in own[["backend", "network", "batch"]].to_numpy()}
        for cache in (name for name in CACHES if name in set(own["cache"])):
            conditions = (str(run), str(dtype), str(device), int(threads), cache)
            for network in batches:
                yield _outlook(compiled, found, cases, grid, network, conditions, measured)


def _outlook(
    compiled: dict[str, CompileTimes],
    found: list[Job],
    cases: list[tuple[str, int]],
    grid: list[tuple[str, int]],
    network: str,
    conditions: tuple[str, str, str, int, str],
    measured: set[tuple[str, str, int]],
) -> Outlook:
    run, dtype, device, threads, cache = conditions
    cells: list[Cell] = []
    costs: list[dict[str, Any]] = []
    changes: dict[int, tuple[Change, ...]] = {}
    for position, case in enumerate(cases):
        if case[0] != network:
            continue
        jobs = [_at(job, [position], compiled, case, cache) for job in found]
        new = {job.backend for job in jobs if (job.backend, *case) not in measured}
        for steps, (ranked, decided) in zip(STEPS, decision.standings(jobs, STEPS, MARGIN), strict=True):
            cells.append(_cell(case[1], steps, ranked, decided, new))
        costs += [{"batch": case[1], "backend": job.backend, **_parts(job)} for job in jobs]
        changes[case[1]] = tuple(crossover.step_changes(jobs))
    points = [len(cases) + position for position, case in enumerate(grid) if case[0] == network]
    middle = sorted(changes)[len(changes) // 2]
    along = [_at(job, points, compiled, (network, middle), cache) for job in found]
    batch_changes = tuple(crossover.batch_changes(along, [grid[p - len(cases)][1] for p in points], MIDDLE_STEPS))
    return Outlook(
        run, network, dtype, device, threads, cache, tuple(cells), tuple(costs), batch_changes, changes
    )  # fmt: skip


def _at(job: Job, positions: list[int], compiled: dict[str, CompileTimes], case: tuple[str, int], cache: str) -> Job:
    """Return a job at some of its cases, with the compile time of ``case`` under ``cache``."""
    compile_s, state = ledger.compile_s(compiled[job.backend], case, cache, np.random.default_rng(0))
    narrow = {name: getattr(job, name)[:, positions] for name in ("place_s", "call_s", "step_s")}
    return replace(job, compile_s=compile_s, cache=state, **narrow)


def _cell(batch: int, steps: int, ranked: list[Standing], decided: dict[str, Any], new: set[str]) -> Cell:
    leaders = tuple(decided["backends"])
    totals = tuple(Total(one.job.backend, one.total_s, one.low_s, one.high_s) for one in ranked)
    return Cell(batch, steps, VERDICTS[str(decided["outcome"])], leaders, totals, bool(new & set(leaders)))


def _parts(job: Job) -> dict[str, Any]:
    """Return the middle of each part of a total, in seconds."""
    return {**decision.parts_of(job), "fixed_s": float(np.median(job.fixed_s[:, 0])), "phase": job.phase}


def phase_changes(cells: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield where the fastest backend changes along the batch, for each phase by itself, as rows.

    Args:
        cells: of `bench.report.judged.cells`.
    """
    zero = np.zeros((ledger.DRAWS, 1))
    for conditions, rows in cells.groupby(["run", "dtype", "device", "threads", "phase"], sort=False):
        run, dtype, device, threads, phase = conditions
        along = {str(network): batch_grid(_batches(own)) for network, own in rows.groupby("network", sort=False)}
        grid = [(network, batch) for network, points in along.items() for batch in points]
        jobs = []
        for number, (backend, known) in enumerate(rows.groupby("backend", sort=False)):
            seconds, basis = ledger.phase_s(known, grid, np.random.default_rng([0, number]))
            jobs.append(Job(str(backend), zero, zero, zero, zero, seconds, basis, str(phase), ""))
        for network, points in along.items():
            at = [position for position, case in enumerate(grid) if case[0] == network]
            narrow = [replace(job, step_s=job.step_s[:, at]) for job in jobs]
            for change in crossover.batch_changes(narrow, points, 1):
                where = {"run": run, "network": network, "dtype": dtype, "device": device, "threads": threads}
                yield {**where, "phase": phase, **change_row(change, "batch", points[0], points[-1])}


def change_row(change: Change, at: str, least: float, most: float) -> dict[str, Any]:
    """Return a change as a row, its place in the column ``at``, its band within what the chart shows."""
    names = {"before": change.before, "after": change.after, "label": f"{change.before} \u2192 {change.after}"}
    band = {"band_low": min(max(change.low, least), most), "band_high": max(min(change.high, most), least)}
    return {**names, at: change.at, "low": change.low, "high": change.high, **band}


def batch_grid(batches: list[int]) -> list[int]:
    """Return batches from the smallest to the largest measured one, evenly on a log scale."""
    return sorted({round(batch) for batch in np.geomspace(batches[0], batches[-1], GRID_POINTS)})


def _batches(rows: pd.DataFrame) -> list[int]:
    return sorted(rows["batch"].drop_duplicates().astype(int).tolist())
