"""``python -m bench run``: plan a campaign, say what it will take, carry it out, say what came of it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from bench.basics.names import COMPARISON, DEVICES, DTYPES, PHASES
from bench.cli import CHECK_FAILED, INTERRUPTED, SUCCESS, flags, messages, workloads

if TYPE_CHECKING:
    from bench.measure.outcome import Outcome
    from bench.measure.pace import Pace
    from bench.measure.plan import Plan
    from bench.measure.timing import Effort
    from bench.results import Run

QUICK_S, DEFAULT_S = 85.0, 570.0
QUICK_NETWORKS = ("3-2-1", "8-32-1", "784-512-10")
QUICK_ROWS, QUICK_STEP_S = (1, 256, 16_384), 0.1
QUICK_PHASES = ("place", "step", "train")
LEAST_TIMEOUT_S, MOST_TIMEOUT_S = 30.0, 300.0
COMPILING_S = 50.0
"""Of compiling everything in the default grid on two cores, once for each version of the code."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    grid = parser.add_argument_group("what to measure (lists are comma-separated)")
    grid.add_argument("--backends", type=flags.several(flags.name), metavar="LIST", help="default: all that are here")
    grid.add_argument(
        "--networks", type=flags.several(workloads.workload), metavar="LIST", help="such as 3-2-1,784-512-10/relu"
    )
    workloads.add_flags(grid)
    grid.add_argument("--batches", type=flags.several(flags.positive), metavar="LIST", help="rows, such as 1,4096")
    grid.add_argument("--dtypes", type=flags.several(flags.one_of(*DTYPES)), metavar="LIST", help="float32,float64")
    grid.add_argument("--devices", type=flags.several(flags.one_of(*DEVICES)), metavar="LIST", help="cpu,cuda")
    grid.add_argument("--phases", type=flags.several(flags.one_of(*PHASES)), metavar="LIST", help=",".join(PHASES))
    grid.add_argument("--threads", type=flags.several(flags.positive), metavar="LIST", help="default: the cores")
    grid.add_argument("--aa", metavar="BACKEND", help="runs twice, to show chance; 'none' for no such arm")
    care = parser.add_argument_group("how long")
    care.add_argument("--quick", action="store_true", help="a small grid, in under 90 s")
    care.add_argument("--budget", type=flags.seconds, metavar="TIME", help="for all of it, such as 3min")
    care.add_argument("--processes", type=flags.positive, metavar="N", help="fresh processes of each backend")
    flags.alias(care, "--blocks", "processes", flags.positive)
    care.add_argument("--cell-time", type=flags.seconds, metavar="TIME", help="of timed rounds for each cell")
    care.add_argument(
        "--timeout",
        type=flags.seconds,
        metavar="TIME",
        help="of work without a word (half the budget; 300 s at most)",
    )
    care.add_argument(
        "--warm",
        action="store_true",
        help="use the compile caches of earlier runs, as --quick does; the first time, compiling adds to the budget",
    )
    care.add_argument("--dry-run", action="store_true", help="show the plan and what it should take")
    keep = parser.add_argument_group("where it is kept")
    keep.add_argument("--resume", nargs="?", const="latest", metavar="RUN", help="go on where a run was cut off")
    keep.add_argument("--label", default="", metavar="TEXT", help="what you call this run")
    flags.add_results(keep)
    flags.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure; return 1 if a backend failed."""
    from bench.cli.document import show
    from bench.measure import campaign
    from bench.measure.budget import estimate_s

    pace = campaign.earlier_pace(args.results)
    if args.resume:
        stored = _to_resume(args)
        plan = campaign.stored_plan(stored)
    else:
        plan = make_plan(args, pace)
    messages.warn_of_environment()
    if not args.json:
        _show_plan(plan, estimate_s(plan, pace))
    if args.dry_run:
        if args.json:
            show({"plan": plan.to_dict(), "estimate_s": estimate_s(plan, pace)})
        return SUCCESS
    if not args.resume:
        stored = campaign.create(plan, COMPARISON, sys.argv, args.label, args.results)
    return _carry_out(stored, plan, pace, args.json)


def make_plan(args: argparse.Namespace, pace: Pace) -> Plan:
    """Return the plan that the flags ask for.

    A campaign is adaptive unless its grid, its processes or the time of its cells were asked for.

    Raises:
        UsageError: what was asked for does not fit this machine.
        BackendUnavailable: a backend was asked for by name and is not here.
    """
    from backends import Network
    from bench.basics.errors import UsageError
    from bench.machine import default_threads
    from bench.measure import budget, contenders, thread_search
    from bench.measure import plan as plans

    dtypes, devices = args.dtypes or ("float32",), args.devices or ("cpu",)
    left_out: tuple[str, ...] = ()
    if args.networks:
        asked = workloads.asked(args, args.networks)
    else:
        usual = tuple(map(Network.parse, QUICK_NETWORKS)) if args.quick else plans.NETWORKS
        networks, unfit = workloads.fitting(args, usual)
        asked, left_out = workloads.asked(args, networks), tuple(unfit)
    if args.backends:
        backends = contenders.named(args.backends, dtypes, devices, asked)
    else:
        backends, without = contenders.present(dtypes, devices, asked)
        for name, reason in without:
            messages.note(reason, f"without {name}: ")
    whole = bool(args.batches or args.phases)
    adaptive = not (whole or args.processes or args.cell_time)
    searching = adaptive and not args.threads
    threads = args.threads or (thread_search.counts(devices) if searching else (default_threads(),))
    contenders.check_threads(threads)
    aa = "" if args.aa == "none" else args.aa or backends[0]
    if aa and aa not in backends:
        raise UsageError(f"--aa {aa}: expected one of the backends of this run, {', '.join(backends)}, or none")
    arms = (len(backends) + bool(aa)) * (1 if searching else len(threads))  # searched groups are small
    if args.batches:
        groups = plans.asked_groups(asked, args.batches, dtypes, devices, arms)
    else:
        rows, longest_s = (QUICK_ROWS, QUICK_STEP_S) if args.quick else (plans.ROWS, plans.LONGEST_STEP_S)
        groups, too_large = plans.default_groups(asked, rows, dtypes, devices, arms, longest_s)
        left_out += too_large
    budget_s, compiling_s = args.budget or (QUICK_S if args.quick else DEFAULT_S), 0.0
    if args.warm and not args.quick and adaptive and any(map(pace.compiles, backends)):
        compiling_s = COMPILING_S
        messages.note(f"kernels of this code are compiled first: up to {COMPILING_S:g} s on top of the budget")
    searched = thread_search.searched(groups) if len(threads) > 1 and searching else ()
    plan = plans.Plan(
        groups,
        plans.checked_phases(args.phases or (QUICK_PHASES if args.quick else PHASES)),
        backends,
        aa,
        threads if searched or not searching else threads[-1:],
        effort=_effort(args.quick, adaptive),
        timeout_s=args.timeout or min(max((budget_s + compiling_s) / 2, LEAST_TIMEOUT_S), MOST_TIMEOUT_S),
        left_out=left_out,
        own_cache=not (args.quick or args.warm),
        adaptive=adaptive,
        thread_search=searched,
    )
    return budget.fit(plan, budget_s + compiling_s, pace, args.processes, args.cell_time, whole, compiling_s)


def _effort(quick: bool, adaptive: bool) -> Effort:
    """Return how closely to look: an adaptive campaign times few rounds of slow calls, and proves fewer rows."""
    from bench.measure.timing import Effort

    if adaptive:
        return Effort(least_rounds=8, fewest_rounds=2, most_s=0.6, check_s=0.1)
    return Effort(check_s=0.1) if quick else Effort()


def _to_resume(args: argparse.Namespace) -> Run:
    """Return the run to go on with: the one named, or the latest comparison that is not complete."""
    from bench import results
    from bench.basics.errors import UsageError
    from bench.measure import campaign

    if args.resume != "latest":
        stored = results.resolve(args.resume, args.results)
    else:
        unfinished = [
            stored
            for stored in results.runs(args.results)
            if stored.purpose == COMPARISON and not stored.manifest.get("complete")
        ]
        if not unfinished:
            raise UsageError("no run was cut off; start one: python -m bench run")
        stored = unfinished[-1]
    campaign.check_resumable(stored)
    return stored


def _carry_out(stored: Run, plan: Plan, pace: Pace, as_json: bool) -> int:
    """Run what is left of a run, with progress; report it."""
    from bench.cli.document import show
    from bench.limits import probes
    from bench.measure import campaign
    from bench.results.journal import JournalFull, JournalRemoved
    from bench.terminal import terminal
    from bench.verdicts.stopping import open_cells

    resume = f"go on with: python -m bench run --resume {stored.id}{flags.leading_to(stored)}"
    try:
        with terminal.progress("measuring") as bar:
            outcome = campaign.carry_out(
                stored,
                plan,
                pace,
                open_cells,
                lambda state: bar.update(state.fraction, state.text),
                probes.between_laps(stored),
            )
    except KeyboardInterrupt:
        messages.note(f"interrupted; what was measured is kept in {stored.path}\n{resume}")
        return INTERRUPTED
    except JournalFull as error:
        messages.error(f"{error.strerror}\nmake room, then {resume}")
        return CHECK_FAILED
    except JournalRemoved as error:
        messages.error(f"{error.strerror}; measure again: python -m bench run")
        return CHECK_FAILED
    if as_json:
        show({"run": stored.id, "path": str(stored.path), **_outcome_fields(outcome)})
    else:
        _show_outcome(outcome)
    return CHECK_FAILED if outcome.failures else SUCCESS


def _outcome_fields(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome for JSON; ``blocks`` and ``seconds`` are old names of what comes before them."""
    return {
        "processes": outcome.processes,
        "blocks": outcome.processes,
        "total_s": outcome.total_s,
        "seconds": outcome.total_s,
        "stopped": outcome.stopped,
        "failures": outcome.failures,
    }


