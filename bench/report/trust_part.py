"""The chapter on trust: conformance, the A/A arm, rounds set aside, failures and receipts.

Tests: `tests/bench/report/test_html.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.report import charts
from bench.report.exhibits import CASE_COLUMNS, GRID, Column, Exhibit, Part, interval

if TYPE_CHECKING:
    import pandas as pd

    from bench.report.marks import Theme


def trust(theme: Theme, rows: dict[str, pd.DataFrame], conformance_lead: str, repeat_lead: str) -> Part:
    """Why the figures may be believed, and where not."""
    return Part(
        id="trust",
        title="Trust",
        lead="Every backend was proven right before it was timed, and one backend was timed against its own copy.",
        exhibits=(
            _conformance(theme, rows, conformance_lead),
            _repeats(theme, rows, repeat_lead),
            _set_aside(theme, rows),
            _failed(rows),
            _receipt(rows),
        ),
    )


def _conformance(theme: Theme, rows: dict[str, pd.DataFrame], conformance_lead: str) -> Exhibit:
    return Exhibit(
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
    )


def _repeats(theme: Theme, rows: dict[str, pd.DataFrame], repeat_lead: str) -> Exhibit:
    return Exhibit(
        id="repeats",
        title="The same backend, twice",
        lead=repeat_lead,
        frame=rows["repeats"],
        columns=(
            *CASE_COLUMNS,
            Column("ratio", "copy / first", "number"),
            *interval("number"),
            Column("verdict", "verdict"),
        ),
        filters=GRID,
        spec=charts.repeats(theme),
        sources={"margin": rows["margin"]},
        extent=("low", "high"),
        alternative=("backend", "batch", "ratio"),
        empty="This run has no A/A arm.",
    )


def _set_aside(theme: Theme, rows: dict[str, pd.DataFrame]) -> Exhibit:
    return Exhibit(
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
    )


def _failed(rows: dict[str, pd.DataFrame]) -> Exhibit:
    return Exhibit(
        id="failed",
        title="Not ranked",
        lead="Backends that failed, crashed, ran out of time or memory, or computed something else, with the reason.",
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
    )


def _receipt(rows: dict[str, pd.DataFrame]) -> Exhibit:
    return Exhibit(
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
    )
