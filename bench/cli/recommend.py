"""``recommend``: the backend for a network, a batch and a number of steps, from what was measured here.

Tests: `tests/bench/cli/test_decision_commands.py`.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from bench.basics.names import CACHES, DEVICES, DTYPES
from bench.cli import chunking, flags, messages, sharing, workloads

if TYPE_CHECKING:
    from pathlib import Path

    from bench.advice.job import Job
    from bench.advice.recommendation import Recommendation
    from bench.advice.transfer import Carried
    from bench.results import Run


WORK = ("train", "forward")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    job = parser.add_argument_group("the job")
    job.add_argument(
        "--network", type=workloads.workload, required=True, metavar="SIZES", help="layer sizes, as 17-33-3"
    )
    workloads.add_flags(job)
    job.add_argument(
        "--batch", type=flags.positive, required=True, metavar="ROWS", help="rows of the batch, such as 1e6"
    )
    job.add_argument("--steps", type=flags.positive, default=1000, metavar="N", help="of training (1000)")
    job.add_argument("--dtype", choices=DTYPES, default="float32", help="(float32)")
    job.add_argument("--device", choices=DEVICES, help="default: all that were measured, weighed together")
    job.add_argument("--threads", type=flags.positive, metavar="N", help="default: each backend's best number")
    job.add_argument("--cache", choices=CACHES, default="warm", help="of compiled code (warm)")
    job.add_argument("--phase", choices=WORK, default="train", help="forward: inference, with fresh inputs (train)")
    job.add_argument("--fresh", action="store_true", help="a new batch for each step: placing it counts each time")
    larger = parser.add_argument_group("a batch that is large")
    sharing.add_flags(larger)
    chunking.add_flag(larger)
    rest = parser.add_argument_group("what the answer rests on")
    rest.add_argument(
        "--run", dest="stored", action="append", metavar="RUN", help="folder, id or 'latest'; may be given again"
    )
    rest.add_argument("--measure", action="store_true", help="time exactly this case first, in under 30 s")
    rest.add_argument(
        "--probe", action="store_true", help="carry a run of another machine over to this one, in under 20 s"
    )
    flags.add_margin(rest, "totals so near are a tie")
    flags.add_results(rest)
    flags.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Say which backend, and why."""
    from bench.advice.basis import joined, runs_for
    from bench.advice.job import Job
    from bench.advice.recommendation import from_runs
    from bench.basics.errors import UsageError
    from bench.cli import document

    (of,) = workloads.asked(args, [args.network], "--network")
    asked = (args.batch, args.steps, args.threads, args.device, args.dtype, args.cache, args.phase, args.fresh)
    try:
        job = Job(of.network, *asked, of.optimizer, of.rows_per_step)
    except ValueError as error:
        raise UsageError(str(error).replace("rows_per_step", "--rows-per-step")) from None
    how = sharing.asked(args)
    chosen = runs_for(job, args.stored, args.results)
    if args.measure:
        chosen = joined(_measured(args, job), chosen)
    recommendation = from_runs(chosen, job, args.margin, args.results, _carry if args.probe else None)
    shared = sharing.answered(args, how, job, chosen) if how else None
    faster = "" if job.places else sharing.measured_ranks(job, args.results, args.margin)
    chunked = chunking.answered(args, job, chosen) if args.chunks else None
    large = "" if shared or chunked else sharing.memory_note(job)
    if args.json:
        more = {"sharing": shared, "chunks": chunked, "ranks": faster, "room": large}
        document.show(_document(recommendation) | {name: value for name, value in more.items() if value})
    else:
        from bench.terminal import chunking as in_chunks
        from bench.terminal import recommending, terminal
        from bench.terminal.wrapping import wrap

        out = terminal.console()
        for part in recommending.answer(recommendation, measured=args.measure):
            out.print(part)
        larger = [*(sharing.text(shared, job) if shared else ()), *(in_chunks.answer(chunked, job) if chunked else ())]
        for line in larger:
            out.print(line)
        for note, label in ((faster, "Ranks on this machine: "), (large, "Note: ")):
            if note:
                out.print(wrap(note, label))
    return 0


def _measured(args: argparse.Namespace, job: Job) -> Run:
    """Time the job's case, with progress on stderr."""
    from bench.measure.measure_case import measure_case
    from bench.terminal import terminal

    messages.warn_of_environment()
    with terminal.progress("measuring") as bar:
        return measure_case(
            job.workload,
            job.rows,
            job.dtype,
            job.device or "cpu",
            job.threads,
            args.results,
            sys.argv,
            lambda state: bar.update(state.fraction, state.text),
            job.phases,
            job.cache,
        )


def _carry(run: Run, job: Job, root: Path | None) -> Carried:
    """Measure the anchor cells, with progress on stderr."""
    from bench.advice.probing import carried_over
    from bench.terminal import terminal

    with terminal.progress("probing") as bar:
        return carried_over(run, job, root, sys.argv, lambda state: bar.update(state.fraction, state.text))


def _document(recommendation: Recommendation) -> dict[str, Any]:
    changes = {
        name: [vars(change) for change in getattr(recommendation, name)] for name in ("batch_changes", "step_changes")
    }
    return vars(recommendation) | changes
