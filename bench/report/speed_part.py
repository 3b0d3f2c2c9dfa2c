"""The chapter on speed: time against batch, crossovers, ratios and shares of the limit.

Tests: `tests/bench/report/test_html.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.report import charts
from bench.report.exhibits import CASE_COLUMNS, GRID, INTERVAL, NO_LIMIT, Column, Exhibit, Part, interval

if TYPE_CHECKING:
    import pandas as pd

    from bench.report.marks import Theme


def speed(theme: Theme, rows: dict[str, pd.DataFrame]) -> Part:
    """Time against batch, ratios, share of the limit."""
    return Part(
        id="speed",
        title="Speed",
        lead="Steady times, after compiling and warming up. Bars and bands are 95 % intervals over fresh processes.",
        exhibits=(
            _time(theme, rows),
            _crossovers(rows),
            _ratio(theme, rows),
            _share(theme, rows),
        ),
    )


def _time(theme: Theme, rows: dict[str, pd.DataFrame]) -> Exhibit:
    return Exhibit(
        id="time",
        title="Time against batch",
        lead="One call of the phase; for train, one step inside the framework's own loop. Both axes are "
        "logarithmic. The dash-dotted line is the limit of this machine, as far as the times reach. Dotted "
        "vertical lines are crossovers with their interval.",
        frame=rows["cells"],
        columns=(
            *CASE_COLUMNS,
            Column("seconds", "time", "seconds"),
            *INTERVAL,
            Column("verdict", "against the fastest"),
            Column("processes", "processes", "count"),
            Column("rounds", "rounds", "count"),
        ),
        filters=GRID,
        spec=charts.times(theme),
        sources={"limit": rows["limits"], "crossovers": rows["crossovers"]},
        extent=("seconds",),
        alternative=("backend", "batch", "seconds"),
        wide=True,
    )


def _crossovers(rows: dict[str, pd.DataFrame]) -> Exhibit:
    return Exhibit(
        id="crossovers",
        title="Crossovers",
        lead="The number of rows at which the fastest backend changes, interpolated between measured batches. "
        "A dash means that the interval is open on that side.",
        frame=rows["crossovers"],
        columns=(
            *CASE_COLUMNS[:6],
            Column("before", "fastest below"),
            Column("after", "fastest above"),
            Column("batch", "rows", "number"),
            *interval("number"),
        ),
        filters=GRID,
        empty="The same backend is fastest at every batch that was measured here.",
    )


def _ratio(theme: Theme, rows: dict[str, pd.DataFrame]) -> Exhibit:
    return Exhibit(
        id="ratio",
        title="Against numpy, and against the idiom",
        lead="How many times as fast as the numpy backend; or as the same framework written the way its "
        "documentation would. Above the line is faster.",
        frame=rows["ratios"],
        columns=(
            *CASE_COLUMNS,
            Column("against", "compared with"),
            Column("ratio", "times as fast", "ratio"),
            *interval("ratio"),
        ),
        filters=(*GRID, "reference"),
        spec=charts.ratios(theme),
        extent=("ratio",),
        alternative=("backend", "batch", "ratio"),
        empty="There is nothing to compare with here: the reference was not measured.",
    )


def _share(theme: Theme, rows: dict[str, pd.DataFrame]) -> Exhibit:
    return Exhibit(
        id="share",
        title="Share of the machine's limit",
        lead="The least possible time over the measured one: 100 % cannot be beaten. Small batches are all overhead.",
        frame=rows["shares"],
        columns=(
            *CASE_COLUMNS,
            Column("seconds", "time", "seconds"),
            Column("limit_s", "limit", "seconds"),
            Column("binds", "bound by"),
            Column("share", "share", "percent"),
        ),
        filters=GRID,
        spec=charts.shares(theme),
        extent=("share",),
        alternative=("backend", "batch", "share"),
        empty=NO_LIMIT,
    )
