"""``python -m bench export``: stored rows as one Parquet or CSV file."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli import SUCCESS


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help="a folder, a run id or its beginning, or latest")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--parquet", type=Path, metavar="FILE", help="types and lists kept")
    form.add_argument("--csv", type=Path, metavar="FILE", help="lists joined by spaces")
    parser.add_argument("--columns", action="store_true", help="list every column with its unit")
    parser.add_argument("--results", type=Path, metavar="DIR", help="folder of all runs (results)")


def run(args: argparse.Namespace) -> int:
    """Write the file."""
    from bench import results
    from bench.errors import UsageError
    from bench.results.export import write_csv, write_parquet
    from bench.terminal import terminal

    path: Path | None = args.parquet or args.csv
    if not (path or args.columns):
        raise UsageError("nothing to do: name a file with --parquet FILE or --csv FILE, or ask for --columns")
    out = terminal.console()
    if args.columns:
        rows = [(column.name, column.unit, column.doc) for column in results.COLUMNS]
        out.print(terminal.table([("column", "left"), ("unit", "left"), ("meaning", "left")], rows))
    if path:
        frame = results.load(*args.runs, root=args.results)
        (write_parquet if args.parquet else write_csv)(frame, path)
        out.print(f"{len(frame):,} rows, {len(frame.columns)} columns, written to {path}")
    return SUCCESS