def _show_plan(plan: Plan, estimate_s: float) -> None:
    """Say what will be measured, and how long it should take."""
    from bench.terminal import terminal

    out = terminal.console()
    networks: dict[str, list[int]] = {}
    for group in sorted(plan.groups, key=lambda group: group.rows):
        networks.setdefault(str(group.workload), []).append(group.rows)
    rows = [
        (network, ", ".join(terminal.format_count(count) for count in dict.fromkeys(counts)))
        for network, counts in networks.items()
    ]
    out.print(terminal.table([("network", "left"), ("rows of a batch", "left")], rows))
    dtypes = ", ".join(dict.fromkeys(group.dtype for group in plan.groups))
    devices = ", ".join(dict.fromkeys(group.device for group in plan.groups))
    timed = f"{terminal.format_seconds(plan.effort.timed_s)} of rounds a cell"
    if plan.adaptive:
        how = f"2 fresh processes or more, {timed}; up to {plan.processes} if the fastest is not decided"
    else:
        how = f"{plan.processes} processes, {timed}; {plan.processes * len(plan.arms)} processes in all"
    lines = [
        ("phases", ", ".join(plan.phases)),
        ("backends", f"{', '.join(plan.backends)}{f'; {plan.aa} twice (A/A)' if plan.aa else ''}"),
        ("on", f"{dtypes}; {devices}; threads {', '.join(map(str, plan.threads))}"),
        ("each in", how),
    ]
    reasons: dict[str, list[str]] = {}
    for line in plan.left_out:
        what, _, why = line.partition(": ")
        reasons.setdefault(why, []).append(what)
    lines += [("left out", f"{'; '.join(left_out)}: {why}") for why, left_out in reasons.items()]
    print(f"\n{terminal.facts([*lines, ('estimate', terminal.format_seconds(estimate_s))])}\n")


def _show_outcome(outcome: Outcome) -> None:
    """Say what came of it."""
    from bench.results import load
    from bench.terminal import terminal
    from bench.terminal.summary import step_table
    from bench.terminal.wrapping import wrap
    from bench.verdicts import conditions

    out = terminal.console()
    frame = load(outcome.run)
    columns, rows = step_table(frame)
    if rows:
        out.print(terminal.table(columns, rows, title="time of a step"))
        out.print()
    aside, rounds = int(frame["set_aside"].sum()), int(frame["rounds"].sum() + frame["set_aside"].sum())
    print(
        wrap(
            f"{outcome.processes} processes in {terminal.format_seconds(outcome.total_s)}; {rounds:,} rounds, "
            f"{aside:,} of them spoiled by the machine and set aside"
        )
    )
    if warning := conditions.busy(frame):
        print(wrap(warning))
    if outcome.stopped:
        print(wrap(outcome.stopped, "stopped early: "))
    for line in outcome.failures:
        print(wrap(line, "FAILED "))
    print(wrap(os.path.relpath(outcome.run.path), "kept in "))
    print(wrap(f"python -m bench compare {outcome.run.id}{flags.leading_to(outcome.run)}", "next: "))
