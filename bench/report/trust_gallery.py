"""The exhibits of trust and of the runs themselves: why the figures may be believed, and where not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.report import trust_charts
from bench.report.exhibits import Column, Exhibit, Part
from bench.report.gallery import CASE_COLUMNS, GRID

if TYPE_CHECKING:
    import pandas as pd

    from bench.report.marks import Theme


def trust(theme: Theme, rows: dict[str, pd.DataFrame], conformance_lead: str, repeat_lead: str) -> Part:
    """Why the figures may be believed, and where not."""
    return Part(
        "trust",
        "Trust",
        "Nothing was timed before it was proven right, and the instrument was timed against itself.",
        (
            Exhibit(
                "conformance",
                "Conformance",
                conformance_lead,
                rows["conformance"],
                (
                    Column("run", "run"),
                    Column("network", "network"),
                    Column("dtype", "precision"),
                    Column("claim", "claim"),
                    Column("backend", "backend"),
                    Column("ratio", "error / bound", "number"),
                    Column("passed", "passed", "yes"),
                ),
                ("network", "dtype"),
                trust_charts.conformance(theme),
                {},
                ("shown",),
                ("backend", "backend", "ratio"),
            ),
            Exhibit(
                "repeats",
                "The same backend, twice",
                repeat_lead,
                rows["repeats"],
                (
                    *CASE_COLUMNS,
                    Column("ratio", "copy / first", "number"),
                    Column("low", "95% from", "number"),
                    Column("high", "95% to", "number"),
                    Column("verdict", "verdict"),
                ),
                GRID,
                trust_charts.repeats(theme),
                {"margin": rows["margin"]},
                ("low", "high"),
                ("backend", "batch", "ratio"),
                "This run has no A/A arm.",
            ),
            Exhibit(
                "set-aside",
                "Rounds set aside",
                "Rounds that the machine spoiled (a lost core, steal, throttling) are recognised and kept out of the "
                "figures.",
                rows["set_aside"],
                (
                    *CASE_COLUMNS,
                    Column("rounds", "kept", "count"),
                    Column("set_aside", "set aside", "count"),
                    Column("share", "share", "percent"),
                    Column("involuntary_switches", "cores taken away", "count"),
                    Column("steal_s", "stolen", "seconds"),
                    Column("cpu_per_wall", "CPU / wall", "number"),
                    Column("load_average", "load", "number"),
                ),
                GRID,
                trust_charts.set_aside(theme),
                {},
                ("share",),
                ("backend", "batch", "share"),
                wide=True,
            ),
            Exhibit(
                "failed",
                "Not ranked",
                "Backends that failed, crashed, ran out of time or memory, or computed something else, with the "
                "reason.",
                rows["failures"],
                (
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
                "receipt",
                "Fairness receipt",
                "The conditions as each process observed them. Marked: a field that should agree between backends "
                "and does not.",
                rows["receipts"],
                (
                    Column("run", "run"),
                    Column("field", "condition"),
                    Column("value", "observed"),
                    Column("backends", "backends"),
                    Column("unlike", "unlike", "yes"),
                ),
            ),
        ),
    )


def runs(rows: dict[str, pd.DataFrame]) -> Part:
    """What was measured where, and what differs."""
    exhibits = [
        Exhibit(
            "run-list",
            "Runs",
            "What this page was made from.",
            rows["runs"],
            (
                Column("run", "run"),
                Column("machine", "machine"),
                Column("created", "measured"),
                Column("cells", "cells", "count"),
                Column("processes", "processes", "count"),
                Column("command", "command"),
            ),
        )
    ]
    if len(rows["unlike"]):
        differing = Exhibit(
            "unlike",
            "Unlike conditions",
            "Fields in which the runs differ. Where these matter, a difference in time says nothing about the code "
            "alone.",
            rows["unlike"],
            (
                Column("field", "condition"),
                Column("backend", "backend"),
                Column("run", "run"),
                Column("value", "observed"),
            ),
        )
        exhibits.append(differing)
    return Part("runs", "Runs", "Runs stand side by side and are never blended.", tuple(exhibits))
