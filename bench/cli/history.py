"""``history``: every stored run of this machine in order, and the cells whose time stepped."""

from __future__ import annotations

import argparse

from bench.cli import SUCCESS, flags


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help="only these (default: all of this machine)")
    parser.add_argument("--phase", default="step", help="place, forward, backward, update, step or train (step)")
    flags.add_margin(parser, "smaller steps are passed over")
    flags.add_results(parser)
    flags.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """List the steps."""
    from bench import results
    from bench.basics.errors import UsageError
    from bench.basics.names import PHASES
    from bench.machine import machine_id
    from bench.verdicts import history

    if args.phase not in PHASES:
        raise UsageError(f"no phase {args.phase!r}; expected one of {', '.join(PHASES)}")
    stored = results.runs(args.results)
    if args.runs:
        chosen = [results.resolve(text, args.results) for text in args.runs]
    else:
        chosen = [run for run in stored if run.machine == machine_id()]
    if not chosen:
        machines = ", ".join(dict.fromkeys(run.machine for run in stored)) or "none"
        raise UsageError(
            f"no stored run of this machine, {machine_id()}; name runs, or measure: python -m bench run --quick "
            f"(stored are runs of: {machines})"
        )
    frame = results.load(*chosen, root=args.results)
    table = history.levels(frame[frame["phase"] == args.phase])
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
