"""``python -m bench run``: plan a campaign, say what it will take, carry it out, say what came of it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from bench.basics.names import COMPARISON, DEVICES, DTYPES, PHASES
from bench.cli import CHECK_FAILED, INTERRUPTED, SUCCESS, flags, messages, run_text, workloads

if TYPE_CHECKING:
    from bench.measure.outcome import Outcome
    from bench.measure.pace import Pace
    from bench.measure.plan import Plan
    from bench.results import Run


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of ``run``."""
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
    from bench.cli.run_plan import make_plan
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
        run_text.show_plan(plan, estimate_s(plan, pace))
    if args.budget and plan.budget_s and estimate_s(plan, pace) > plan.budget_s:  # which compiling adds to
        messages.warn(
            f"--budget {args.budget:g} s is too short for the least of this plan, which should take "
            f"{estimate_s(plan, pace):.0f} s; name fewer networks, batches or backends, or give it more time"
        )
    if args.dry_run:
        if args.json:
            show({"plan": plan.to_dict(), "estimate_s": estimate_s(plan, pace)})
        return SUCCESS
    if not args.resume:
        stored = campaign.create(plan, COMPARISON, sys.argv, args.label, args.results)
    return _carry_out(stored, plan, pace, args.json)


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
    from bench.advice.open_jobs import open_cells
    from bench.cli.document import show
    from bench.limits import probes
    from bench.measure import campaign
    from bench.results.journal import JournalFull, JournalRemoved
    from bench.terminal import terminal

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
        if campaign.discarded_if_empty(stored):
            messages.note("interrupted before anything was measured; nothing is kept")
            return INTERRUPTED
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
        run_text.show_outcome(outcome)
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
