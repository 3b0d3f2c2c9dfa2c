"""The backend for a network, a batch and a number of steps: the decision that everything else leads to.

`recommend` takes stored rows, the cost of each backend and the places where the best one changes, and says which to
use, how sure that is, and what it rests on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from backends import Network, Optimizer, parse_optimizer
from bench import results
from bench.advice import costs, crossover, floor
from bench.advice.basis import elsewhere, joined, nothing_stored, runs_for
from bench.advice.costs import Cost
from bench.advice.crossover import Change
from bench.advice.decision import decide
from bench.advice.job import Job, Work
from bench.advice.notes import notes_of
from bench.advice.time_model import CARRIED, ELSEWHERE, MEASURED, Shape
from bench.advice.transfer import Carried
from bench.advice.usable import able, usable
from bench.basics.errors import UsageError
from bench.basics.names import MARGIN
from bench.results import Run
from bench.verdicts.conditions import refuse, unlike_between, unlike_within
from bench.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

    from bench.limits.ceilings import Ceilings

GRID_POINTS = 33
"""How many numbers of rows are searched for crossovers."""

WIDEST = 4_096
"""Crossovers are searched from the rows asked for divided by this, to the rows asked for times this."""


@dataclass(frozen=True)
class Recommendation:
    """What to use, and why.

    Attributes:
        backend: ready for `backends.load`.
        outcome: ``fastest`` (every other is proven slower), ``tie``, ``none faster`` or ``undecided``, as
            `bench.verdicts.pairs.outcome` says.
        candidates: those that may be the best, the likeliest first.
        network, batch, steps, dtype, optimizer, rows_per_step: of the job.
        device, threads: to use; give them to `backends.load`, or set them as `searched_threads` says.
        cache: compile cache assumed, ``warm`` or ``cold``.
        total_s, low_s, high_s: of the backend, with a 95 % interval.
        basis: ``measured here``, ``carried over`` or ``measured elsewhere`` (on another machine), ``interpolated`` or
            ``extrapolated``; ``estimated from another workload`` if no cell is of this kind of workload.
        rows: one a backend and device, best first: ``backend``, ``device``, ``threads``, ``total_s``, ``low_s``,
            ``high_s``, ``import_s``, ``compile_s``, ``place_s``, ``call_s``, ``step_s``, ``p99_s`` (of a step),
            ``to_best``, ``verdict``, ``basis``, ``phase``, ``cache``.
        batch_changes: where the best backend changes along the batch, for this number of steps.
        step_changes: where it changes along the steps, for this batch.
        runs: ids of the runs that it rests on.
        machine: where they were measured.
        notes: what limits the answer, one sentence each.
        phase: ``train``, or ``forward`` for inference.
        fresh: whether every step has a new batch.
        searched_threads: the numbers of threads that were compared.
        searched_devices: the devices that were compared.
        carried_from: the machine whose times were scaled to this one, '' if none were.
        elsewhere: whether it rests on times of another machine as they are.
        margin: totals this near to each other are a tie.
    """

    backend: str
    outcome: str
    candidates: tuple[str, ...]
    network: str
    batch: int
    steps: int
    dtype: str
    device: str
    threads: int
    cache: str
    total_s: float
    low_s: float
    high_s: float
    basis: str
    rows: pd.DataFrame
    batch_changes: tuple[Change, ...]
    step_changes: tuple[Change, ...]
    runs: tuple[str, ...]
    machine: str
    notes: tuple[str, ...]
    phase: str = "train"
    fresh: bool = False
    searched_threads: tuple[int, ...] = ()
    searched_devices: tuple[str, ...] = ()
    carried_from: str = ""
    elsewhere: bool = False
    optimizer: str = "descent"
    rows_per_step: int | None = None
    margin: float = MARGIN


def recommend(
    network: Network | str | Sequence[int],
    batch: int,
    steps: int = 1000,
    dtype: str = "float32",
    device: str | None = None,
    *,
    threads: int | None = None,
    cache: str = "warm",
    phase: Work = "train",
    fresh: bool = False,
    optimizer: Optimizer | str | None = None,
    rows_per_step: int | None = None,
    run: str | Path | Run | Sequence[str | Path | Run] | None = None,
    measure: bool = False,
    probe: bool = False,
    margin: float = MARGIN,
    root: Path | None = None,
) -> Recommendation:
    """Return the backend that ends a job first: import + compile + place + ``steps`` steps of training.

    Args:
        network: a `Network`, ``(3, 2, 1)``, or the text of a network or workload, such as ``"3-2-1/relu/adam"``.
        batch: rows of the batch.
        steps: of gradient descent, or passes forward.
        dtype: ``"float32"`` or ``"float64"``.
        device: ``"cpu"`` or ``"cuda"``; by default every device that was measured is weighed.
        threads: that the job may use; by default each backend may use the number that it is fastest with.
        cache: whether the compile cache is ``"warm"`` (the job ran before) or ``"cold"``.
        phase: ``"train"``, or ``"forward"`` for inference: a pass forward with fresh inputs each time.
        fresh: whether each step of training has a new batch, which is placed first.
        optimizer: as in `backends.load`, or its text, such as ``"adam"``; by default what the network's text names, or
            gradient descent.
        rows_per_step: rows of a mini-batch, if each step takes only those.
        run: the stored run or runs to rest on; by default the latest of this machine that has several backends.
        measure: time exactly this case first, in under 30 s.
        probe: carry the times of another machine's run over to this one, by a few cells measured here in under 20 s.
        margin: totals this near to each other are a tie.
        root: folder of the stored runs.

    Raises:
        UsageError: no fitting measurement is stored; the message names the command that makes one.
        ValueError: a network, batch, number of steps or any other argument that cannot be.
    """
    share: Any = margin
    if not isinstance(share, int | float) or not 0 < share < 1:
        raise ValueError(f"margin must be a share such as 0.05, got {margin!r}")
    root = None if root is None else Path(root)
    of = _workload(network, optimizer, rows_per_step)
    job = Job(of.network, batch, steps, threads, device, dtype, cache, phase, fresh, of.optimizer, of.rows_per_step)
    chosen = runs_for(job, run, root)
    if measure:
        from bench.measure.measure_case import measure_case

        measured = measure_case(
            job.workload,
            job.rows,
            job.dtype,
            job.device or "cpu",
            job.threads,
            root,
            phases=job.phases,
            cache=job.cache,
        )
        chosen = joined(measured, chosen)
    if not probe:
        return from_runs(chosen, job, margin, root)
    from bench.advice.probing import carried_over

    return from_runs(chosen, job, margin, root, carried_over)


def from_runs(
    chosen: Sequence[Run],
    job: Job,
    margin: float = MARGIN,
    root: Path | None = None,
    carry: Callable[[Run, Job, Path | None], Carried] | None = None,
) -> Recommendation:
    """Return what `recommend` does, from some runs; ``carry`` brings the first to this machine if it is another's.

    Raises:
        UsageError: there is none, or none that tells.
    """
    if not chosen:
        results.latest(root)  # says that there is none
        raise UsageError(nothing_stored(job))
    where = " ".join(dict.fromkeys(filter(None, map(elsewhere, chosen))))
    if where and carry:
        carried = carry(chosen[0], job, root)
        return from_rows(carried.rows, job, margin, carried=carried)
    return from_rows(results.load(*chosen, root=root), job, margin, where, ceilings=floor.ceilings_of(chosen, root))


def from_rows(
    frame: pd.DataFrame,
    job: Job,
    margin: float = MARGIN,
    where: str = "",
    carried: Carried | None = None,
    ceilings: Ceilings | None = None,
) -> Recommendation:
    """Return what `recommend` does, from rows in hand.

    Args:
        frame: rows as `bench.results.load` gives them.
        job: what is asked.
        margin: totals this near to each other are a tie.
        where: why the rows are not this machine's, '' if they are.
        carried: how sure the rows are that were scaled to this machine; ``None`` if they are as they were measured.
        ceilings: of the machine of the rows: no step that was not measured is promised in less than memory allows.
    """
    rows, measured_threads = _rows_for(frame, job)
    refuse(_unlike(rows), False, "name runs of like conditions with --run")
    grid = _grid(job.rows, job.rows_per_step or 1)
    shapes = [job.shape, *(Shape(job.shape.network, count) for count in grid)]
    every, missing, unable = _costs_here(rows, shapes, job)
    if ceilings:
        every = [floor.not_below(cost, shapes, job, ceilings) for cost in every]
    if carried:
        every = [costs.widened(cost, carried.scatter.get(cost.backend, 0.0)) for cost in every]
    known = costs.with_best_threads(every, job.steps)
    table, decided = decide(known, job.steps, margin)
    if where or carried:
        table["basis"] = table["basis"].replace(MEASURED, CARRIED if carried else ELSEWHERE)
    best = table.iloc[0]
    along = [_beyond_first(cost) for cost in known]
    return Recommendation(
        backend=str(best["backend"]),
        outcome=str(decided["outcome"]),
        candidates=tuple(decided["backends"]),
        network=str(job.network),
        batch=job.rows,
        steps=job.steps,
        dtype=job.dtype,
        device=str(best["device"]),
        threads=int(best["threads"]),
        cache=job.cache,
        total_s=float(best["total_s"]),
        low_s=float(best["low_s"]),
        high_s=float(best["high_s"]),
        basis=costs.weakest(list(table["basis"])),
        rows=table,
        batch_changes=tuple(crossover.batch_changes(along, grid, job.steps, margin, around=job.rows)),
        step_changes=tuple(crossover.step_changes(known, margin, around=job.steps)),
        runs=tuple(dict.fromkeys(rows["run"])),
        machine=str(rows["machine"].iloc[0]),
        notes=(*filter(None, [where]), *unable, *notes_of(known, rows, missing, job, measured_threads)),
        phase=job.phase,
        fresh=job.fresh,
        searched_threads=tuple(sorted({cost.threads for cost in every})),
        searched_devices=tuple(sorted({cost.device for cost in every})),
        carried_from=carried.source if carried else "",
        elsewhere=bool(where),
        optimizer=str(job.optimizer),
        rows_per_step=job.rows_per_step,
        margin=margin,
    )


def _costs_here(
    rows: pd.DataFrame, shapes: Sequence[Shape], job: Job
) -> tuple[list[Cost], Sequence[str], Sequence[str]]:
    """Return the costs of backends that can do a job here, those not installed here, and why others cannot do it.

    Raises:
        UsageError: none can.
    """
    installed, missing = usable(costs.with_threads(costs.costs(rows, shapes, job.cache, job=job), job.threads))
    every, unable = able(installed, job)
    if not every:
        names = ", ".join([*missing, *unable]) or "all failed"
        raise UsageError(f"no backend of this run can be used here ({names}); see: python -m bench backends")
    return list(every), missing, unable


def _rows_for(frame: pd.DataFrame, job: Job) -> tuple[pd.DataFrame, list[int]]:
    """Return the rows that tell about a job, and the numbers of threads that were measured.

    Raises:
        UsageError: there are none with a time.
    """
    rows = frame[frame["dtype"] == job.dtype]
    if job.device is not None:
        rows = rows[rows["device"] == job.device]
    timed = rows[(rows["status"] == "ok") & rows["phase"].isin(job.phases)]
    if timed.empty:
        raise UsageError(nothing_stored(job))
    return rows, sorted(set(timed["threads"]))


def _unlike(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Return the conditions that differ between backends of a run, or between runs."""
    between = unlike_between(rows, rows[:0]) if rows["run"].nunique() > 1 else {}
    return unlike_within(rows) | between


def _grid(rows: int, least: int) -> list[int]:
    """Return numbers of rows on both sides of ``rows``, evenly spaced on a log scale, none below ``least``."""
    low, high = max(float(least), rows / WIDEST), float(rows) * WIDEST
    return sorted({rows, *(round(count) for count in np.geomspace(low, high, GRID_POINTS))})


def _beyond_first(cost: Cost) -> Cost:
    """Return a cost without its first shape."""
    return replace(cost, place_s=cost.place_s[:, 1:], call_s=cost.call_s[:, 1:], step_s=cost.step_s[:, 1:])


def _workload(
    network: Network | str | Sequence[int], optimizer: Optimizer | str | None, rows_per_step: int | None
) -> Workload:
    """Return the workload: what the network's text names, with the optimiser and rows per step if they are given."""
    if isinstance(network, str):
        of = Workload.parse(network)
    else:
        of = Workload(network if isinstance(network, Network) else Network(cast("tuple[int, ...]", network)))
    chosen = parse_optimizer(optimizer) if isinstance(optimizer, str) else optimizer
    return Workload(of.network, chosen or of.optimizer, of.rows_per_step if rows_per_step is None else rows_per_step)
