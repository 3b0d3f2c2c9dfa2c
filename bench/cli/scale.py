"""``python -m bench scale``: time one network on numbers of ranks, against one rank with all threads.

Tests: `tests/bench/ranks/test_scale.py`.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from bench.basics.names import DEVICES, DTYPES
from bench.cli import CHECK_FAILED, SUCCESS, WRONG_USAGE, flags, messages

if TYPE_CHECKING:
    from backends.ranks import Ranks
    from bench.ranks.launches import Scale
    from bench.results import Run


WAIT_S = 600.0
"""Ranks wait for rank 0 while it measures one rank alone."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.add_argument("--network", type=flags.network, required=True, metavar="SIZES", help="such as 32-64-1")
    parser.add_argument("--rows", type=flags.rows, required=True, metavar="N", help="of the whole batch, such as 1e6")
    parser.add_argument(
        "--ranks", type=flags.several(flags.positive), metavar="LIST", help="to start here (default: 1 and all cores)"
    )
    parser.add_argument("--backends", type=flags.several(flags.name), metavar="LIST", help="default: all that are here")
    parser.add_argument("--engine", type=flags.name, metavar="NAME", help="what they join by: mpi, torch or jax")
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="(float32)")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="(cpu)")
    parser.add_argument("--processes", type=flags.positive, default=3, metavar="N", help="fresh starts of each (3)")
    parser.add_argument("--cell-time", type=flags.seconds, default=0.5, metavar="TIME", help="of steps in each (0.5 s)")
    flags.add_margin(parser, "times so near are a tie")
    flags.add_results(parser)
    flags.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, keep, show; under a launcher only rank 0 shows."""
    from backends import RanksError, join
    from backends.ranks import launched
    from bench.basics.errors import UsageError

    try:
        if launched().size == 1:
            return _here(args)
        if args.ranks and launched().rank:
            return WRONG_USAGE  # rank 0 says why
        if args.ranks:
            raise UsageError("--ranks starts ranks on this machine; a launcher has started some: leave it out")
        with join(args.engine, timeout_s=WAIT_S) as ranks:
            return _under_launcher(args, ranks)
    except RanksError as error:
        raise UsageError(str(error)) from None


def _here(args: argparse.Namespace) -> int:
    from backends.ranks import local
    from bench.machine import physical_cores
    from bench.ranks import launches
    from bench.ranks.arms import arms_of
    from bench.terminal import terminal

    cores = len(physical_cores())
    ranks = args.ranks or tuple(sorted({1, cores}))
    engine = args.engine or (local.engine_here() if max(ranks) > 1 else "")
    scale = _scale(args, arms_of(args.rows, ranks, cores, engine))
    messages.warn_of_environment()
    if max(ranks) > cores:
        messages.note(f"{max(ranks)} ranks share {cores} cores and wait for each other's turns")
    with terminal.progress("scale") as bar:
        stored = launches.measure(scale, sys.argv, args.results, bar.update)
    return _show(args, stored)


def _under_launcher(args: argparse.Namespace, ranks: Ranks) -> int:
    from bench.ranks import launches
    from bench.ranks.arms import Arm
    from bench.terminal import terminal

    threads = ranks.threads or 1
    scale = _scale(args, (Arm(1, threads, "", args.rows), Arm(ranks.size, threads, ranks.engine, args.rows)))
    if ranks.rank:
        launches.measure_here(scale, ranks, sys.argv, args.results, lambda fraction, text: None)
        return SUCCESS
    with terminal.progress("scale") as bar:
        stored = launches.measure_here(scale, ranks, sys.argv, args.results, bar.update)
    assert stored is not None
    return _show(args, stored)


def _scale(args: argparse.Namespace, arms: Any) -> Scale:
    from bench.basics.errors import UsageError
    from bench.measure import contenders
    from bench.measure.cell import Group
    from bench.ranks.launches import Scale
    from bench.workload.memory import check_memory

    if args.rows < max(arm.ranks for arm in arms):
        raise UsageError(f"--rows {args.rows}: each rank needs a row, and there are {max(arm.ranks for arm in arms)}")
    check_memory(args.network, args.rows, args.dtype, args.device, 1)
    dtypes, devices = (args.dtype,), (args.device,)
    if args.backends:
        backends = contenders.named(args.backends, dtypes, devices)
    else:
        backends, _ = contenders.present(dtypes, devices)
    group = Group(args.network, args.rows, args.dtype, args.device)
    return Scale(group, tuple(backends), tuple(arms), args.processes, args.cell_time)


def _show(args: argparse.Namespace, stored: Run) -> int:
    from bench.cli import document
    from bench.results import load
    from bench.terminal import scaling as text
    from bench.terminal import terminal
    from bench.verdicts.compare import failures
    from bench.verdicts.scaling import scaling

    frame = load(stored)
    failed = failures(frame)
    table = scaling(frame, args.margin) if (frame["status"] == "ok").any() else None
    if args.json:
        rows = [] if table is None else table.to_dict("records")
        document.show({"run": stored.id, "path": str(stored.path), "failures": failed, "rows": rows})
        return CHECK_FAILED if failed else SUCCESS
    out = terminal.console()
    if table is not None:
        for part in text.answer(table, str(args.network), args.dtype):
            out.print(part)
    for line in failed:
        out.print(f"FAILED {line}")
    out.print(f"kept in {os.path.relpath(stored.path)}")
    return CHECK_FAILED if failed else SUCCESS
