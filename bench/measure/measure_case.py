"""Time exactly one case on every backend that is here, in under 30 s; kept as a run with this purpose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from backends import Network
from bench.basics.errors import UsageError
from bench.basics.names import CASE
from bench.machine import default_threads
from bench.measure import budget, campaign, contenders
from bench.measure.estimate import step_s
from bench.measure.pace import Pace
from bench.measure.plan import Plan, asked_groups
from bench.results import Run
from bench.workload import Workload

if TYPE_CHECKING:
    from bench.measure.campaign import Progress

BUDGET_S = 26.0
MOST_ESTIMATE_S = 2 * BUDGET_S
"""An estimate before anything was measured may be twice too long."""

PHASES = ("step", "train")
MANY_THREADS_S = 5e-3
"""A longer step has enough work for all threads."""


def measure_case(
    workload: Workload | Network,
    rows: int,
    dtype: str = "float32",
    device: str = "cpu",
    threads: int | None = None,
    root: Path | None = None,
    command: Sequence[str] = (),
    report: Callable[[Progress], None] = campaign.silent,
    phases: Sequence[str] = PHASES,
    cache: str = "warm",
) -> Run:
    """Measure a case in as many processes as the time allows.

    With a ``warm`` cache asked for, that of earlier runs is used; a case that was never compiled here is compiled by
    the first process, so that a second one shows what a warm cache costs. With a ``cold`` one, the first process begins
    with an empty cache. Unless told, a short step is timed with one thread and with all: more threads may cost more
    than they save.

    Raises:
        UsageError: the device or the threads are not here, the batch does not fit in memory or not in the time.
    """
    fitted = plan_of_case(workload, rows, dtype, device, threads, campaign.earlier_pace(root), phases, cache)
    return campaign.measure(fitted, CASE, command=command, root=root, report=report)


def plan_of_case(
    workload: Workload | Network,
    rows: int,
    dtype: str,
    device: str,
    threads: int | None,
    pace: Pace,
    phases: Sequence[str] = PHASES,
    cache: str = "warm",
) -> Plan:
    """Return the plan that fits into `BUDGET_S`; arguments and errors as for `measure_case`."""
    of = Workload.of(workload)
    names, _ = contenders.present([dtype], [device], [of])
    if threads:
        contenders.check_threads([threads])
    groups = asked_groups([of], [rows], [dtype], [device], len(names))
    counts = (threads,) if threads else _threads(of, rows, device)
    asked = Plan(groups, tuple(phases), names, threads=counts, own_cache=cache == "cold")
    fitted = budget.fit(replace(asked, timeout_s=BUDGET_S), BUDGET_S, pace)
    if budget.estimate_s(fitted, pace) > BUDGET_S:
        # The second is left out if the first has taken too long: a guess of what compiling takes may be far off.
        fitted = budget.fit(fitted, BUDGET_S, pace, processes=2)
    if (needed_s := budget.lap_s(fitted, pace, True)) > MOST_ESTIMATE_S:
        raise UsageError(
            f"timing {of} with {rows:,} rows once on {len(names)} backends should take {needed_s:.0f} s, while "
            f"this takes {BUDGET_S:.0f} s; in longer: python -m bench run --networks {of} --batches {rows}"
        )
    return fitted


def _threads(workload: Workload, rows: int, device: str) -> tuple[int, ...]:
    """Return the numbers of threads to try."""
    every = default_threads()
    short = device == "cpu" and step_s(workload, rows) < MANY_THREADS_S
    return tuple(sorted({1, every})) if short else (every,)
