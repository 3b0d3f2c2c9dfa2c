"""From stored rows to the page: its tables, what is chosen at first, what is said of each run.

Tests: `tests/bench/report/test_html.py`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from bench.basics.errors import UsageError
from bench.basics.formats import format_percent
from bench.basics.names import FASTER, MARGIN, SLOWER
from bench.limits.peers import short_name
from bench.report import cost_part, over_ranks, over_time, rows, runs_part, speed_part, trust_part, trust_rows
from bench.report.answers import Card
from bench.report.crossovers import CHANGE, LINE, phase_changes
from bench.report.html import Page, in_order
from bench.report.marks import Theme, unchecked
from bench.report.outlook import Outlook, outlooks
from bench.report.sentences import sentence
from bench.results import timed
from bench.verdicts.conditions import busy
from bench.verdicts.statistics import OF_PROCESSES

if TYPE_CHECKING:
    import pandas as pd

    from bench.limits.ceilings import Ceilings

FIRST = {"dtype": "float32", "device": "cpu", "phase": "step", "cache": "warm", "reference": rows.NUMPY}
"""What the page shows first, where it was measured."""


def page(
    frame: pd.DataFrame,
    ceilings: Mapping[str, Ceilings],
    commands: Mapping[str, str],
    labels: Mapping[str, str] | None = None,
    levels: pd.DataFrame | None = None,
) -> Page:
    """Return the page of some runs.

    Args:
        frame: of `bench.results.load`.
        ceilings: measured limits, by machine.
        commands: what measured each run, by run.
        labels: what the author calls each run, by run.
        levels: of `bench.verdicts.history.levels`: these and earlier runs of the same machines.

    Raises:
        UsageError: nothing was timed.
    """
    if timed(frame, arm="").empty:
        reasons = ", ".join(dict.fromkeys(frame["status"])) or "no rows"
        raise UsageError(f"nothing to show: no cell was timed ({reasons}); measure with: python -m bench run --quick")
    frame = frame.assign(backend=frame["backend"].map(short_name))
    slim = without_receipts(frame)
    expected = list(outlooks(slim))
    tables = tables_of(frame, slim, expected, ceilings)
    tables["runs"] = run_rows(frame, commands)
    theme = Theme(tuple(in_order(frame["backend"].drop_duplicates())))
    earlier = over_time.rows(levels, slim) if levels is not None and len(levels) else None
    shared = over_ranks.rows(frame)
    with unchecked():
        chapters = (
            speed_part.speed(theme, tables),
            cost_part.cost(theme, tables),
            trust_part.trust(theme, tables, proof(trust_rows.without_claims(frame)), chance(tables["repeats"])),
            runs_part.runs(
                tables,
                [
                    *([over_time.exhibit(theme, earlier)] if earlier and len(earlier["main"]) else []),
                    *([over_ranks.exhibit(theme, shared)] if len(shared) else []),
                ],
            ),
        )
    return Page(
        runs=run_lines(frame, labels or {}),
        cards=[card(outlook) for outlook in expected],
        parts=chapters,
        chosen=first_choices(tables["cells"]),
        unlike=list(dict.fromkeys(tables["unlike"]["field"])),
        written=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=_version(),
    )


def tables_of(
    frame: pd.DataFrame, slim: pd.DataFrame, expected: Sequence[Outlook], ceilings: Mapping[str, Ceilings]
) -> dict[str, pd.DataFrame]:
    """Return the rows of every exhibit, by name."""
    import pandas as pd

    every = rows.estimates(slim)
    cells = rows.cells(slim, every)
    limit = rows.limits(cells, ceilings)
    return {
        "cells": cells.drop(columns=OF_PROCESSES),
        "limits": rows.limit_line(cells, limit),
        "crossovers": pd.DataFrame(phase_changes(cells), columns=[*LINE, "phase", "batch", *CHANGE]),
        "ratios": rows.ratios(cells),
        "shares": rows.shares(cells, limit),
        "ledger": rows.ledger(slim, expected),
        "totals": rows.totals(expected),
        "break_even": rows.break_even(expected),
        "conformance": trust_rows.conformance(frame),
        "repeats": trust_rows.repeats(every),
        "margin": pd.DataFrame({"low": [1 / (1 + MARGIN)], "high": [1 + MARGIN]}),
        "set_aside": trust_rows.set_aside(slim),
        "failures": trust_rows.failures(frame),
        "receipts": trust_rows.receipts(frame),
        "unlike": trust_rows.unlike(frame),
    }


def without_receipts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without the receipt's columns, and texts as plain objects: grouping is several times faster."""
    import pandas as pd

    slim = frame[[name for name in frame if not name.startswith("receipt_")]]
    texts = [name for name in slim if pd.api.types.is_string_dtype(slim[name])]
    return slim.astype(dict.fromkeys(texts, object))


