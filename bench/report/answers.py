"""The first screen: for each network a map of rows and steps to the backend, with its sentence and its totals.

What ``python -m bench recommend`` says of one case, for every measured case of a run at once, by `bench.advice`. It
computes no statistics itself.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from bench.advice import compiling, costs, crossover, decision
from bench.advice.compiling import CompileTimes
from bench.advice.costs import Cost
from bench.advice.crossover import Change
from bench.advice.decision import Standing
from bench.advice.time_model import DRAWS, Shape
from bench.basics.formats import counted, format_count, format_seconds, interval_s
from bench.basics.names import MARGIN
from bench.results import timed
from bench.terminal.palette import look_of
from bench.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["fastest", "tie", "undecided", "none"]

SIGNS = {"tie": "=", "undecided": "?"}

MIDDLE_STEPS = 1_000
"""The number of steps that a card shows first."""


class Total(NamedTuple):
    """Total seconds of one backend for one batch and number of steps, with the ends of its 95% interval."""

    backend: str
    total_s: float
    low_s: float | None
    high_s: float | None

    @property
    def text(self) -> str:
        """The total with its interval: ``100 ms [90.0 to 110 ms]``."""
        if self.low_s is None or self.high_s is None:
            return format_seconds(self.total_s)
        return f"{format_seconds(self.total_s)} [{interval_s(self.low_s, self.high_s).replace('..', ' to ')}]"


@dataclass(frozen=True)
class Cell:
    """One answer of a map.

    Attributes:
        batch: rows.
        steps: how many.
        verdict: whether the first of ``leaders`` is proven fastest, they are proven equal, or neither.
        leaders: the backends between which the answer lies, fastest first.
        totals: every backend, fastest first.
        estimated: whether any of it was not measured for this very batch.
    """

    batch: int
    steps: int
    verdict: Verdict
    leaders: tuple[str, ...]
    totals: tuple[Total, ...]
    estimated: bool = False

    @property
    def lines(self) -> list[str]:
        """What the map shows, on one line or on two, distinct without colour."""
        if self.verdict == "none":
            return ["-"]
        about = "~" if self.estimated else ""
        first, *others = self.leaders
        if self.verdict == "fastest":
            return [about + first]
        other = others[0] if len(others) == 1 else f"{len(others)} more"
        return [about + first, f"{SIGNS[self.verdict]} {other}"]

    @property
    def sentence(self) -> str:
        """The answer in words, with the next best."""
        case = f"{counted(self.batch, 'row')}, {counted(self.steps, 'step')}"
        if self.verdict == "none":
            return f"{case}: nothing measured."
        basis = " Estimated from other batches." if self.estimated else ""
        if self.verdict == "fastest":
            best, *others = self.totals
            rest = f", {others[0].total_s / best.total_s:.3g} times as fast as {others[0].backend}" if others else ""
            return f"{case}: {self.leaders[0]} is fastest with {format_seconds(best.total_s)} in all{rest}.{basis}"
        names = _listed(self.leaders)
        said = "tie within the margin" if self.verdict == "tie" else "cannot be told apart with what was measured"
        return f"{case}: {names} {said}.{basis}"


@dataclass(frozen=True)
class Card:
    """One map with its sentence: a run, network, precision, device and state of the compile cache."""

    run: str
    network: str
    dtype: str
    device: str
    threads: int
    cache: str
    sentence: str
    cells: tuple[Cell, ...]

    @property
    def about(self) -> str:
        """Size of the network in words."""
        try:
            network = Workload.parse(self.network).network
        except ValueError:
            return self.dtype
        hidden = len(network.sizes) - 2
        return f"{counted(hidden, 'hidden layer')}, {counted(network.parameter_count, 'parameter')}, {self.dtype}"

    @property
    def steps(self) -> list[int]:
        """The columns."""
        return sorted({cell.steps for cell in self.cells})

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The map, a row a batch, for the page."""
        by_batch: dict[int, list[dict[str, Any]]] = {}
        for index, cell in enumerate(self.cells):
            looks = [look_of(name).colour for name in cell.leaders[:2]]
            by_batch.setdefault(cell.batch, []).append(
                {
                    "index": index,
                    "verdict": cell.verdict,
                    "estimated": cell.estimated,
                    "lines": cell.lines,
                    "label": cell.sentence,
                    "colours": looks,
                }
            )
        return [{"batch": batch, "cells": cells} for batch, cells in sorted(by_batch.items())]

    @property
    def first(self) -> int:
        """The cell that is shown first: the middle batch at `MIDDLE_STEPS`."""
        batches = sorted({cell.batch for cell in self.cells})
        wanted = (batches[len(batches) // 2], MIDDLE_STEPS)
        return next((k for k, cell in enumerate(self.cells) if (cell.batch, cell.steps) == wanted), 0)

    @property
    def payload(self) -> dict[str, Any]:
        """What the page needs in addition to the map itself."""
        cells = [
            {"sentence": cell.sentence, "totals": [{**total._asdict(), "text": total.text} for total in cell.totals]}
            for cell in self.cells
        ]
        return {"first": self.first, "cells": cells}


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


STEPS = tuple(10**power for power in range(7))
"""Numbers of steps on the maps."""

GRID_POINTS = 25
"""Batches between the smallest and the largest at which crossovers are looked for."""

LINE = ["run", "network", "dtype", "device", "threads"]
"""What the cases of one line of a chart have in common, in addition to the phase."""

CHANGE = ["before", "after", "label", "low", "high", "band_low", "band_high"]
"""Columns of a crossover or break-even point, in addition to its place."""

CACHES = ("warm", "cold")


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
    for (run, dtype, device, threads), timed_rows in good.groupby(["run", "dtype", "device", "threads"], sort=False):
        everything = frame[(frame["run"] == run) & (frame["dtype"] == dtype) & (frame["device"] == device)]
        rows = everything[everything["threads"] == threads]
        batches = {str(network): _batches(cells) for network, cells in timed_rows.groupby("network", sort=False)}
        cases = [Shape(network, batch) for network, measured in batches.items() for batch in measured]
        along = {network: batch_grid(measured) for network, measured in batches.items()}
        grid = [Shape(network, batch) for network, points in along.items() for batch in points]
        every_job = costs.costs(rows, [*cases, *grid])
        if not every_job:
            continue
        compiled = {
            job.backend: compiling.compile_times(timed_rows[timed_rows["backend"] == job.backend]) for job in every_job
        }
        measured = {
            (str(b), str(n), int(size)) for b, n, size in timed_rows[["backend", "network", "batch"]].to_numpy()
        }
        for cache in (name for name in CACHES if name in set(timed_rows["cache"])):
            conditions = (str(run), str(dtype), str(device), int(threads), cache)
            for network in batches:
                yield _outlook(compiled, every_job, cases, grid, network, conditions, measured)


def _outlook(
    compiled: dict[str, CompileTimes],
    every_job: list[Cost],
    cases: list[Shape],
    grid: list[Shape],
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
        jobs = [_at(job, [position], compiled, case, cache) for job in every_job]
        new = {job.backend for job in jobs if (job.backend, *case) not in measured}
        for steps, (ranked, decided) in zip(STEPS, decision.standings(jobs, STEPS, MARGIN), strict=True):
            cells.append(_cell(case[1], steps, ranked, decided, new))
        costs += [{"batch": case[1], "backend": job.backend, **_parts(job)} for job in jobs]
        changes[case[1]] = tuple(crossover.step_changes(jobs))
    points = [len(cases) + position for position, case in enumerate(grid) if case[0] == network]
    middle = sorted(changes)[len(changes) // 2]
    along = [_at(job, points, compiled, Shape(network, middle), cache) for job in every_job]
    batch_changes = tuple(crossover.batch_changes(along, [grid[p - len(cases)][1] for p in points], MIDDLE_STEPS))
    return Outlook(
        run, network, dtype, device, threads, cache, tuple(cells), tuple(costs), batch_changes, changes
    )  # fmt: skip


def _at(job: Cost, positions: list[int], compiled: dict[str, CompileTimes], case: Shape, cache: str) -> Cost:
    """Return a job at some of its cases, with the compile time of ``case`` under ``cache``."""
    compile_s, state = compiling.compile_s(compiled[job.backend], case, cache, np.random.default_rng(0))
    narrow = {name: getattr(job, name)[:, positions] for name in ("place_s", "call_s", "step_s")}
    return replace(job, compile_s=compile_s, cache=state, **narrow)


def _cell(batch: int, steps: int, ranked: list[Standing], decided: dict[str, Any], new: set[str]) -> Cell:
    leaders = tuple(decided["backends"])
    totals = tuple(
        Total(standing.cost.backend, standing.total_s, standing.low_s, standing.high_s) for standing in ranked
    )
    return Cell(batch, steps, decided["outcome"], leaders, totals, bool(new & set(leaders)))


def _parts(job: Cost) -> dict[str, Any]:
    """Return the middle of each part of a total, in seconds."""
    return {**decision.parts_of(job), "fixed_s": float(np.median(job.fixed_s[:, 0])), "phase": job.phase}


def phase_changes(cells: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield where the fastest backend changes along the batch, for each phase by itself, as rows.

    Args:
        cells: of `bench.report.judged.cells`.
    """
    zero = np.zeros((DRAWS, 1))
    for conditions, rows in cells.groupby(["run", "dtype", "device", "threads", "phase"], sort=False):
        run, dtype, device, threads, phase = conditions
        along = {
            str(network): batch_grid(_batches(of_network))
            for network, of_network in rows.groupby("network", sort=False)
        }
        grid = [Shape(network, batch) for network, points in along.items() for batch in points]
        jobs = []
        for number, (backend, known) in enumerate(rows.groupby("backend", sort=False)):
            seconds, bases = costs.phase_s(known, grid, np.random.default_rng([0, number]))
            jobs.append(Cost(str(backend), zero, zero, zero, zero, seconds, bases[0], str(phase), ""))
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


def sentence(outlook: Outlook) -> str:
    """Return two or three sentences: along the batch, along the steps, and how sure."""
    parts = [along_batch(outlook), along_steps(outlook), proven(outlook.cells)]
    return " ".join(part for part in parts if part)


def along_batch(outlook: Outlook) -> str:
    """Return which backend ends `MIDDLE_STEPS` steps first, from batch to batch."""
    case = f"For {format_count(MIDDLE_STEPS)} steps"
    changes = outlook.batch_changes
    if not changes:
        cells = [cell for cell in outlook.cells if cell.steps == MIDDLE_STEPS]
        best = Counter(cell.totals[0].backend for cell in cells).most_common(1)[0][0]
        sure = all(cell.verdict == "fastest" for cell in cells)
        return f"{case}, {best} {'is fastest' if sure else 'leads'} {_span(cells)}."
    stretches = [
        f"{change.before} up to {interval(change)}{' rows' if not k else ''}" for k, change in enumerate(changes)
    ]
    return f"{case}, the best is {', '.join(stretches)}, then {changes[-1].after}."


def along_steps(outlook: Outlook) -> str:
    """Return which backends overtake others as the steps grow, at the middle batch."""
    batches = sorted(outlook.step_changes)
    batch = batches[len(batches) // 2]
    changes = [change for change in outlook.step_changes[batch] if change.at > 1]
    if not changes:
        return ""
    said = [f"{change.after} overtakes {change.before} after {interval(change)} steps" for change in changes]
    return f"At {counted(batch, 'row')}, {'; '.join(said)}."


def proven(cells: Sequence[Cell]) -> str:
    """Return how many answers of the map are proven, tied and open."""
    counts = Counter(str(cell.verdict) for cell in cells)
    if counts["fastest"] == len(cells):
        return (
            "The answer on the map is proven."
            if len(cells) == 1
            else f"All {len(cells)} answers on the map are proven."
        )
    kinds = (("fastest", "proven fastest"), ("tie", "proven equal"), ("undecided", "undecided"))
    said = ", ".join(f"{counts[kind]} {words}" for kind, words in kinds if counts[kind])
    return f"{counted(len(cells), 'answer')} on the map: {said}."


def interval(change: Change) -> str:
    """Return the place of a change with its 95 % interval, of three digits: ``1,030 [694 to 2,000]``."""
    low = _whole(change.low) if change.low > 0 else "below"
    high = _whole(change.high) if math.isfinite(change.high) else "beyond"
    return f"{_whole(change.at)} [{low} to {high}]"


def _whole(count: float) -> str:
    """Return a count without a fraction, of three digits at most: nobody has a tenth of a row."""
    return format_count(round(float(f"{count:.2e}")))


def _span(cells: Sequence[Cell]) -> str:
    batches = sorted(cell.batch for cell in cells)
    if len(batches) == 1:
        return f"at {counted(batches[0], 'row')}"
    return f"at every batch from {format_count(batches[0])} to {format_count(batches[-1])} rows"
