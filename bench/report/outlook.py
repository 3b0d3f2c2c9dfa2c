"""What is to be expected of each network of a run: totals, answers and crossovers at every measured batch.

What ``python -m bench recommend`` says of one case, for every measured case of a run at once, by `bench.advice`. It
computes no statistics itself.

Tests: `tests/bench/report/test_totals.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bench.advice import compiling, costs, crossover, decision
from bench.advice.compiling import CompileTimes
from bench.advice.costs import Cost
from bench.advice.crossover import Change
from bench.advice.decision import Standing
from bench.advice.time_model import Shape
from bench.basics.names import CACHES, MARGIN
from bench.report.answers import MIDDLE_STEPS, Cell, Conditions, Total
from bench.report.crossovers import batch_grid, batches_of
from bench.results import timed

if TYPE_CHECKING:
    import pandas as pd


STEPS = tuple(10**power for power in range(7))
"""Numbers of steps on the maps."""


class Outlook(NamedTuple):
    """What is to be expected of one network under one set of conditions.

    Attributes:
        conditions: of every answer.
        cells: an answer for each measured batch and each of `STEPS`.
        costs: one row a batch and backend: the parts of its total.
        batch_changes: where the best backend changes along the batch, for `MIDDLE_STEPS` steps.
        step_changes: by batch, where it changes along the steps.
    """

    conditions: Conditions
    cells: tuple[Cell, ...]
    costs: tuple[dict[str, Any], ...]
    batch_changes: tuple[Change, ...]
    step_changes: dict[int, tuple[Change, ...]]


def outlooks(frame: pd.DataFrame) -> Iterator[Outlook]:
    """Yield the outlook of each network, for each run, dtype, device, number of threads and state of the cache."""
    good = timed(frame, arm="")
    good = good[good["phase"].isin(("step", "train"))]
    for (run, dtype, device, threads), timed_rows in good.groupby(["run", "dtype", "device", "threads"], sort=False):
        everything = frame[(frame["run"] == run) & (frame["dtype"] == dtype) & (frame["device"] == device)]
        rows = everything[everything["threads"] == threads]
        batches = {str(network): batches_of(cells) for network, cells in timed_rows.groupby("network", sort=False)}
        along = {network: batch_grid(measured) for network, measured in batches.items()}
        cases = [Shape(network, batch) for network, measured in batches.items() for batch in measured]
        grid = [Shape(network, batch) for network, points in along.items() for batch in points]
        of_backends = costs.costs(rows, [*cases, *grid])
        if not of_backends:
            continue
        compiled = {
            cost.backend: compiling.compile_times(timed_rows[timed_rows["backend"] == cost.backend])
            for cost in of_backends
        }
        known = _Known(of_backends, cases, grid, compiled, _measured(timed_rows))
        for cache in (name for name in CACHES if name in set(timed_rows["cache"])):
            for network in batches:
                yield known.outlook(Conditions(str(run), network, str(dtype), str(device), int(threads), cache))


class _Known(NamedTuple):
    """What a run tells of one dtype, device and number of threads.

    Attributes:
        costs: of each backend, at the shapes ``[*cases, *grid]``.
        cases: the measured shapes.
        grid: those at which crossovers are looked for.
        compiled: by backend, what compiling took.
        measured: backends, networks and batches that were measured.
    """

    costs: list[Cost]
    cases: list[Shape]
    grid: list[Shape]
    compiled: dict[str, CompileTimes]
    measured: set[tuple[str, str, int]]

    def outlook(self, conditions: Conditions) -> Outlook:
        """Return what is to be expected of one network with one state of the compile cache."""
        network, cache = conditions.network, conditions.cache
        cells: list[Cell] = []
        parts: list[dict[str, Any]] = []
        changes: dict[int, tuple[Change, ...]] = {}
        for position, case in enumerate(self.cases):
            if case.network != network:
                continue
            costs = [self._at(cost, [position], case, cache) for cost in self.costs]
            new = {cost.backend for cost in costs if (cost.backend, *case) not in self.measured}
            for steps, (ranked, decided) in zip(STEPS, decision.standings(costs, STEPS, MARGIN), strict=True):
                cells.append(_cell(case.rows, steps, ranked, decided, new))
            parts += [{"batch": case.rows, "backend": cost.backend, **_parts(cost)} for cost in costs]
            changes[case.rows] = tuple(crossover.step_changes(costs))
        points = [position for position, shape in enumerate(self.grid) if shape.network == network]
        middle = Shape(network, sorted(changes)[len(changes) // 2])
        along = [self._at(cost, [len(self.cases) + point for point in points], middle, cache) for cost in self.costs]
        batches = [self.grid[point].rows for point in points]
        batch_changes = tuple(crossover.batch_changes(along, batches, MIDDLE_STEPS))
        return Outlook(conditions, tuple(cells), tuple(parts), batch_changes, changes)

    def _at(self, cost: Cost, positions: list[int], first: Shape, cache: str) -> Cost:
        """Return a cost at some of its shapes, with the compile time of the ``first`` under ``cache``."""
        compile_s, state = compiling.compile_s(self.compiled[cost.backend], first, cache, np.random.default_rng(0))
        narrow = {name: getattr(cost, name)[:, positions] for name in ("place_s", "call_s", "step_s")}
        return replace(cost, compile_s=compile_s, cache=state, **narrow)


def _measured(rows: pd.DataFrame) -> set[tuple[str, str, int]]:
    """Return backend, network and batch of each row."""
    return {(str(b), str(n), int(size)) for b, n, size in rows[["backend", "network", "batch"]].to_numpy()}


def _cell(batch: int, steps: int, ranked: list[Standing], decided: dict[str, Any], new: set[str]) -> Cell:
    leaders = tuple(decided["backends"])
    totals = tuple(
        Total(standing.cost.backend, standing.total_s, standing.low_s, standing.high_s) for standing in ranked
    )
    return Cell(batch, steps, decided["outcome"], leaders, totals, bool(new & set(leaders)))


def _parts(cost: Cost) -> dict[str, Any]:
    """Return the middle of each part of a total, in seconds."""
    return {**decision.parts_of(cost), "fixed_s": float(np.median(cost.fixed_s[:, 0])), "phase": cost.phase}
