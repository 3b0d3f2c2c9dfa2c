"""``python -m bench export``: stored rows as one Parquet or CSV file, or in a dashboard's format.

Tests: `tests/bench/results/test_results.py`, `tests/bench/results/test_dashboards.py`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli import SUCCESS, flags
from bench.cli.default_run import named_or_latest

if TYPE_CHECKING:
    import pandas as pd


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="folder, id or 'latest' comparison (the default); several together"
    )
    form = parser.add_argument_group("what is written (one of these)")
    form.add_argument("--parquet", type=Path, metavar="FILE", help="types and lists kept")
    form.add_argument("--csv", type=Path, metavar="FILE", help="lists joined by spaces")
    form.add_argument("--pytest-benchmark", type=Path, metavar="FILE", help="pytest-benchmark's JSON, of one run")
    form.add_argument("--bencher", type=Path, metavar="FILE", help="Bencher Metric Format, of one run")
    parser.add_argument("--columns", action="store_true", help="list every column with its unit")
    flags.add_results(parser)


def run(args: argparse.Namespace) -> int:
    """Write the file."""
    from bench import results
    from bench.basics.errors import UsageError
    from bench.basics.files import check_output
    from bench.results import MANIFEST, ROWS
    from bench.results.export import write_csv, write_parquet
    from bench.terminal import terminal

    forms = ("parquet", "csv", "pytest_benchmark", "bencher")
    asked = [name for name in forms if getattr(args, name)]
    if len(asked) > 1:
        raise UsageError(f"one file at a time: got {' and '.join(flag(name) for name in asked)}")
    form = asked[0] if asked else ""
    path: Path | None = getattr(args, form, None)
    if not (path or args.columns):
        raise UsageError("nothing to do: name a file with --parquet FILE or --csv FILE, or ask for --columns")
    out = terminal.console()
    if args.columns:
        rows = [(column.name, column.unit, column.doc) for column in results.COLUMNS]
        out.print(terminal.table([("column", "left"), ("unit", "left"), ("meaning", "left")], rows))
    if path:
        read = results.runs(args.results)
        inputs = {f"run {run.id}": run.path / name for run in read for name in (ROWS, MANIFEST)}
        check_output(path, flag(form), inputs)
        frame = results.load(*named_or_latest(args.runs, args.results, "export"), root=args.results)
        if form in ("pytest_benchmark", "bencher"):
            _write_for_dashboard(frame, form, path)
        else:
            (write_parquet if form == "parquet" else write_csv)(frame, path)
        out.print(f"{len(frame):,} rows, {len(frame.columns)} columns, written to {path}")
    return SUCCESS


def flag(form: str) -> str:
    """Return the flag that asks for a form."""
    return f"--{form.replace('_', '-')}"


def _write_for_dashboard(frame: pd.DataFrame, form: str, path: Path) -> None:
    """Write the rows of one run in a format that dashboards read."""
    from bench.basics.errors import UsageError
    from bench.basics.files import write_text
    from bench.basics.formats import json_ready
    from bench.results import dashboards

    if frame["run"].nunique() > 1:
        raise UsageError(f"{flag(form)} takes one run, got {', '.join(frame['run'].unique())}")
    if not (frame["status"] == "ok").any():
        raise UsageError(f"run {frame['run'].iloc[0]} has no timed cell; measure one: python -m bench run --quick")
    write_text(path, json.dumps(json_ready(getattr(dashboards, form)(frame)), indent=1) + "\n")
