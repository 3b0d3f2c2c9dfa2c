"""The chapter on the runs: what was measured where, what changed over time, and what differs.

Tests: `tests/bench/report/test_html.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.report.exhibits import Column, Exhibit, Part

if TYPE_CHECKING:
    import pandas as pd


def runs(rows: dict[str, pd.DataFrame], over_time: Sequence[Exhibit] = ()) -> Part:
    """What was measured where, what changed ``over_time``, and what differs."""
    return Part(
        id="runs",
        title="Runs",
        lead="Runs are shown side by side and are never blended.",
        exhibits=(*over_time, _run_list(rows), *([_unlike(rows)] if len(rows["unlike"]) else [])),
    )


def _run_list(rows: dict[str, pd.DataFrame]) -> Exhibit:
    return Exhibit(
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
    )


def _unlike(rows: dict[str, pd.DataFrame]) -> Exhibit:
    return Exhibit(
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