def card(outlook: Outlook) -> Card:
    """Return the map of the first screen for one network."""
    return Card(outlook.conditions, sentence(outlook), outlook.cells)


def proof(older: Sequence[str]) -> str:
    """Return how the chart of conformance is to be read; ``older`` runs have the worst claim of each proof alone."""
    kept = f" Of each proof, {', '.join(older)} kept the worst claim alone: the others were no worse." if older else ""
    return (
        "Worst error over the proven rounding-error bound, claim by claim, over all batches: left of the line is "
        f"right, beyond it the backend computes something else and is not ranked.{kept}"
    )


def chance(repeats: pd.DataFrame) -> str:
    """Return what the A/A arms say, in words."""
    said = []
    for run, rows_of_run in repeats.groupby("run", sort=False):
        different = int(rows_of_run["verdict"].isin((FASTER, SLOWER)).sum())
        backend = ", ".join(rows_of_run["backend"].unique())
        said.append(
            f"{run}: {different} of {len(rows_of_run)} comparisons of {backend} with itself were called different, "
            f"a false-positive rate of {format_percent(different / len(rows_of_run))}."
        )
    margin = f"{100 * MARGIN:g}"
    return (
        f"One backend ran again under another name. {' '.join(said) or 'This run has no such arm.'} "
        f"The band is the margin of equivalence, {margin} %."
    )


def first_choices(cells: pd.DataFrame) -> dict[str, Any]:
    """Return what the selectors begin with: `FIRST` where it was measured, else what was measured first."""
    chosen: dict[str, Any] = dict(FIRST)
    for name in ("network", "dtype", "device", "threads", "phase"):
        measured = cells[name].drop_duplicates().tolist()
        if chosen.get(name) not in measured:
            chosen[name] = max(measured) if name == "threads" else measured[0]
    batches = sorted(cells["batch"].drop_duplicates().tolist())
    chosen["batch"] = batches[len(batches) // 2]
    return chosen


def run_lines(frame: pd.DataFrame, labels: Mapping[str, str]) -> list[dict[str, str]]:
    """Return id, a line of description and a warning, '' if the machine was not busy, of each run."""
    lines = []
    for run, rows_of_run in frame.groupby("run", sort=False):
        first = rows_of_run.iloc[0]
        threads = ", ".join(str(count) for count in sorted(rows_of_run["threads"].unique()))
        commit = _joined(rows_of_run.get("receipt_commit", ()))
        said = [
            labels.get(str(run), ""),
            f"{first['created']:%Y-%m-%d %H:%M}",
            _joined(rows_of_run.get("receipt_cpu_model", ())) or str(first["machine"]),
            f"{threads} thread{'' if threads == '1' else 's'}",
            f"commit {commit[:12]}" if commit else "",
        ]
        lines.append(
            {"id": str(run), "line": " \u00b7 ".join(part for part in said if part), "warning": busy(rows_of_run)}
        )
    return lines


def run_rows(frame: pd.DataFrame, commands: Mapping[str, str]) -> pd.DataFrame:
    """Return a row a run: where, when, how much, by which command."""
    runs = frame.groupby("run", sort=False, as_index=False).agg(
        machine=("machine", "first"),
        created=("created", "first"),
        cells=("status", "size"),
        processes=("order", "nunique"),
    )
    runs["created"] = runs["created"].map("{:%Y-%m-%d %H:%M:%S UTC}".format)
    runs["command"] = [commands.get(run, "") for run in runs["run"]]
    return runs


def _joined(values: Iterable[Any]) -> str:
    """Return the distinct texts, joined."""
    return ", ".join(dict.fromkeys(str(value) for value in values if isinstance(value, str) and value))


def _version() -> str:
    try:
        return version("backprop-bench")
    except PackageNotFoundError:  # a plain checkout
        return "(checkout)"
