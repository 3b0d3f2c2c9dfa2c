"""The parts of the page and their exhibits, in order, with how each is to be read.

Rows come from `bench.report.rows` and `bench.report.trust_rows`, charts from `bench.report.charts`.

Tests: `tests/bench/report/test_html.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.report import charts
from bench.report.exhibits import CASE_COLUMNS, COST_COLUMNS, GRID, INTERVAL, NO_LIMIT, Column, Exhibit, Part
from bench.report.outlook import STEPS

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
            Exhibit(
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
            ),
            Exhibit(
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
                    Column("low", "95 % from", "number"),
                    Column("high", "95 % to", "number"),
                ),
                filters=GRID,
                empty="The same backend is fastest at every batch that was measured here.",
            ),
            Exhibit(
                id="ratio",
                title="Against numpy, and against the idiom",
                lead="How many times as fast as the numpy backend; or as the same framework written the way its "
                "documentation would. Above the line is faster.",
                frame=rows["ratios"],
                columns=(
                    *CASE_COLUMNS,
                    Column("against", "compared with"),
                    Column("ratio", "times as fast", "ratio"),
                    Column("low", "95 % from", "ratio"),
                    Column("high", "95 % to", "ratio"),
                ),
                filters=(*GRID, "reference"),
                spec=charts.ratios(theme),
                extent=("ratio",),
                alternative=("backend", "batch", "ratio"),
                empty="There is nothing to compare with here: the reference was not measured.",
            ),
            Exhibit(
                id="share",
                title="Share of the machine's limit",
                lead="The least possible time over the measured one: 100 % cannot be beaten. Small batches are all "
                "overhead.",
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
            ),
        ),
    )


def cost(theme: Theme, rows: dict[str, pd.DataFrame]) -> Part:
    """What is paid once, and when that pays."""
    grid = (*GRID[:-1], "batch", "cache")
    return Part(
        id="cost",
        title="Cost",
        lead="Every new process pays for importing and compiling before its first step. This can cost more than all "
        "its steps.",
        exhibits=(
            Exhibit(
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
                filters=grid,
                spec=charts.fixed_costs(theme),
                extent=("fixed_s",),
                alternative=("backend", "backend", "fixed_s"),
            ),
            Exhibit(
                id="total",
                title="Total time against number of steps",
                lead="Import, compile, place, then this number of steps of training. Dotted vertical lines are "
                "break-even "
                "points: there a backend that starts later has caught up.",
                frame=rows["totals"],
                columns=(
                    *COST_COLUMNS,
                    Column("steps", "steps", "count"),
                    Column("total_s", "in all", "seconds"),
                    *INTERVAL,
                ),
                filters=grid,
                spec=charts.totals(theme),
                sources={"break_even": rows["break_even"][rows["break_even"]["steps"] <= STEPS[-1]]},
                extent=("total_s", "steps"),
                alternative=("backend", "steps", "total_s"),
            ),
            Exhibit(
                id="break-even",
                title="Break-even",
                lead="From this number of steps on, the faster step of the second backend has paid for its longer "
                "start.",
                frame=rows["break_even"],
                columns=(
                    *COST_COLUMNS[:-1],
                    Column("before", "fastest up to"),
                    Column("after", "fastest from"),
                    Column("steps", "steps", "number"),
                    Column("low", "95 % from", "number"),
                    Column("high", "95 % to", "number"),
                ),
                filters=grid,
                empty="One backend is fastest from the first step on.",
            ),
        ),
    )


def trust(theme: Theme, rows: dict[str, pd.DataFrame], conformance_lead: str, repeat_lead: str) -> Part:
    """Why the figures may be believed, and where not."""
    return Part(
        id="trust",
        title="Trust",
        lead="Every backend was proven right before it was timed, and one backend was timed against its own copy.",
        exhibits=(
            Exhibit(
                id="conformance",
                title="Conformance",
                lead=conformance_lead,
                frame=rows["conformance"],
                columns=(
                    Column("run", "run"),
                    Column("network", "network"),
                    Column("dtype", "precision"),
                    Column("claim", "claim"),
                    Column("backend", "backend"),
                    Column("ratio", "error / bound", "number"),
                    Column("passed", "passed", "yes"),
                ),
                filters=("network", "dtype"),
                spec=charts.conformance(theme),
                extent=("shown",),
                alternative=("backend", "backend", "ratio"),
            ),
            Exhibit(
                id="repeats",
                title="The same backend, twice",
                lead=repeat_lead,
                frame=rows["repeats"],
                columns=(
                    *CASE_COLUMNS,
                    Column("ratio", "copy / first", "number"),
                    Column("low", "95 % from", "number"),
                    Column("high", "95 % to", "number"),
                    Column("verdict", "verdict"),
                ),
                filters=GRID,
                spec=charts.repeats(theme),
                sources={"margin": rows["margin"]},
                extent=("low", "high"),
                alternative=("backend", "batch", "ratio"),
                empty="This run has no A/A arm.",
            ),
            Exhibit(
                id="set-aside",
                title="Rounds set aside",
                lead="Rounds that the machine spoiled (a lost core, steal time, throttling) are recognised and "
                "excluded from the estimates.",
                frame=rows["set_aside"],
                columns=(
                    *CASE_COLUMNS,
                    Column("rounds", "kept", "count"),
                    Column("set_aside", "set aside", "count"),
                    Column("share", "share", "percent"),
                    Column("involuntary_switches", "cores taken away", "count"),
                    Column("steal_s", "stolen", "seconds"),
                    Column("cpu_per_wall", "CPU / wall", "number"),
                    Column("load_average", "load", "number"),
                ),
                filters=GRID,
                spec=charts.set_aside(theme),
                extent=("share",),
                alternative=("backend", "batch", "share"),
                wide=True,
            ),
            Exhibit(
                id="failed",
                title="Not ranked",
                lead="Backends that failed, crashed, ran out of time or memory, or computed something else, with the "
                "reason.",
                frame=rows["failures"],
                columns=(
                    Column("run", "run"),
                    Column("backend", "backend"),
                    Column("status", "status"),
                    Column("reason", "reason"),
                    Column("where", "where"),
                    Column("cells", "cells", "count"),
                ),
                empty="Every backend that was asked for was measured everywhere.",
            ),
            Exhibit(
                id="receipt",
                title="Fairness receipt",
                lead="The conditions as each process observed them. Marked: a field that should agree between backends "
                "and does not.",
                frame=rows["receipts"],
                columns=(
                    Column("run", "run"),
                    Column("field", "condition"),
                    Column("value", "observed"),
                    Column("backends", "backends"),
                    Column("unlike", "unlike", "yes"),
                ),
            ),
        ),
    )


def runs(rows: dict[str, pd.DataFrame], over_time: Sequence[Exhibit] = ()) -> Part:
    """What was measured where, what changed ``over_time``, and what differs."""
    exhibits = [
        *over_time,
        Exhibit(
            id="run-list",
            title="Runs",
            lead="What this page was made from.",
            frame=rows["runs"],
            columns=(
                Column("run", "run"),
                Column("machine", "machine"),
                Column("created", "measured"),
                Column("cells", "cells", "count"),
                Column("processes", "processes", "count"),
                Column("command", "command"),
            ),
        ),
    ]
    if len(rows["unlike"]):
        differing = Exhibit(
            id="unlike",
            title="Unlike conditions",
            lead="Conditions in which the runs differ. A difference in time between these runs may come from them and "
            "not from the code.",
            frame=rows["unlike"],
            columns=(
                Column("field", "condition"),
                Column("backend", "backend"),
                Column("run", "run"),
                Column("value", "observed"),
            ),
        )
        exhibits.append(differing)
    return Part(
        id="runs",
        title="Runs",
        lead="Runs are shown side by side and are never blended.",
        exhibits=tuple(exhibits),
    )
