"""``check``: judge every claim on every backend, and show the worst error as a share of its proven bound."""

from __future__ import annotations

import argparse
import math
import secrets
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli import flags

if TYPE_CHECKING:
    from backends.conformance import Report

SILENCE_S = 120.0
SEEDS = 10**9
DEEP_DRAWS = 300


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add what to judge, and how to say it."""
    names = flags.several(flags.name)
    parser.add_argument(
        "--backend", type=names, nargs="+", metavar="NAME", help="names or package.module:Class (default: all here)"
    )
    parser.add_argument("--dtype", type=names, help="float32, float64 or both (default: all that a backend has)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--network", type=flags.network, help="numeric claims on this network alone, e.g. 8-32-1")
    parser.add_argument("--case", metavar="NAME", help="one case alone, e.g. 3-2-1/n=64/tanh/seed=1")
    parser.add_argument("--claim", type=names, metavar="NAME", help="these claims alone, e.g. 'update,sign'")
    parser.add_argument("--quick", action="store_true", help="fewer cases of each claim, and no other processes")
    parser.add_argument("--deep", action="store_true", help="minutes: more drawn shapes, and calls in many more orders")
    parser.add_argument("--draws", type=flags.count, metavar="N", help="judge this many drawn shapes (default: a few)")
    parser.add_argument("--seed", type=flags.count, metavar="S", help="draw the shapes of an earlier check again")
    parser.add_argument(
        "--timeout",
        type=flags.seconds,
        default=SILENCE_S,
        metavar="SECONDS",
        help="stop a backend that gives no sign of life for so long: it has failed (default: 120s)",
    )
    parser.add_argument(
        "--within", type=flags.seconds, metavar="TIME", help="for all of it: what is not judged by then has failed"
    )
    parser.add_argument(
        "--ranks", type=flags.several(flags.positive), metavar="P", help="judge training on this many ranks, e.g. 2,3"
    )
    parser.add_argument(
        "--engine",
        type=names,
        metavar="NAME",
        help="what ranks join by: mpi, torch, jax (default: the first of them here)",
    )
    parser.add_argument("--junit", type=Path, metavar="FILE", help="JUnit XML, a test case for each claim")
    flags.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Judge, each backend and dtype in a separate process, and print; 1 if a claim fails or a process is lost."""
    from backends import available, catalogue
    from bench.basics.errors import UsageError
    from bench.basics.files import check_output, write_text
    from bench.cli import CHECK_FAILED, SUCCESS
    from bench.cli.document import show
    from bench.terminal.conformance_plain import junit

    if args.deep and args.quick:
        raise UsageError("--deep and --quick are opposites: leave one out")
    if args.engine and not args.ranks:
        raise UsageError("--engine is for ranks: add --ranks 2")
    if args.junit:
        check_output(args.junit, "--junit")
    begun_s = time.monotonic()
    named = tuple(dict.fromkeys(name for group in args.backend or () for name in group))
    skipped = {entry.name: entry.missing() or "" for entry in catalogue("best", "plugin") if entry.missing()}
    say = partial(print, end="", file=sys.stderr)
    if args.ranks:
        reports = _judge_ranks(named or available(), args)
    else:
        reports = _judge_all(named or available(), args, {} if named else skipped, say)
    passed = bool(reports) and all(report.passed for report in reports)
    seconds = time.monotonic() - begun_s
    if args.junit:
        write_text(args.junit, junit(reports, {} if named else skipped))
    if args.json:
        document = {"passed": passed, "seconds": seconds, "skipped": {} if named else skipped}
        show(document | {"reports": [report.to_dict() for report in reports]})
    else:
        _print(reports, {} if named else skipped, seconds)
    return SUCCESS if passed else CHECK_FAILED


def _print(reports: list[Report], skipped: dict[str, str], seconds: float) -> None:
    """Print tables, or plain lines in an environment that has no rich."""
    if find_spec("rich") is None:
        from bench.terminal.conformance_plain import format_plain

        print("\n".join(format_plain(reports, skipped, seconds)))
        return
    from rich.text import Text

    from bench.terminal.conformance import format_reports
    from bench.terminal.terminal import console

    out = console()
    for part in format_reports(reports, skipped, seconds):
        out.print(part, soft_wrap=isinstance(part, Text))  # a command to copy stays one line


