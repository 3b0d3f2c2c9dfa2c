"""``gate``: fail on a proven slow-down of a change against its base, or on a lost cell."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.basics.names import DTYPES, SLOWER, UNDECIDED
from bench.cli import CHECK_FAILED, INTERRUPTED, SUCCESS, flags, messages

if TYPE_CHECKING:
    from bench.measure.base_code import BaseCode
    from bench.measure.pace import Pace
    from bench.measure.plan import Plan
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
NETWORKS, ROWS = ("3-2-1", "8-32-1", "64-64-64-1"), (1, 1_024, 16_384)
LONGEST_STEP_S = 0.05
FAIL_ON = {SLOWER: (SLOWER,), UNDECIDED: (SLOWER, UNDECIDED)}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    sides = parser.add_argument_group("what is compared")
    sides.add_argument("--against", metavar="BASE", help="git revision, ==VERSION or folder: both run in turns, now")
    sides.add_argument("--python-base", metavar="PYTHON", help="another interpreter for the base")
    sides.add_argument("--baseline", metavar="RUN", help="instead: a stored run; it shares no turns with the candidate")
    sides.add_argument("--candidate", default="latest", metavar="RUN", help="with --baseline: folder, id or 'latest'")
    sides.add_argument("--force", action="store_true", help="with --baseline: judge even if conditions differ")
    grid = parser.add_argument_group("what is measured, with --against (lists are comma-separated)")
    grid.add_argument("--backends", type=flags.several(flags.name), metavar="LIST", help="default: all that are here")
    flags.alias(grid, "--backend", "backends", flags.several(flags.name))
    grid.add_argument("--networks", type=flags.several(flags.network), metavar="LIST", help=f"({','.join(NETWORKS)})")
    grid.add_argument("--batches", type=flags.several(flags.positive), metavar="LIST", help="rows, such as 1,4096")
    grid.add_argument("--dtypes", type=flags.several(flags.one_of(*DTYPES)), metavar="LIST")
    grid.add_argument("--phases", type=flags.several(flags.name), metavar="LIST", help="(step)")
    grid.add_argument("--threads", type=flags.several(flags.positive), metavar="LIST", help="default: the cores")
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

    if bool(args.against) == bool(args.baseline):
        raise UsageError("give the base: --against main (measured now, in turns), or --baseline RUN (a stored run)")
    for path, flag in ((args.markdown, "--markdown"), (args.junit, "--junit")):
        if path:
            check_output(path, flag)
    return _against_code(args) if args.against else _against_run(args)


def _against_run(args: argparse.Namespace) -> int:
    """Hold one stored run against another."""
    from bench import results
    from bench.basics.errors import UsageError
    from bench.verdicts import conditions, gate

    baseline, candidate = results.resolve(args.baseline, args.results), results.resolve(args.candidate, args.results)
    if baseline.path.resolve() == candidate.path.resolve():
        raise UsageError(f"baseline and candidate are the same run {baseline.id}; measure again: python -m bench run")
    frames = results.load(baseline), results.load(candidate)
    conditions.refuse(conditions.unlike_speed(baseline, candidate), args.force)
    judged = gate.judge(frames[0], frames[1], args.margin, args.force, FAIL_ON[args.fail_on])
    notes = [*filter(None, map(conditions.busy, frames))]
    notes.append("The two runs did not take turns: a change of the machine between them looks like one of the code.")
    facts = {"baseline": baseline.id, "candidate": candidate.id}
    return _told(args, judged, f"{baseline.id} -> {candidate.id}", notes, facts)


def _against_code(args: argparse.Namespace) -> int:
    """Measure the change and its base as two arms of one run, and hold one against the other."""
    from bench import results
    from bench.basics.names import BASE
    from bench.measure import contenders
    from bench.measure.base_code import base_code
    from bench.verdicts import conditions, gate

    dtypes = args.dtypes or ("float32",)
    names = contenders.named(args.backends, dtypes, ["cpu"]) if args.backends else _present(dtypes)
    with base_code(args.against, names, args.python_base) as base:
        for line in base.differing:
            messages.note(line)
        if base.dirty:
            messages.note("the checkout has changes that are not committed: it is gated as it stands")
        stored = _measured(args, names, dtypes, base)
    if stored is None:
        return INTERRUPTED
    frame = results.load(stored)
    judged = gate.judge_arms(frame, BASE, args.margin, FAIL_ON[args.fail_on])
    notes = [*filter(None, [conditions.busy(frame)])]
    if len(judged.cells):
        notes.append(f"This run finds a slow-down of {_percent(judged.detectable)} in nine of ten cells.")
    sides = f"{base.label}{f' ({base.revision[:9]})' if base.revision else ''} -> the code here, run {stored.id}"
    facts = {"run": stored.id, "against": base.label, "revision": base.revision, "dirty": base.dirty}
    return _told(args, judged, sides, notes, facts)


def _present(dtypes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the built-in backends that are here."""
    from backends import catalogue
    from bench.measure import contenders

    built_in = {entry.name for entry in catalogue("best")}
    names, without = contenders.present(dtypes, ["cpu"])
    for name, reason in without:
        messages.note(reason, f"without {name}: ")
    return tuple(name for name in names if name in built_in)


