"""``recommend``: the backend for a network, a batch and a number of steps, from what was measured here."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from bench.cli import flags

if TYPE_CHECKING:
    from bench.advice.recommendation import Recommendation
    from bench.results import Run


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    job = parser.add_argument_group("the job")
    job.add_argument("--network", type=flags.network, required=True, metavar="SIZES", help="layer sizes, as 17-33-3")
    job.add_argument("--batch", type=flags.positive, required=True, metavar="ROWS", help="rows of the batch")
    job.add_argument("--steps", type=flags.positive, default=1000, metavar="N", help="of gradient descent (1000)")
    job.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="(float32)")
    job.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(cpu)")
    job.add_argument("--threads", type=flags.positive, metavar="N", help="default: the most that were measured")
    job.add_argument("--cache", choices=("warm", "cold"), default="warm", help="of compiled code (warm)")
    rest = parser.add_argument_group("what the answer rests on")
    rest.add_argument(
        "--run", dest="stored", action="append", metavar="RUN", help="folder, id or 'latest'; may be given again"
    )
    rest.add_argument("--measure", action="store_true", help="time exactly this case first, in under 30 s")
    flags.add_margin(rest, "totals so near are a tie")
    flags.add_results(rest)
    flags.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Say which backend, and why."""
    from bench.advice.basis import joined, runs_for
    from bench.advice.recommendation import recommend
    from bench.cli import document

    chosen = runs_for(args.dtype, args.device, args.stored, args.results)
    if args.measure:
        chosen = joined(_measured(args), chosen)
    found = recommend(
        args.network,
        args.batch,
        args.steps,
        args.dtype,
        args.device,
        threads=args.threads,
        cache=args.cache,
        run=chosen or None,
        margin=args.margin,
        root=args.results,
    )
    if args.json:
        document.show(_document(found))
    else:
        from bench.terminal import recommending, terminal

        out = terminal.console()
        for part in recommending.answer(found, measured=args.measure):
            out.print(part)
    return 0


def _measured(args: argparse.Namespace) -> Run:
    """Time the case, with progress on stderr."""
    from bench.measure.measure_case import measure_case
    from bench.terminal import terminal

    with terminal.progress("measuring") as bar:
        return measure_case(
            args.network,
            args.batch,
            args.dtype,
            args.device,
            args.threads,
            args.results,
            sys.argv,
            lambda state: bar.update(state.fraction, state.text),
        )


def _document(found: Recommendation) -> dict[str, Any]:
    changes = {name: [vars(change) for change in getattr(found, name)] for name in ("batch_changes", "step_changes")}
    return vars(found) | changes
