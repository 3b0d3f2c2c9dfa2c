"""The chapter on cost: what a process pays once, and from how many steps on that pays.

Tests: `tests/bench/report/test_html.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.report import charts
from bench.report.exhibits import COST_COLUMNS, GRID, INTERVAL, Column, Exhibit, Part, interval
from bench.report.outlook import STEPS

if TYPE_CHECKING:
    import pandas as pd

    from bench.report.marks import Theme

PROCESS = (*GRID[:-1], "batch", "cache")
"""What the rows of this chapter are narrowed by: they are of a process, not of a phase."""


def cost(theme: Theme, rows: dict[str, pd.DataFrame]) -> Part:
    """What is paid once, and when that pays."""
    return Part(
        id="cost",
        title="Cost",
        lead="Every new process pays for importing and compiling before its first step. This can cost more than all "
        "its steps.",
        exhibits=(
            _ledger(theme, rows),
            _total(theme, rows),
            _break_even(rows),
        ),
    )


def _ledger(theme: Theme, rows: dict[str, pd.DataFrame]) -> Exhibit:
    return Exhibit(
        id="ledger",
        title="Cost ledger",
        lead="What a fresh process pays in addition to the steps. From dark to light: import, compile, placing "
        "the batch, and the overhead of a call from Python. The table has the time of one step inside train.",
        frame=rows["ledger"],
        columns=(
            *COST_COLUMNS,
            Column("import_s", "import", "seconds"),
            Column("compile_s", "compile", "seconds"),
            Column("place_s", "place", "seconds"),
            Column("call_s", "call", "seconds"),
            Column("fixed_s", "before the steps", "seconds"),
            Column("step_s", "one step", "seconds"),
            Column("flop_per_s", "FLOP/s", "rate"),
            Column("bytes_per_s", "B/s", "rate"),
            Column("peak_bytes", "peak memory", "bytes"),
        ),
        filters=PROCESS,
        spec=charts.fixed_costs(theme),
        extent=("fixed_s",),
        alternative=("backend", "backend", "fixed_s"),
    )


def _total(theme: Theme, rows: dict[str, pd.DataFrame]) -> Exhibit:
    return Exhibit(
        id="total",
        title="Total time against number of steps",
        lead="Import, compile, place, then this number of steps of training. Dotted vertical lines are break-even "
        "points: there a backend that starts later has caught up.",
        frame=rows["totals"],
        columns=(
            *COST_COLUMNS,
            Column("steps", "steps", "count"),
            Column("total_s", "in all", "seconds"),
            *INTERVAL,
        ),
        filters=PROCESS,
        spec=charts.totals(theme),
        sources={"break_even": rows["break_even"][rows["break_even"]["steps"] <= STEPS[-1]]},
        extent=("total_s", "steps"),
        alternative=("backend", "steps", "total_s"),
    )


def _break_even(rows: dict[str, pd.DataFrame]) -> Exhibit:
    return Exhibit(
        id="break-even",
        title="Break-even",
        lead="From this number of steps on, the faster step of the second backend has paid for its longer start.",
        frame=rows["break_even"],
        columns=(
            *COST_COLUMNS[:-1],
            Column("before", "fastest up to"),
            Column("after", "fastest from"),
            Column("steps", "steps", "number"),
            *interval("number"),
        ),
        filters=PROCESS,
        empty="One backend is fastest from the first step on.",
    )