def _judge_all(
    names: tuple[str, ...], args: argparse.Namespace, skipped: dict[str, str], show: Callable[[str], None]
) -> list[Report]:
    """Return a report for each backend and dtype; a backend that nobody named and that is not there is skipped."""
    from bench.measure.judge_process import Task
    from bench.measure.judging import judge_all

    settings = {
        "dtypes": args.dtype,
        "device": args.device,
        "network": str(args.network) if args.network else None,
        "quick": args.quick,
        "cases": _asked_cases(args),
        "claims": _asked_claims(args),
        "draws": DEEP_DRAWS if args.deep and args.draws is None else args.draws,
        "deep": args.deep,
        "seed": secrets.randbelow(SEEDS) if args.seed is None else args.seed,
    }
    for name in names:
        _refuse_unknown(name)
    first = args.dtype[0] if args.dtype and len(args.dtype) == 1 else None
    tasks = [Task(name, first, settings) for name in names]
    wanted = None if args.backend else skipped
    most_s = args.within or math.inf
    if find_spec("rich") is None:
        return judge_all(tasks, args.timeout, lambda fraction, doing: None, show, wanted, most_s)
    from bench.terminal.terminal import progress

    with progress("check") as shown:
        return judge_all(tasks, args.timeout, shown.update, show, wanted, most_s)


def _judge_ranks(names: tuple[str, ...], args: argparse.Namespace) -> list[Report]:
    """Return a report for each number of ranks, engine, backend and dtype; all backends are judged in one launch."""
    from backends import RanksError, find
    from backends.conformance.launched import check_on_ranks
    from backends.ranks import local
    from bench.basics.errors import UsageError
    from bench.terminal.terminal import progress

    for flag in ("case", "claim", "network", "quick", "deep", "draws", "seed", "within"):
        if getattr(args, flag):
            raise UsageError(f"--{flag} is not for ranks, which have claims and cases of their own: leave it out")
    if 1 in args.ranks:
        raise UsageError("--ranks takes numbers of 2 or more: one rank is what check judges without it")
    tasks = []
    for name in names:
        _refuse_unknown(name)
        offered = find(name).capabilities.dtypes
        for dtype in args.dtype or offered:
            if dtype not in offered:
                raise UsageError(f"backend {name!r} has no dtype {dtype!r}; it offers {', '.join(offered)}")
            tasks.append((name, dtype, args.device))
    launches = [(size, engine) for size in args.ranks for engine in args.engine or (None,)]
    reports = []
    try:
        with progress("check") as shown:
            for k, (size, asked) in enumerate(launches):
                engine = asked or local.engine_here()
                shown.update(k / len(launches), f"{size} ranks by {engine}")
                reports += check_on_ranks(tasks, size, engine)
    except RanksError as error:
        raise UsageError(str(error)) from None
    return reports


def _refuse_unknown(name: str) -> None:
    """Refuse a name that no backend has, before any is judged; nothing is imported for it."""
    from backends import catalogue, find
    from bench.basics.errors import UsageError

    if ":" not in name and name not in {entry.name for entry in catalogue()}:
        try:
            find(name)
        except ValueError as error:
            raise UsageError(f"{error}; python -m bench backends lists them") from None


def _asked_cases(args: argparse.Namespace) -> list[str] | None:
    from backends.conformance.cases import Case
    from bench.basics.errors import UsageError

    if args.case is None:
        return None
    if args.network is not None:
        raise UsageError("--case names its own network: leave out --network")
    try:
        return [str(Case.parse(args.case))]
    except ValueError as error:
        raise UsageError(str(error)) from None


def _asked_claims(args: argparse.Namespace) -> tuple[str, ...] | None:
    from backends.conformance.checks import RULES
    from bench.basics.errors import UsageError

    asked: tuple[str, ...] | None = args.claim
    for claim in asked or ():
        if claim not in RULES:
            raise UsageError(f"no claim {claim!r}; there are {', '.join(RULES)}")
        if args.case and RULES[claim].own_cases:
            raise UsageError(f"claim {claim!r} makes its own cases: leave out --case {args.case}")
    return asked
