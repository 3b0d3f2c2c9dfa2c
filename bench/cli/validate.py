"""``validate``: recommend a backend for cases whose true times are known, and print how often it was the best.

The cases are drawn at random and measured, or they are those of a stored run to which another one is carried over.

Tests: `tests/bench/cli/test_decision_commands.py`.
"""

from __future__ import annotations

import argparse
import sys

from bench.basics.names import VALIDATION
from bench.cli import CHECK_FAILED, SUCCESS, document, flags


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.add_argument("--cases", type=flags.positive, default=40, metavar="N", help="to draw (40)")
    parser.add_argument("--seed", type=flags.count, default=0, metavar="N", help="of the cases (0)")
    parser.add_argument("--run", dest="stored", action="append", metavar="RUN", help="that recommendations rest on")
    parser.add_argument("--truth", metavar="RUN", help="a stored run of the same cases, instead of measuring them")
    parser.add_argument(
        "--transfer",
        metavar="RUN",
        help="carry this run over to the machine of --truth (latest) by its anchors, and judge all its other shapes",
    )
    parser.add_argument(
        "--budget",
        type=flags.seconds,
        default=600.0,
        metavar="TIME",
        help="for measuring; two processes a backend at least (600 s)",
    )
    flags.add_results(parser)
    flags.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Validate; return 1 if fewer than 95 in 100 recommendations were within 10 % of the best.

    Of recommendations carried over, 85 in 100 must be within 15 %.
    """
    from backends import Network
    from bench import results
    from bench.advice import basis, floor, validate
    from bench.advice.job import Job
    from bench.basics.errors import UsageError
    from bench.terminal import terminal, validating
    from bench.verdicts import conditions

    if args.transfer:
        return _transferred(args)
    known = basis.runs_for(Job(Network((1, 1, 1)), 1, device="cpu"), args.stored, args.results)
    if not known:
        results.latest(args.results)
        raise UsageError("no stored run times several backends; measure one: python -m bench run --quick")
    cases = validate.draw(args.cases, args.seed)
    if args.truth:
        truth = results.resolve(args.truth, args.results, VALIDATION)
    else:
        with terminal.progress("measuring") as bar:
            truth = validate.measure(
                cases, args.budget, args.results, sys.argv, lambda state: bar.update(state.fraction, state.text)
            )
    frame = results.load(truth)
    regrets = validate.regrets(results.load(*known), frame, cases, floor.ceilings_of(known, args.results))
    if regrets.empty:
        raise UsageError(f"none of the drawn cases was measured in run {truth.id}; leave out --truth")
    good = validate.share_good(regrets) >= validate.LEAST_SHARE
    if args.json:
        ids = [stored.id for stored in known]
        document.show(
            {"passed": good, "share": validate.share_good(regrets), "known": ids, "truth": truth.id, "rows": regrets}
        )
    else:
        out = terminal.console()
        for part in validating.account(regrets, good):
            out.print(part)
        if warning := conditions.busy(frame):
            out.print(warning)
        out.print(f"known: {', '.join(one.id for one in known)}; truth: {truth.id}", style="dim")
    return SUCCESS if good else CHECK_FAILED


def _transferred(args: argparse.Namespace) -> int:
    """Judge the answers of one stored run, carried over to the machine of another."""
    from bench import results
    from bench.advice import held_out_transfer
    from bench.basics.errors import UsageError
    from bench.terminal import terminal, validating

    there, here = (results.resolve(text, args.results) for text in (args.transfer, args.truth or "latest"))
    if there.id == here.id:
        raise UsageError(f"--transfer and --truth are both run {here.id}; name the run to judge by: --truth RUN")
    cases = held_out_transfer.losses(there, here)
    share = held_out_transfer.share_good(cases)
    good = share >= held_out_transfer.LEAST_SHARE
    if args.json:
        document.show({"passed": good, "share": share, "known": [there.id], "truth": here.id, "rows": cases})
    else:
        out = terminal.console()
        for part in validating.transferred(cases, good):
            out.print(part)
        for what, run_ in (("carried over from", there), ("to", here)):
            out.print(f"{what} run {run_.id}, {run_.machine}", style="dim")
    return SUCCESS if good else CHECK_FAILED
