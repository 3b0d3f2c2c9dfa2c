"""Where the fastest backend changes along the batch, as rows for the charts.

Tests: `tests/bench/report/test_totals.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.advice import crossover
from bench.advice.costs import Cost
from bench.advice.crossover import Change
from bench.advice.phases import phase_s
from bench.advice.time_model import DRAWS, Shape

if TYPE_CHECKING:
    import pandas as pd


GRID_POINTS = 25
"""Batches between the smallest and the largest at which crossovers are looked for."""

LINE = ["run", "network", "dtype", "device", "threads"]
"""What the cases of one line of a chart have in common, in addition to the phase."""

CHANGE = ["before", "after", "label", "low", "high", "band_low", "band_high"]
"""Columns of a crossover or break-even point, in addition to its place."""


def phase_changes(cells: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield where the fastest backend changes along the batch, for each phase by itself, as rows.

    Args:
        cells: of `bench.report.rows.cells`.
    """
    zero = np.zeros((DRAWS, 1))
    for conditions, rows in cells.groupby(["run", "dtype", "device", "threads", "phase"], sort=False):
        run, dtype, device, threads, phase = conditions
        along = {
            str(network): batch_grid(batches_of(of_network))
            for network, of_network in rows.groupby("network", sort=False)
        }
        grid = [Shape(network, batch) for network, points in along.items() for batch in points]
        every_cost = []
        for number, (backend, known) in enumerate(rows.groupby("backend", sort=False)):
            seconds, bases = phase_s(known, grid, np.random.default_rng([0, number]))
            every_cost.append(Cost(str(backend), zero, zero, zero, zero, seconds, bases[0], str(phase), ""))
        for network, points in along.items():
            at = [position for position, shape in enumerate(grid) if shape.network == network]
            narrow = [replace(cost, step_s=cost.step_s[:, at]) for cost in every_cost]
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


def batches_of(rows: pd.DataFrame) -> list[int]:
    """Return the batches of some rows, the smallest first."""
    return sorted(rows["batch"].drop_duplicates().astype(int).tolist())
