"""``python -m bench export``: stored rows as one Parquet or CSV file."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli import SUCCESS, flags


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help="a folder, a run id or its beginning, or latest")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--parquet", type=Path, metavar="FILE", help="types and lists kept")
    form.add_argument("--csv", type=Path, metavar="FILE", help="lists joined by spaces")
    parser.add_argument("--columns", action="store_true", help="list every column with its unit")
    flags.add_results(parser)


def run(args: argparse.Namespace) -> int:
    """Write the file."""
    from bench import results
    from bench.errors import UsageError
    from bench.files import check_output
    from bench.results.export import write_csv, write_parquet
    from bench.results.rows import MANIFEST, ROWS
    from bench.terminal import terminal

    path: Path | None = args.parquet or args.csv
    if not (path or args.columns):
        raise UsageError("nothing to do: name a file with --parquet FILE or --csv FILE, or ask for --columns")
    out = terminal.console()
    if args.columns:
        rows = [(column.name, column.unit, column.doc) for column in results.COLUMNS]
        out.print(terminal.table([("column", "left"), ("unit", "left"), ("meaning", "left")], rows))
    if path:
        read = results.runs(args.results)
        inputs = {f"run {run.id}": run.path / name for run in read for name in (ROWS, MANIFEST)}
        check_output(path, "--parquet" if args.parquet else "--csv", inputs)
        frame = results.load(*args.runs, root=args.results)
        (write_parquet if args.parquet else write_csv)(frame, path)
        out.print(f"{len(frame):,} rows, {len(frame.columns)} columns, written to {path}")
    return SUCCESS
