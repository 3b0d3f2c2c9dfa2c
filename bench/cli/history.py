"""``history``: every stored run of this machine in order, and the cells whose time stepped."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bench.basics.formats import counted
from bench.basics.names import PHASES
from bench.cli import SUCCESS, bisect, flags

if TYPE_CHECKING:
    import pandas as pd

    from bench.results import Run


EPILOG = """\
examples:
  python -m bench history
  python -m bench history --bisect "numba 3-2-1 n=1024 step" --good v0.1
exit status: 0 done, 1 no slow commit was named, 2 wrong usage"""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("runs", nargs="*", metavar="RUN", help="only these (default: all of this machine)")
    parser.add_argument("--phase", default="step", help="place, forward, backward, update, step or train (step)")
    flags.add_margin(parser, "smaller steps are passed over")
    flags.add_results(parser)
    flags.add_json(parser)
    bisect.add_flags(parser)


def run(args: argparse.Namespace) -> int:
    """List the steps, or name the commit that made a cell slow."""
    from bench.basics.errors import UsageError

    if args.phase not in PHASES:
        raise UsageError(f"no phase {args.phase!r}; expected one of {', '.join(PHASES)}")
    if args.bisect:
        return bisect.run(args, None if args.good else _known(args))
    if args.good or args.bad:
        raise UsageError("--good and --bad are for --bisect CELL")
    return _list(args)


def _known(args: argparse.Namespace) -> tuple[str, str] | None:
    """Return the commits before and after the last stored slow-down of a cell, ``None`` if there is none."""
    from bench.verdicts import cell_name, history

    cell = cell_name.read(args.bisect)
    chosen = _chosen(args)
    if not chosen:
        return None
    slower = [
        step
        for step in history.steps(_table(args, chosen, cell.phase), args.margin)
        if step.name == cell and step.ratio > 1 and step.commit and step.commit_before
    ]
    return (slower[-1].commit_before, slower[-1].commit) if slower else None


def _chosen(args: argparse.Namespace) -> list[Run]:
    """Return the runs that were asked for, or all of this machine."""
    from bench import results
    from bench.machine import machine_id

    if args.runs:
        return [results.resolve(text, args.results) for text in args.runs]
    return [run for run in results.runs(args.results) if run.machine == machine_id()]


def _table(args: argparse.Namespace, chosen: list[Run], phase: str) -> pd.DataFrame:
    """Return the level of each cell of a phase in each run.

    Raises:
        UsageError: none of them has a time of the phase.
    """
    from bench import results
    from bench.basics.errors import UsageError
    from bench.verdicts import history

    frame = results.timed(results.load(*chosen, root=args.results))
    of_phase = frame[frame["phase"] == phase]
    if of_phase.empty:
        timed = ", ".join(name for name in PHASES if (frame["phase"] == name).any()) or "none"
        raise UsageError(
            f"no time of phase {phase} is stored in {counted(len(chosen), 'run')}, which timed: {timed}; measure it: "
            f"python -m bench run --phases {phase}"
        )
    return history.levels(of_phase)


def _list(args: argparse.Namespace) -> int:
    """List the steps."""
    from bench import results
    from bench.basics.errors import UsageError
    from bench.machine import machine_id
    from bench.verdicts import history

    chosen = _chosen(args)
    if not chosen:
        machines = ", ".join(dict.fromkeys(run.machine for run in results.runs(args.results))) or "none"
        raise UsageError(
            f"no stored run of this machine, {machine_id()}; name runs, or measure: python -m bench run --quick "
            f"(stored are runs of: {machines})"
        )
    table = _table(args, chosen, args.phase)
    level_steps = list(history.steps(table, args.margin))
    several = int((table.groupby(history.CELL).size() >= 2 * history.LEAST_SIDE).sum())
    if args.json:
        from bench.cli import document

        document.show(
            {
                "runs": [run.id for run in chosen],
                "cells": table.groupby(history.CELL).ngroups,
                "steps": [
                    {**dict(zip(history.CELL, s.cell, strict=True)), **s._asdict(), "ratio": s.ratio}
                    for s in level_steps
                ],
            }
        )
        return SUCCESS
    from bench.terminal import steps, terminal

    out = terminal.console()
    cells = table.groupby(history.CELL).ngroups
    for part in steps.history(level_steps, len(chosen), cells, chosen[-1].machine, several):
        out.print(part)
    return SUCCESS
