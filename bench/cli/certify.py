"""``certify``: try the verdicts on noise recorded here: false positives, coverage, a planted slow-down."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from bench.basics.names import CERTIFICATE
from bench.cli import CHECK_FAILED, SUCCESS, certify_commits, certify_gates, document, flags

if TYPE_CHECKING:
    from bench.results import Run

RECORDING_S = 150.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.add_argument("--run", dest="stored", metavar="RUN", help="noise of a stored run instead of recording some")
    parser.add_argument("--backend", type=flags.name, default="numpy", metavar="NAME", help="(numpy)")
    parser.add_argument("--processes", type=flags.positive, default=5, metavar="N", help="in each arm of a trial (5)")
    flags.alias(parser, "--blocks", "processes", flags.positive)
    parser.add_argument("--trials", type=flags.positive, default=300, metavar="N", help="draws of two arms (300)")
    parser.add_argument("--budget", type=flags.seconds, metavar="TIME", help="for recording (150 s)")
    flags.add_margin(parser, "of equivalence")
    flags.add_results(parser)
    flags.add_json(parser)
    certify_gates.add_flags(parser)
    certify_commits.add_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Certify; return 1 if the verdicts, or the gate, are wrong more often than they promise."""
    from bench.basics.errors import UsageError

    if args.gates and args.commits:
        raise UsageError("--gates and --commits are two certificates; ask for one after the other")
    if not args.gates and (args.condition or args.planted is not None):
        raise UsageError(f"--{'condition' if args.condition else 'planted'} is for --gates N, which says how many")
    if args.gates:
        return certify_gates.run(args)
    if args.commits:
        return certify_commits.run(args)
    return _certify(args)


def _certify(args: argparse.Namespace) -> int:
    """Try the verdicts on the noise of one run, and print how often they were right."""
    from bench import results
    from bench.measure.budget import MOST_LAPS
    from bench.verdicts import certify, estimates

    certify.check(args.processes, args.margin)
    stored = results.resolve(args.stored, args.results, CERTIFICATE) if args.stored else _recorded(args)
    frame = results.load(stored)
    tried = certify.certify(frame, args.processes, args.trials, args.margin)
    used = tried[tried["estimate"] == estimates.ESTIMATE].iloc[0]
    rule = certify.certify_rule(frame, MOST_LAPS, args.trials, args.margin)
    kept = certify.passed(used) and certify.passed(rule)
    needed = None if kept else certify.processes_needed(frame, args.processes, args.trials, args.margin)
    if args.json:
        document.show(
            {
                "run": stored.id,
                "passed": kept,
                "estimate": estimates.ESTIMATE,
                "processes_needed": needed,
                "rows": tried,
                "rule": dict(rule),
            }
        )
    else:
        from bench.terminal import certifying, terminal
        from bench.verdicts import conditions

        out = terminal.console()
        for part in certifying.certificate(tried, rule, estimates.ESTIMATE, kept, args.margin, needed):
            out.print(part)
        if warning := conditions.busy(frame):
            out.print(warning)
        out.print(f"noise of run {stored.id}, {stored.machine}", style="dim")
    return SUCCESS if kept else CHECK_FAILED


def _recorded(args: argparse.Namespace) -> Run:
    """Record noise: measure one backend again and again."""
    from bench.terminal import terminal
    from bench.verdicts import certify

    with terminal.progress("recording noise") as bar:
        return certify.record(
            args.backend,
            args.processes,
            budget_s=args.budget or RECORDING_S,
            root=args.results,
            command=sys.argv,
            report=lambda state: bar.update(state.fraction, state.text),
        )
