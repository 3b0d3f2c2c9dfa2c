"""The exhibits of speed and cost: their order, and how each is to be read. Rows come from `bench.report.evidence`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.report import speed_charts
from bench.report.exhibits import Column, Exhibit, Part
from bench.report.outlook import STEPS

if TYPE_CHECKING:
    import pandas as pd

    from bench.report.marks import Theme

CASE_COLUMNS = (
    Column("run", "run"),
    Column("network", "network"),
    Column("dtype", "precision"),
    Column("device", "device"),
    Column("threads", "threads", "count"),
    Column("phase", "phase"),
    Column("batch", "rows", "count"),
    Column("backend", "backend"),
)
COST_COLUMNS = (*CASE_COLUMNS[:5], CASE_COLUMNS[6], Column("cache", "compile cache"), CASE_COLUMNS[7])
INTERVAL = (Column("low", "95% from", "seconds"), Column("high", "95% to", "seconds"))
GRID = ("network", "dtype", "device", "threads", "phase")
NO_LIMIT = "No ceilings of this machine are stored: measure them with python -m bench ceilings"


def speed(theme: Theme, rows: dict[str, pd.DataFrame]) -> Part:
    """Time against batch, ratios, share of the limit."""
    return Part(
        "speed",
        "Speed",
        "Steady times, after compiling and warming up. Bars and bands are 95% intervals over fresh processes.",
        (
            Exhibit(
                "time",
                "Time against batch",
                "One call of the phase; for train, one step inside the framework's own loop. Both axes are "
                "logarithmic. The dash-dotted line is the time below which nothing can run on this machine; dotted "
                "verticals are the batches where the fastest backend changes, with their interval.",
                rows["cells"],
                (
                    *CASE_COLUMNS,
                    Column("seconds", "time", "seconds"),
                    *INTERVAL,
                    Column("verdict", "against the fastest"),
                    Column("processes", "processes", "count"),
                    Column("rounds", "rounds", "count"),
                ),
                GRID,
                speed_charts.times(theme),
                {"limit": rows["limits"], "crossovers": rows["crossovers"]},
                ("seconds",),
                ("backend", "batch", "seconds"),
                wide=True,
            ),
            Exhibit(
                "crossovers",
                "Crossovers",
                "The batches at which the fastest backend changes, interpolated between measured batches. A dash: the "
                "interval is open there.",
                rows["crossovers"],
                (
                    *CASE_COLUMNS[:6],
                    Column("before", "fastest below"),
                    Column("after", "fastest above"),
                    Column("batch", "rows", "number"),
                    Column("low", "95% from", "number"),
                    Column("high", "95% to", "number"),
                ),
                GRID,
                empty="The same backend is fastest at every batch that was measured here.",
            ),
            Exhibit(
                "ratio",
                "Against numpy, and against the idiom",
                "How many times as fast as the numpy backend; or as the same framework written the way its "
                "documentation would. Above the line is faster.",
                rows["ratios"],
                (
                    *CASE_COLUMNS,
                    Column("against", "compared with"),
                    Column("ratio", "times as fast", "ratio"),
                    Column("low", "95% from", "ratio"),
                    Column("high", "95% to", "ratio"),
                ),
                (*GRID, "reference"),
                speed_charts.ratios(theme),
                {},
                ("ratio",),
                ("backend", "batch", "ratio"),
                "There is nothing to compare with here: the reference was not measured.",
            ),
            Exhibit(
                "share",
                "Share of the machine's limit",
                "The least possible time over the measured one: 100 % cannot be beaten. Small batches are all "
                "overhead.",
                rows["shares"],
                (
                    *CASE_COLUMNS,
                    Column("seconds", "time", "seconds"),
                    Column("limit_s", "limit", "seconds"),
                    Column("binds", "bound by"),
                    Column("share", "share", "percent"),
                ),
                GRID,
                speed_charts.shares(theme),
                {},
                ("share",),
                ("backend", "batch", "share"),
                NO_LIMIT,
            ),
        ),
    )


def cost(theme: Theme, rows: dict[str, pd.DataFrame]) -> Part:
    """What is paid once, and when that pays."""
    grid = (*GRID[:-1], "batch", "cache")
    return Part(
        "cost",
        "Cost",
        "A fast step may be dear to reach: importing and compiling are paid by every new process, before the first "
        "step.",
        (
            Exhibit(
                "ledger",
                "Cost ledger",
                "What a fresh process pays beside the steps themselves: from dark to light, import, compile, place the "
                "batch, and what a call from Python costs. The table has the time of one step inside train.",
                rows["ledger"],
                (
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
                grid,
                speed_charts.fixed_costs(theme),
                {},
                ("fixed_s",),
                ("backend", "backend", "fixed_s"),
            ),
            Exhibit(
                "total",
                "Total time against number of steps",
                "Import, compile, place, then so many steps of training. Dotted verticals are the break-even points, "
                "where a backend that starts later has caught up.",
                rows["totals"],
                (
                    *COST_COLUMNS,
                    Column("steps", "steps", "count"),
                    Column("seconds", "in all", "seconds"),
                    *INTERVAL,
                ),
                grid,
                speed_charts.totals(theme),
                {"break_even": rows["break_even"][rows["break_even"]["steps"] <= STEPS[-1]]},
                ("seconds", "steps"),
                ("backend", "steps", "seconds"),
            ),
            Exhibit(
                "break-even",
                "Break-even",
                "From so many steps on, the second backend's faster step has paid for its dearer start.",
                rows["break_even"],
                (
                    *COST_COLUMNS[:-1],
                    Column("before", "fastest up to"),
                    Column("after", "fastest from"),
                    Column("steps", "steps", "number"),
                    Column("low", "95% from", "number"),
                    Column("high", "95% to", "number"),
                ),
                grid,
                empty="One backend is fastest from the first step on.",
            ),
        ),
    )
