"""``gate``: fail on a proven slow-down of a change against its base, or on a lost cell."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.basics.names import DTYPES, SLOWER, UNDECIDED
from bench.cli import CHECK_FAILED, INTERRUPTED, SUCCESS, flags, gate_measure, messages

if TYPE_CHECKING:
    from bench.measure.base_code import BaseCode
    from bench.results import Run
    from bench.verdicts.gate import Gate

EPILOG = """\
examples:
  python -m bench gate --against main
  python -m bench gate --against main --backends my_package.my_module:MyBackend
  python -m bench gate --against ==0.1.0 --markdown comment.md
exit status: 0 nothing is proven slower, 1 something is or was lost, 2 wrong
usage"""

BUDGET_S = 120.0
HERE = "here"
"""The candidate that is measured now."""

APART = "The two runs do not take turns: a change of the machine between them looks like one of the code."
FAIL_ON = {SLOWER: (SLOWER,), UNDECIDED: (SLOWER, UNDECIDED)}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    sides = parser.add_argument_group("what is compared")
    sides.add_argument("--against", metavar="BASE", help="git revision, ==VERSION or folder: both run in turns, now")
    sides.add_argument("--python-base", metavar="PYTHON", help="another interpreter for the base")
    sides.add_argument(
        "--change", metavar="CODE", help="the change: a revision, ==VERSION or folder (default: the code here)"
    )
    sides.add_argument("--save-baseline", metavar="NAME", help="measure the code here alone, for --baseline NAME later")
    sides.add_argument("--baseline", metavar="RUN", help="instead: a stored run; it shares no turns with the candidate")
    sides.add_argument(
        "--candidate", default="latest", metavar="RUN", help=f"with --baseline: folder, id, 'latest' or '{HERE}'"
    )
    sides.add_argument("--force", action="store_true", help="with --baseline: judge even if conditions differ")
    grid = parser.add_argument_group("what is measured (lists are comma-separated)")
    grid.add_argument("--backends", type=flags.several(flags.name), metavar="LIST", help="default: all that are here")
    flags.alias(grid, "--backend", "backends", flags.several(flags.name))
    grid.add_argument(
        "--networks", type=flags.several(flags.network), metavar="LIST", help=f"({','.join(gate_measure.NETWORKS)})"
    )
    grid.add_argument("--batches", type=flags.several(flags.positive), metavar="LIST", help="rows, such as 1,4096")
    grid.add_argument("--dtypes", type=flags.several(flags.one_of(*DTYPES)), metavar="LIST", help="(float32)")
    grid.add_argument("--phases", type=flags.several(flags.name), metavar="LIST", help="(step)")
    grid.add_argument("--threads", type=flags.several(flags.positive), metavar="LIST", help="default: the cores")
    grid.add_argument("--processes", type=flags.positive, metavar="N", help="of each side (3 to 6, by the budget)")
    grid.add_argument("--budget", type=flags.seconds, default=BUDGET_S, metavar="TIME", help="for all of it (2min)")
    judge = parser.add_argument_group("how it is judged and said")
    flags.add_margin(judge, "smaller slow-downs pass")
    judge.add_argument("--fail-on", choices=sorted(FAIL_ON), default=SLOWER, help="(slower)")
    judge.add_argument("--markdown", type=Path, metavar="FILE", help="a comment for a pull request")
    judge.add_argument("--junit", type=Path, metavar="FILE", help="JUnit XML, a test case for each cell")
    flags.add_results(judge)
    flags.add_json(judge)


def run(args: argparse.Namespace) -> int:
    """Judge; return 1 if something is proven slower or was lost."""
    from bench.basics.errors import UsageError
    from bench.basics.files import check_output

    if sum(map(bool, (args.against, args.baseline, args.save_baseline))) != 1:
        raise UsageError(
            "give the base, one of: --against main (measured now, in turns), --baseline RUN (a stored run), or "
            "--save-baseline NAME (store one)"
        )
    if (args.change or args.python_base) and not args.against:
        raise UsageError(f"--{'change' if args.change else 'python-base'} is for --against, which says the base")
    for path, flag in ((args.markdown, "--markdown"), (args.junit, "--junit")):
        if path:
            check_output(path, flag)
    if args.save_baseline:
        return _save(args)
    return _against_code(args) if args.against else _against_run(args)


def _save(args: argparse.Namespace) -> int:
    """Measure the code here alone, and keep the run under a name."""
    from bench.terminal.wrapping import wrap

    stored = gate_measure.measured(args, gate_measure.backends(args), label=args.save_baseline)
    if stored is None:
        return INTERRUPTED
    later = f"python -m bench gate --baseline {shlex.quote(args.save_baseline)} --candidate here"
    if args.json:
        from bench.cli import document

        document.show({"run": stored.id, "baseline": args.save_baseline, "later": later})
    else:
        print(f"saved as {args.save_baseline}, run {stored.id}; later: {later}")
        print(wrap(f"{APART} --against a revision has no such weakness."))
    return SUCCESS


def _against_run(args: argparse.Namespace) -> int:
    """Hold one stored run, or what is measured now, against another stored run."""
    from bench import results
    from bench.basics.errors import UsageError
    from bench.verdicts import conditions, gate

    baseline = gate.baseline(args.baseline, args.results)
    if args.candidate == HERE:
        stored = _again(args, baseline)
        if stored is None:
            return INTERRUPTED
        candidate = stored
    else:
        candidate = results.resolve(args.candidate, args.results)
    if baseline.path.resolve() == candidate.path.resolve():
        raise UsageError(
            f"baseline and candidate are the same run {baseline.id}; measure the code here: --candidate {HERE}"
        )
    frames = results.load(baseline), results.load(candidate)
    conditions.refuse(conditions.unlike_speed(baseline, candidate), args.force)
    judged = gate.judge(frames[0], frames[1], args.margin, args.force, FAIL_ON[args.fail_on])
    notes = [*filter(None, map(conditions.busy, frames)), APART]
    facts = {"baseline": baseline.id, "candidate": candidate.id}
    return _told(args, judged, f"{baseline.id} -> {candidate.id}", notes, facts)


def _again(args: argparse.Namespace, baseline: Run) -> Run | None:
    """Measure the plan of a stored run again with the code here; ``None`` if that was interrupted."""
    from dataclasses import replace

    from bench.measure import campaign, contenders

    asked = replace(campaign.stored_plan(baseline), adaptive=False, aa="", against="", versions=())
    names = contenders.named(asked.backends, [group.dtype for group in asked.groups], ["cpu"])
    return gate_measure.measured(args, names, asked=asked)


def _against_code(args: argparse.Namespace) -> int:
    """Measure the change and its base as two arms of one run, and hold one against the other."""
    from bench import results
    from bench.basics.names import BASE
    from bench.measure.base_code import base_code
    from bench.verdicts import conditions, gate

    names = gate_measure.backends(args)
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(base_code(args.against, names, args.python_base))
        codes = {BASE: base}
        if args.change:
            codes[""] = stack.enter_context(base_code(args.change, names, flag="--change"))
        for line in () if args.change else base.differing:
            messages.note(line)
        if base.dirty and not args.change:
            messages.note("the checkout has changes that are not committed: it is gated as it stands")
        stored = gate_measure.measured(args, names, base.label, codes)
    if stored is None:
        return INTERRUPTED
    frame = results.load(stored)
    judged = gate.judge_arms(frame, BASE, args.margin, FAIL_ON[args.fail_on])
    notes = [*filter(None, [conditions.busy(frame)])]
    if len(judged.cells):
        notes.append(f"This run finds a slow-down of {gate_measure.percent(judged.detectable)} in nine of ten cells.")
    change = codes.get("")
    sides = f"{_named(base)} -> {_named(change) if change else 'the code here'}, run {stored.id}"
    facts: dict[str, Any] = {"run": stored.id, "against": base.label, "revision": base.revision}
    facts |= {"change": change.revision or change.label} if change else {"dirty": base.dirty}
    return _told(args, judged, sides, notes, facts)


def _named(code: BaseCode) -> str:
    """Return how a side was asked for, and its commit."""
    return f"{code.label} ({code.revision[:9]})" if code.revision else code.label


def _told(args: argparse.Namespace, judged: Gate, sides: str, notes: list[str], facts: dict[str, Any]) -> int:
    """Say the judgement in every form that was asked for; return the exit status."""
    from bench.basics.files import write_text
    from bench.terminal import gate_report, gating, terminal

    repeat = f"python -m bench {shlex.join(sys.argv[1:])}"
    comment = gate_report.markdown(judged, sides, repeat, notes)
    if args.markdown:
        write_text(args.markdown, comment)
    if args.junit:
        write_text(args.junit, gate_report.junit(judged, sides))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(summary, "a", encoding="utf-8") as file:
            file.write(comment)
    if args.json:
        from bench.cli import document

        document.show({"passed": judged.passed, **facts, **vars(judged), "notes": notes})
    else:
        out = terminal.console()
        for part in [*gating.judgement(judged), *notes]:
            out.print(part)
        out.print(sides, style="dim", markup=False)
    return SUCCESS if judged.passed else CHECK_FAILED
