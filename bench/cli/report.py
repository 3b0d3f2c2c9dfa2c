"""``report``: stored runs as one offline HTML file, and the charts as SVG and PNG on request.

Tests: `tests/bench/report/test_report_command.py`.
"""

from __future__ import annotations

import argparse
import shlex
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli import flags
from bench.cli.default_run import named_or_latest

if TYPE_CHECKING:
    import pandas as pd

    from bench.report.vega import Vega
    from bench.results import Run

MOST_EARLIER = 12
"""Stored runs that the chart over time looks back on: each takes a part of a second."""

NEEDED = ("altair", "jinja2", "vl_convert")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "runs", nargs="*", metavar="RUN", help="folder, id or 'latest' comparison (the default); several side by side"
    )
    parser.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: %(default)s")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="also write every chart as SVG and PNG")
    flags.add_results(parser)
    parser.add_argument("--open", action="store_true", help="show it in the browser")


def run(args: argparse.Namespace) -> int:
    """Write the file and say where."""
    from backends.installed import is_installed
    from bench.basics.errors import UsageError
    from bench.basics.files import check_output, make_folder
    from bench.results import MANIFEST, ROWS

    if missing := [name for name in NEEDED if not is_installed(name)]:
        from bench.report.html import INSTALL

        raise UsageError(f"the report needs {', '.join(missing)}, not installed here; {INSTALL}")
    from bench.report.vega import Vega

    chosen = named_or_latest(list(dict.fromkeys(args.runs)), args.results, "report")
    check_output(args.out, "--out", {f"run {run.id}": run.path / name for run in chosen for name in (ROWS, MANIFEST)})
    if args.figures:
        make_folder(args.figures, args.figures, "choose another with --figures DIR")
    with Vega() as vega:  # first of all: bundling takes as long as the rest together
        return _write_report(args, chosen, vega)


def _write_report(args: argparse.Namespace, chosen: list[Run], vega: Vega) -> int:
    """Make the page while the scripts are bundled, write both, and say where."""
    import bench.results
    from bench.basics.files import write_text
    from bench.limits import corrections
    from bench.report import figures, html
    from bench.report.page import page
    from bench.terminal.terminal import console, format_count

    root = args.results or bench.results.results_root()
    limits = {
        stored.machine: known
        for stored in chosen
        if (known := corrections.of_run(stored, bench.results.load(stored), root)[0]) is not None
    }
    commands = {stored.id: command_of(stored.manifest.get("command")) for stored in chosen}
    labels = {stored.id: stored.label for stored in chosen}
    frame = bench.results.load(*chosen)
    document = page(frame, limits, commands, labels, _levels(chosen, args.results))
    text = html.rendered(document, vega.result())
    write_text(args.out, text)
    written = figures.write(document, args.figures) if args.figures else []
    size_mb = len(text.encode()) / 1e6
    screen = console()
    screen.print(f"{args.out} ({size_mb:.1f} MB): {', '.join(run.id for run in chosen)}", soft_wrap=True)
    if written:
        screen.print(f"{args.figures}: {format_count(len(written))} figures, SVG and PNG", soft_wrap=True)
    if args.open:
        webbrowser.open(args.out.resolve().as_uri())
    return 0


def _levels(chosen: list[Run], root: Path | None) -> pd.DataFrame | None:
    """Return the levels of the cells in the chosen runs and those before them on the same machines, if any."""
    import bench.results
    from bench.verdicts import history

    machines, newest = {run.machine for run in chosen}, max(run.created for run in chosen)
    stored = [run for run in bench.results.runs(root) if run.machine in machines and run.created <= newest]
    runs = {run.id: run for run in [*stored[-MOST_EARLIER:], *chosen]}
    if len(runs) < 2:
        return None
    frame = bench.results.load(*runs.values(), root=root)
    return history.levels(frame) if (frame["status"] == "ok").any() else None


def command_of(stored: object) -> str:
    """Return the command line that made a run, without the path of the checkout."""
    words = [str(word) for word in stored] if isinstance(stored, list) else [str(stored or "")]
    if not words:
        return ""
    return f"python -m bench {shlex.join(words[1:])}" if words[0].endswith("__main__.py") else " ".join(words)
