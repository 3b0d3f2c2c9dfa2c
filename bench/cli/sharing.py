"""The flags of ``recommend`` for ranks and machines, and the answer to them.

Tests: `tests/bench/advice/test_sharing.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli import flags

if TYPE_CHECKING:
    from bench.advice.job import Job
    from bench.advice.sharing import Sharing
    from bench.results import Run


def add_flags(parser: argparse._ActionsContainer) -> None:
    """Declare what the batch may be shared out among."""
    parser.add_argument("--ranks", type=flags.positive, metavar="P", help="up to this many ranks of this machine")
    parser.add_argument("--hosts", type=flags.positive, metavar="H", help="up to this many machines like this one")
    parser.add_argument(
        "--link", type=_link, metavar="LINK", help="between them: bandwidth, latency one way, as 1Gbit,0.1ms"
    )
    parser.add_argument("--engine", type=flags.name, metavar="NAME", help="of the ranks: mpi, torch or jax")


def asked(args: argparse.Namespace) -> Sharing | None:
    """Return what the flags ask for; ``None`` if nothing.

    Raises:
        UsageError: flags that do not go together.
    """
    from bench.advice.sharing import Sharing
    from bench.basics.errors import UsageError
    from bench.machine import physical_cores

    cores = len(physical_cores())
    if args.ranks and args.hosts:
        raise UsageError("--ranks are of this machine and --hosts are machines: ask for one of them")
    if args.hosts and not args.link:
        raise UsageError("--hosts needs what joins them: --link 1Gbit,0.1ms")
    if (args.link and not args.hosts) or (args.engine and not (args.ranks or args.hosts)):
        raise UsageError(f"{'--link' if args.link else '--engine'} says how ranks are joined: add --hosts 2")
    if args.ranks and args.ranks > cores:
        raise UsageError(f"--ranks {args.ranks}: this machine has {cores} cores, and each rank needs one")
    if args.ranks or args.hosts:
        return Sharing(args.ranks or args.hosts, cores, args.link)
    return None


def answered(args: argparse.Namespace, how: Sharing, job: Job, chosen: Sequence[Run]) -> dict[str, Any]:
    """Return the prediction for JSON: what was asked, the records, and the memory that a machine needs.

    Raises:
        UsageError: the engine is not here, there are fewer rows than parts, or nothing was measured that the answer
            could rest on.
    """
    from backends import RanksError
    from backends.ranks import local
    from bench import results
    from bench.advice.sharing import least_parts, predicted
    from bench.basics.errors import UsageError
    from bench.ranks.allreduce import known_or_probed
    from bench.terminal.terminal import progress
    from bench.workload.memory import free_bytes

    if how.parts > job.rows:
        flag = "--hosts" if how.link else "--ranks"
        raise UsageError(
            f"{flag} {how.parts:,}: each needs a row, and --batch is {job.rows:,}; ask for no more than that"
        )
    try:
        with progress("all-reduce") as bar:
            bar.update(0.0, "probing two ranks")
            known = known_or_probed(args.engine or local.engine_here(), args.results or results.results_root())
    except RanksError as error:
        raise UsageError(str(error)) from None
    records = predicted(results.load(*chosen, root=args.results), job, how, known, args.margin)
    return {
        "engine": known.engine,
        "probed": known.created,
        "link": str(how.link) if how.link else "",
        "parts": "machines" if how.link else "ranks",
        "least_machines": least_parts(job, free_bytes(job.device or "cpu")),
        "rows": records,
    }


def text(answer: dict[str, Any], job: Job) -> Iterator[Any]:
    """Yield the prediction for people."""
    from bench.terminal import sharing

    yield from sharing.answer(answer, job)


MOST_MACHINES = 10_000
"""More than these is no advice."""


def memory_note(job: Job) -> str:
    """Return how a batch that is too large for this machine's free memory can be trained, '' if it fits."""
    from bench.advice.sharing import least_parts
    from bench.workload.memory import free_bytes, shortage

    device = job.device or "cpu"
    free = free_bytes(device)
    if not (lack := shortage(job.workload, job.rows, job.dtype, device, 1, free)):
        return ""
    if lack_of_one := shortage(job.workload, 1, job.dtype, device, 1, free):
        return f"The network {lack_of_one}, even for one row: take a smaller network."
    machines = least_parts(job, free)
    ways = [f"share it out among {machines} machines like this one (--hosts {machines} --link 1Gbit,0.1ms)"]
    ways = ways if 0 < machines <= MOST_MACHINES else []
    ways.append("read it in chunks (--chunks says what a step takes then)")
    return f"A batch of {job.rows:,} rows {lack}: {' or '.join(ways)}."


def measured_ranks(job: Job, root: Path | None, margin: float) -> str:
    """Return a sentence on ranks of this machine that `scale` measured to be faster, '' if there are none.

    Ranks of one backend may be faster than that backend on one rank, and slower than another backend: it says so.
    """
    from bench.advice.sharing import measured_faster
    from bench.basics.formats import format_seconds

    found = measured_faster(job, root, margin)
    if not found:
        return ""
    best = found[0]
    text = (
        f"{best['backend']} on {best['arm']} took {format_seconds(best['step_s'])} a step of {best['rows']:,} rows, "
        f"measured {best['speed_up']:.2f} x as fast as {best['backend']} on one rank with all threads "
        f"({best['speed_up_low']:.2f} .. {best['speed_up_high']:.2f})"
    )
    if best["alone_s"] <= best["step_s"]:
        return f"{text}; {best['alone']} on one rank took {format_seconds(best['alone_s'])}"
    return f"{text}; start it with: mpiexec -n {best['ranks']} python ..., and backends.join()"


def _link(value: str) -> Any:
    from bench.ranks.allreduce import Link

    try:
        return Link.parse(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
