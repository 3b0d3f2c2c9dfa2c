"""``certify --gates``: real gates of the same code and of planted slow-downs, as many as are missing.

Tests: `tests/bench/verdicts/test_gate_trials.py`.
"""

from __future__ import annotations

import argparse
import dataclasses
import math

from bench.cli import CHECK_FAILED, INTERRUPTED, SUCCESS, document, flags, messages

PLANTED = 30
CONDITIONS = ("quiet", "competing", "slowing")
"""Those of `bench.verdicts.gate_trials`, whose import takes a while."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    group = parser.add_argument_group("certify the gate instead, with real gates, kept one by one")
    group.add_argument(
        "--gates", type=flags.positive, metavar="N", help="make gates of the same code until there are N"
    )
    group.add_argument("--planted", type=flags.count, metavar="N", help="of each planted slow-down (30)")
    group.add_argument("--condition", choices=CONDITIONS, help="what goes on meanwhile (quiet)")


def run(args: argparse.Namespace) -> int:
    """Make what is missing; return 1 if the gate does not keep its promises."""
    from bench.terminal import gate_trials as text
    from bench.terminal import terminal
    from bench.verdicts import gate_trials

    condition = args.condition or CONDITIONS[0]
    planted = PLANTED if args.planted is None else args.planted
    try:
        with terminal.progress("gates") as bar:
            kept = gate_trials.measure(
                condition,
                args.gates,
                planted,
                args.backend,
                args.budget or math.inf,
                args.results,
                bar.update,
            )
    except KeyboardInterrupt:
        messages.note(f"interrupted; the gates so far are kept in {gate_trials.file_of(condition, args.results)}")
        return INTERRUPTED
    rates = gate_trials.rates(condition, kept)
    if args.json:
        document.show({"passed": rates.passed, **dataclasses.asdict(rates)})
    else:
        out = terminal.console()
        for part in text.trials([rates]):
            out.print(part)
        out.print(str(gate_trials.file_of(condition, args.results)), style="dim", soft_wrap=True)
    return SUCCESS if rates.passed else CHECK_FAILED
