"""``check``: judge every claim on every backend, and show the worst error as a share of its proven bound."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

from bench.cli import flags

if TYPE_CHECKING:
    from backends.conformance import Report
    from backends.conformance.cases import Case


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
    parser.add_argument("--quick", action="store_true", help="fewer cases, and no other processes")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Judge and print; 1 where a claim fails."""
    from rich.text import Text

    from backends import available, catalogue
    from bench.cli import CHECK_FAILED, SUCCESS
    from bench.terminal.conformance import format_reports
    from bench.terminal.terminal import console

    begun_s = time.monotonic()
    named = tuple(dict.fromkeys(name for group in args.backend or () for name in group))
    skipped = {entry.name: entry.missing() or "" for entry in catalogue("best", "plugin") if entry.missing()}
    reports = _judge_all(named or available(), args, {} if named else skipped)
    passed = bool(reports) and all(report.passed for report in reports)
    seconds = time.monotonic() - begun_s
    if args.json:
        document = {"passed": passed, "seconds": seconds, "skipped": {} if named else skipped}
        print(json.dumps(document | {"reports": [report.to_dict() for report in reports]}, indent=2))
    else:
        out = console()
        for part in format_reports(reports, {} if named else skipped, seconds):
            out.print(part, soft_wrap=isinstance(part, Text))  # a command to copy stays one line
    return SUCCESS if passed else CHECK_FAILED


def _judge_all(names: tuple[str, ...], args: argparse.Namespace, skipped: dict[str, str]) -> list[Report]:
    """Return a report for each backend and dtype; a backend that nobody named and that is not there is skipped."""
    from backends import BackendUnavailable
    from backends.conformance import check
    from backends.conformance.determinism import prefetch
    from backends.conformance.subject import SMALLEST, Subject
    from bench.errors import UsageError
    from bench.terminal.terminal import progress

    cases, claims = _asked_cases(args), _asked_claims(args)
    subjects = []
    for name in names:
        try:
            for dtype in _asked_dtypes(name, args):
                subject = Subject(name, dtype, args.device)
                subject.on(SMALLEST)
                subjects.append(subject)
        except (BackendUnavailable, UsageError) as error:
            if args.backend:
                raise
            skipped[name] = str(error)
    if not (args.quick or cases or (claims and "determinism" not in claims)):
        for subject in subjects:
            prefetch(subject)
    reports = []
    with progress("check") as shown:
        for k, subject in enumerate(subjects):

            def tell(part: float, claim: str, k: int = k, subject: Subject = subject) -> None:
                shown.update((k + part) / len(subjects), f"{subject.name} {subject.dtype}: {claim}")

            report = check(
                subject.name, args.network, subject.dtype, args.device, args.quick, cases, claims, progress=tell
            )
            reports.append(report)
    return reports


def _asked_dtypes(name: str, args: argparse.Namespace) -> tuple[str, ...]:
    from backends import find
    from bench.errors import UsageError

    try:
        offered = find(name).capabilities
    except (ValueError, TypeError) as error:
        raise UsageError(f"{error}; python -m bench backends lists them") from None
    for what, got, known in (("dtype", args.dtype or (), offered.dtypes), ("device", (args.device,), offered.devices)):
        if unknown := [value for value in got if value not in known]:
            raise UsageError(f"backend {name!r} has no {what} {unknown[0]!r}; it offers {', '.join(known)}")
    return args.dtype or offered.dtypes


def _asked_cases(args: argparse.Namespace) -> tuple[Case, ...] | None:
    from backends.conformance.cases import Case
    from bench.errors import UsageError

    if args.case is None:
        return None
    if args.network is not None:
        raise UsageError("--case names its own network: leave out --network")
    try:
        return (Case.parse(args.case),)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _asked_claims(args: argparse.Namespace) -> tuple[str, ...] | None:
    from backends.conformance.checks import RULES
    from bench.errors import UsageError

    asked: tuple[str, ...] | None = args.claim
    for claim in asked or ():
        if claim not in RULES:
            raise UsageError(f"no claim {claim!r}; there are {', '.join(RULES)}")
        if args.case and RULES[claim].own_cases:
            raise UsageError(f"claim {claim!r} makes its own cases: leave out --case {args.case}")
    return asked