def _measured(args: argparse.Namespace, names: tuple[str, ...], dtypes: tuple[str, ...], base: BaseCode) -> Run | None:
    """Measure both sides, with progress; return the run, or ``None`` if it was interrupted."""
    from bench.basics.names import BASE, GATE
    from bench.measure import campaign
    from bench.terminal import terminal

    pace = campaign.earlier_pace(args.results)
    plan = _plan(args, names, dtypes, base, pace)
    stored = campaign.create(plan, GATE, sys.argv, args.against, args.results)
    if not args.json:
        print(_foreword(plan, args))
    try:
        with terminal.progress("measuring") as bar:
            campaign.carry_out(
                stored, plan, pace, report=lambda state: bar.update(state.fraction, state.text), codes={BASE: base}
            )
    except KeyboardInterrupt:
        messages.note(f"interrupted; what was measured is kept in {stored.path}, and the base's folder is removed")
        return None
    return stored


def _plan(
    args: argparse.Namespace, names: tuple[str, ...], dtypes: tuple[str, ...], base: BaseCode, pace: Pace
) -> Plan:
    """Return the plan of both sides."""
    from backends import Network
    from bench.machine import default_threads
    from bench.measure import budget, contenders
    from bench.measure import plan as plans
    from bench.measure.timing import Effort

    threads = args.threads or (default_threads(),)
    contenders.check_threads(threads)
    networks = args.networks or tuple(map(Network.parse, NETWORKS))
    arms = 2 * len(names) * len(threads)
    if args.batches:
        groups = plans.asked_groups(networks, args.batches, dtypes, ("cpu",), arms)
        left_out: tuple[str, ...] = ()
    else:
        groups, left_out = plans.default_groups(networks, ROWS, dtypes, ("cpu",), arms, LONGEST_STEP_S)
    plan = plans.Plan(
        groups,
        plans.checked_phases(args.phases or ("step",)),
        names,
        threads=threads,
        effort=Effort(check_s=0.1),
        timeout_s=max(args.budget, 30.0),
        left_out=left_out,
        own_cache=False,
        against=base.label,
    )
    return budget.fit(plan, args.budget, pace, whole=bool(args.batches))


def _foreword(plan: Plan, args: argparse.Namespace) -> str:
    """Say what will be measured, and what that should find."""
    from bench.basics.formats import counted, format_seconds
    from bench.terminal.wrapping import wrap
    from bench.verdicts.gate import expected

    said = (
        f"{', '.join(plan.backends)} and their base {plan.against}: {counted(len(plan.cells), 'cell')}, "
        f"{plan.processes} processes of each, in {format_seconds(args.budget)}."
    )
    slow_down = expected(plan.processes, args.margin, args.results)
    if slow_down is None:
        said += " What this can find is not known before the first run here that has an A/A arm."
    else:
        said += f" On this machine that should find a slow-down of {_percent(slow_down)} in nine of ten cells."
    return wrap(said)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


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

        document.show({"passed": judged.passed, **facts, **vars(judged)})
    else:
        out = terminal.console()
        for part in [*gating.judgement(judged), *notes]:
            out.print(part)
        out.print(sides, style="dim", markup=False)
    return SUCCESS if judged.passed else CHECK_FAILED
