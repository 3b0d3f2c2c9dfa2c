"""``python -m bench limits``: time, limit and share of it; ratio to the framework's idiom and to the best peer."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.basics.names import DEVICES, DTYPES, LIMITS
from bench.cli import CHECK_FAILED, document, flags, messages

if TYPE_CHECKING:
    from bench.limits.ceilings import Ceilings
    from bench.limits.corrections import Correction
    from bench.limits.placing import Placing
    from bench.limits.standings import LimitCase, Standing
    from bench.measure.pace import Pace
    from bench.measure.plan import Plan
    from bench.results import Run

PROCESSES, QUICK_PROCESSES = 3, 2
TIMED_S, QUICK_TIMED_S = 0.3, 0.15
TIMEOUT_S = 600.0
LEAST_COMPILING, SHOWN = 0.05, 4
"""Of the time that a campaign should take: less compiling is not worth a word. Backends that are named with it."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    what = parser.add_argument_group("what to measure (lists are comma-separated)")
    what.add_argument(
        "--case", action="append", metavar="CASE", help="such as 3-2-1:16384 or 3-2-1:3:train; repeatable"
    )
    what.add_argument("--dtypes", type=flags.several(flags.one_of(*DTYPES)), metavar="LIST", help="default: float32")
    what.add_argument("--device", choices=DEVICES, default="cpu", help="default: cpu")
    what.add_argument("--backends", type=flags.several(flags.name), metavar="LIST", help="default: all that are here")
    what.add_argument("--no-peers", action="store_true", help="without TensorFlow, Keras, scikit-learn, flax and MLX")
    care = parser.add_argument_group("how long")
    care.add_argument("--quick", action="store_true", help="three cases, two processes each")
    care.add_argument("--processes", type=flags.positive, metavar="N", help=f"of each backend ({PROCESSES})")
    flags.alias(care, "--blocks", "processes", flags.positive)
    care.add_argument("--cell-time", type=flags.seconds, metavar="TIME", help="of timed rounds for each case")
    care.add_argument(
        "--within", type=flags.seconds, metavar="TIME", help="for all of it: what is not measured by then is left out"
    )
    keep = parser.add_argument_group("what to show")
    keep.add_argument(
        "--run", dest="stored", metavar="RUN", help="measure nothing, show a stored run: folder, id or 'latest'"
    )
    keep.add_argument("--all", action="store_true", help="idioms and peers in separate rows")
    keep.add_argument(
        "--targets",
        action="store_true",
        help="what this project set itself, and what was reached (of --run, or measured now)",
    )
    flags.add_results(keep)
    flags.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Measure what the flags ask for, or read it; print. 1 if something failed."""
    from bench import results
    from bench.basics.errors import UsageError
    from bench.limits import corrections, peers, placing
    from bench.limits import standings as limits
    from bench.measure import contenders

    cases = _cases(args)
    if args.backends and not args.stored:
        backends = [name for name in args.backends if name not in peers.installed()]
        contenders.named(backends, args.dtypes or ("float32",), (args.device,))
    stored = results.resolve(args.stored, args.results, LIMITS) if args.stored else _measure(args, cases)
    ceilings = corrections.load(stored, args.results)
    judged, beaten = limits.standings(results.load(stored), cases, ceilings)
    if not judged:
        raise UsageError(
            f"run {stored.id} has no time of these cases, so no share of a limit; measure them: python -m bench limits"
        )
    failed = [standing for standing in judged if standing.seconds is None]
    placed = placing.load_of(stored) if args.targets else []
    if args.json:
        document.show(_document(stored, ceilings, judged, beaten, placed, args.targets))
    else:
        _show(stored, ceilings, judged, beaten, placed, args)
    return CHECK_FAILED if failed else 0


def _cases(args: argparse.Namespace) -> tuple[LimitCase, ...]:
    from bench.basics.errors import UsageError
    from bench.limits.standings import CASES, CUDA_CASES, CUDA_QUICK, QUICK, WORKLOADS, LimitCase
    from bench.workload import Workload

    if not args.case:
        whole, quick = (CASES, QUICK) if args.device == "cpu" else (CUDA_CASES, CUDA_QUICK)
        if args.quick and not args.stored:
            return quick
        return (*whole, *WORKLOADS) if args.targets and args.device == "cpu" else whole
    cases = []
    for text in args.case:
        network, _, rest = text.partition(":")
        batch, _, phase = rest.partition(":")
        try:
            cases.append(LimitCase(str(Workload.parse(network)), int(batch.replace(",", "")), phase or "step"))
        except ValueError:
            raise UsageError(
                f"--case {text}: expected NETWORK:ROWS or NETWORK:ROWS:train, such as 3-2-1/relu:16384"
            ) from None
        if cases[-1].batch < 1 or cases[-1].phase not in ("step", "train"):
            raise UsageError(f"--case {text}: rows are 1 or more, and the phase is step or train")
    return tuple(cases)


def _measure(args: argparse.Namespace, cases: tuple[LimitCase, ...]) -> Run:
    """Measure the cases with progress on stderr; return the run."""
    from dataclasses import replace

    from bench.limits import placing, probes
    from bench.limits.guesses import guesses
    from bench.measure import campaign
    from bench.terminal import terminal

    messages.warn_of_environment()
    plan = _plan(args, cases)
    pace = replace(campaign.earlier_pace(args.results), guesses=guesses())
    for line in plan.left_out:
        messages.note(line, "left out: ")
    placed = plan.backends if args.targets and args.device == "cpu" and not (args.case or args.quick) else ()
    messages.note(_expected(plan, pace, placing.estimate_s(placed, args.dtypes or ("float32",))))
    stored = campaign.create(plan, LIMITS, sys.argv, root=args.results)
    try:
        with terminal.progress("limits") as bar:
            outcome = campaign.carry_out(
                stored,
                plan,
                pace,
                report=lambda state: bar.update(state.fraction, _short(state.text)),
                after_lap=probes.between_laps(stored),
                most_s=args.within or math.inf,
            )
        if placed and not outcome.stopped:
            _place(stored, plan.backends, tuple(dict.fromkeys(group.dtype for group in plan.groups)))
    except KeyboardInterrupt as interrupt:
        if not campaign.discarded_if_empty(stored):
            show = f"python -m bench limits --run {stored.id}{flags.leading_to(stored)}"
            interrupt.add_note(f"what was measured is kept in {stored.path}\nshow it: {show}")
        raise
    if outcome.stopped:
        messages.note(outcome.stopped, "stopped early: ")
    return stored


def _expected(plan: Plan, pace: Pace, placing_s: float) -> str:
    """Return how many processes come, what they should take, and what part of that is compiling, of whom."""
    from bench.limits.probes import MOST_SHARE
    from bench.measure.budget import compiling_s, estimate_s
    from bench.terminal.terminal import format_seconds

    whole_s = (1 + MOST_SHARE) * estimate_s(plan, pace) + placing_s
    text = (
        f"{plan.processes * len(plan.arms)} processes, {len(plan.groups)} cases each; about {format_seconds(whole_s)}"
    )
    compiling = compiling_s(plan, pace)
    if sum(compiling.values()) < LEAST_COMPILING * whole_s:
        return text
    most = sorted((name for name in compiling if compiling[name] > 1), key=lambda name: -compiling[name])[:SHOWN]
    each = ", ".join(f"{_short(name)} {format_seconds(compiling[name])}" for name in most)
    return f"{text}, of which {format_seconds(sum(compiling.values()))} to fill compile caches ({each})"


def _plan(args: argparse.Namespace, cases: tuple[LimitCase, ...]) -> Plan:
    """Return the campaign that measures the cases; say which peers are not installed."""
    from backends.installed import install_command
    from bench.limits import peers
    from bench.limits import standings as limits
    from bench.measure import contenders
    from bench.terminal import terminal

    contenders.check_devices((args.device,))
    names = args.backends or limits.contenders(not args.no_peers, args.device)
    if args.device == "cpu" and not args.no_peers and not args.backends and (absent := peers.missing()):
        err = terminal.console(stderr=True)
        err.print(f"without the peers {', '.join(absent)}; they come with: {install_command('all', 'peers')}")
    return limits.make_plan(
        cases,
        args.dtypes or ("float32",),
        tuple(peers.installed().get(name, name) for name in names),
        args.processes or (QUICK_PROCESSES if args.quick else PROCESSES),
        args.cell_time or (QUICK_TIMED_S if args.quick else TIMED_S),
        TIMEOUT_S,
        args.device,
    )


def _place(stored: Run, names: Sequence[str], dtypes: Sequence[str]) -> None:
    """Measure what it takes the tuned backends to place large batches, and keep it with the run."""
    import backends
    from bench.basics.errors import UsageError
    from bench.limits import placing
    from bench.terminal import terminal

    placed: list[Placing] = []
    tuned = [entry.name for entry in backends.catalogue("best") if entry.name in names]
    count = len(tuned) * len(dtypes) * len(placing.NETWORKS)
    try:
        with terminal.progress("placing") as bar:
            for each in placing.measure(tuned, dtypes):
                placed.append(each)
                bar.update(len(placed) / count, f"{each.backend} {each.network} {each.dtype}")
    except UsageError as error:
        messages.warn(str(error))
    placing.save_of(stored, placed)


def _short(text: str) -> str:
    """Return a text with each peer by its short name."""
    from bench.limits import peers

    for name, target in peers.installed().items():
        text = text.replace(target, name)
    return text


def _document(
    stored: Run,
    known: Ceilings | None,
    judged: list[Standing],
    beaten: list[Correction],
    placed: list[Placing],
    targets: bool,
) -> dict[str, Any]:
    from dataclasses import asdict

    ratios = ("share", "times_idiom", "times_peer")
    rows = [asdict(standing) | {name: getattr(standing, name) for name in ratios} for standing in judged]
    told = {
        "run": stored.id,
        "machine": stored.machine,
        "ceilings": known.created if known else None,
        "standings": rows,
        "limits_beaten": list(map(str, beaten)),
    }
    if targets:
        from bench.limits import placing
        from bench.limits.targets import judge

        told["placings"] = [asdict(each) for each in placed]
        told["targets"] = [asdict(verdict) for verdict in judge([*judged, *placing.standings(placed)])]
    return told


def _show(
    stored: Run,
    known: Ceilings | None,
    judged: list[Standing],
    beaten: list[Correction],
    placed: list[Placing],
    args: argparse.Namespace,
) -> None:
    """Print a table a case, then what to know about it."""
    from bench.limits import placing
    from bench.terminal import standings, terminal

    out = terminal.console()
    for part in standings.tables(judged, args.all):
        out.print(part)
        out.print()
    if placed:
        out.print(standings.placings(placed))
        out.print()
    if args.targets:
        for table in standings.targets([*judged, *placing.standings(placed)]):
            out.print(table)
            out.print()
        for line in standings.targets_out_of_reach(judged):
            out.print(line)
        if line := standings.targets_elsewhere(judged):
            out.print(line)
    for line in standings.remarks(judged, known is not None, beaten):
        out.print(line)
    out.print(f"kept in {os.path.relpath(stored.path)}")
