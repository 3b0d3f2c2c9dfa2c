"""``compare``: the backends of one run side by side, or what became slower or faster between two runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.basics.names import DTYPES, PHASES
from bench.cli import document, flags, workloads
from bench.cli.default_run import named_or_latest

if TYPE_CHECKING:
    import pandas as pd

    from bench.results import Run
    from bench.verdicts.compare import Comparison, LimitOf


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="folder, id or 'latest' comparison (the default); two: what changed from the first",
    )
    names = ",".join(PHASES)
    parser.add_argument("--phases", type=flags.several(flags.one_of(*PHASES)), metavar="LIST", help=f"{names} (step)")
    parser.add_argument("--networks", type=flags.several(workloads.workload), metavar="LIST", help="3-2-1,3-2-1/relu")
    workloads.add_flags(parser)
    parser.add_argument("--batches", type=flags.several(flags.positive), metavar="LIST", help="rows, such as 1,4096")
    parser.add_argument(
        "--dtypes", type=flags.several(flags.one_of(*DTYPES)), metavar="LIST", help="float32,float64 (all of the run)"
    )
    parser.add_argument("--backends", type=flags.several(flags.name), metavar="LIST", help="only these")
    flags.add_margin(parser, "ratios within it are a tie, such as 5%%")
    parser.add_argument("--force", action="store_true", help="compare even if conditions differ")
    parser.add_argument("--brief", action="store_true", help="only the map from batch to backend")
    flags.add_results(parser)
    flags.add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Compare and print; always 0, `gate` is the command that fails."""
    from bench import results
    from bench.basics.errors import UsageError
    from bench.verdicts import compare, conditions

    if len(args.runs) > 2:
        raise UsageError(f"compare takes one run or two, got {len(args.runs)}: {' '.join(args.runs)}")
    chosen = named_or_latest(args.runs, args.results, "compare")
    whole = [results.load(item) for item in chosen]
    if len(chosen) == 1:
        conditions.refuse(conditions.unlike_within(whole[0]), args.force)
        frame = select(whole[0], args)
        limit_of, beaten = limits_of(chosen[0], frame, args.results)
        comparison = compare.compare(frame, args.margin, limit_of)
        if args.json:
            document.show(_document(chosen, comparison.rows, comparison))
        else:
            jobs = _jobs(whole[0], args)
            _show(chosen[0], comparison, jobs, args.brief, [*beaten, conditions.busy(whole[0])])
        return 0
    frames = [select(frame, args) for frame in whole]
    unlike = conditions.unlike_between(frames[0], frames[1]) | conditions.unlike_speed(chosen[0], chosen[1])
    conditions.refuse(unlike, args.force)
    changed = compare.between(frames[0], frames[1], args.margin)
    if changed.empty:
        raise UsageError(f"runs {chosen[0].id} and {chosen[1].id} have no cell in common; see python -m bench compare")
    if args.json:
        document.show(_document(chosen, changed))
    else:
        _show_changes(chosen, changed, args.margin)
    return 0


def _jobs(frame: pd.DataFrame, args: argparse.Namespace) -> pd.DataFrame | None:
    """Return who ends a whole job first, of the cells that the flags ask for; nothing if one phase is asked for."""
    from bench.advice.overview import PHASES as OF_A_JOB
    from bench.advice.overview import fastest_for_jobs

    if args.phases or not frame["phase"].isin(OF_A_JOB).any():
        return None
    return fastest_for_jobs(select(frame, args, OF_A_JOB), margin=args.margin)


def select(frame: pd.DataFrame, args: argparse.Namespace, phases: Sequence[str] = ()) -> pd.DataFrame:
    """Return the rows that the flags ask for, of some phases if the flags name none.

    Raises:
        UsageError: there is none, or none with a time.
    """
    from bench.basics.errors import UsageError
    from bench.results import timed

    usual = ("step",) if (frame["phase"] == "step").any() else tuple(frame["phase"].unique())
    phases = args.phases or phases or usual
    asked = {
        "phase": phases,
        "network": tuple(map(str, workloads.asked(args, args.networks or ()))),
        "batch": args.batches,
        "dtype": args.dtypes,
        "backend": args.backends,
        "activation": args.activation and [args.activation],
        "loss": args.loss and [args.loss],
        "optimizer": args.optimizer and [str(args.optimizer)],
        "rows_per_step": args.rows_per_step and [args.rows_per_step],
    }
    for column, values in asked.items():
        if values:
            kept = frame[frame[column].isin(values)]
            if kept.empty:
                there = ", ".join(map(str, frame[column].unique()))
                raise UsageError(
                    f"no row with {column} {', '.join(map(str, values))}; the run has {there or 'no rows'}"
                )
            frame = kept
    if timed(frame, arm="").empty:
        raise UsageError("none of these cells has a time; measure again: python -m bench run --quick")
    return frame


def limits_of(run_: Run, frame: pd.DataFrame, root: Path | None) -> tuple[LimitOf | None, list[str]]:
    """Return the limits of a run, ``None`` without ceilings, and a line for each that its rows have beaten."""
    from bench.basics.errors import UsageError
    from bench.limits import ceilings, corrections
    from bench.workload import Workload

    measured, beaten = corrections.of_run(run_, frame, root)
    if measured is None:
        return None, []

    def limit_of(network: str, batch: int, dtype: str, phase: str, threads: int, device: str) -> float | None:
        try:
            return ceilings.limit_s(Workload.parse(network), batch, dtype, phase, measured, threads, device).seconds
        except UsageError:
            return None

    return limit_of, list(map(str, beaten))


def _show(run_: Run, comparison: Comparison, jobs: pd.DataFrame | None, brief: bool, warnings: list[str]) -> None:
    from bench.terminal import comparing, terminal

    out = terminal.console()
    for part in comparing.one_run(comparison, jobs, brief, wide=out.width >= 72):
        out.print(part)
    out.print(comparing.trust(comparison))
    for warning in filter(None, warnings):
        out.print(warning)
    out.print(f"run {run_.id}, {run_.machine}", style="dim")


def _show_changes(chosen: list[Run], changed: pd.DataFrame, margin: float) -> None:
    from bench.terminal import comparing, terminal

    out = terminal.console()
    for part in comparing.two_runs(changed, margin):
        out.print(part)
    out.print(f"{chosen[0].id} -> {chosen[1].id}", style="dim")


def _document(chosen: list[Run], rows: pd.DataFrame, comparison: Comparison | None = None) -> dict[str, Any]:
    """Return the runs, the rows, and for one run the winners and the A/A arm."""
    document: dict[str, Any] = {"runs": [run.id for run in chosen], "rows": rows}
    if comparison:
        chance = comparison.chance and {**vars(comparison.chance), "rate": comparison.chance.rate}
        document |= {"winners": comparison.winners, "best": comparison.best, "failures": comparison.failures}
        document |= {"a_against_a": chance}
        document |= {"margin": comparison.margin, "pairs": comparison.pairs}
    return document
