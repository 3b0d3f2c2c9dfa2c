"""Measure a few anchor cells on this machine, and carry the times of a stored run over to it, in under 20 s."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import results
from bench.advice import transfer
from bench.advice.job import Job
from bench.basics.errors import UsageError
from bench.basics.names import CASE, OK
from bench.machine import default_threads, speed
from bench.machine.speed import Speed
from bench.measure import budget, campaign, contenders
from bench.measure.cell import Group
from bench.measure.plan import Plan, ordered
from bench.measure.timing import Effort
from bench.results import Run

if TYPE_CHECKING:
    from bench.measure.campaign import Progress

BUDGET_S, MOST_S = 12.0, 15.0
"""Seconds that the anchors are planned for, and after which they end; with what comes before and after, under 20 s."""

LABEL = "anchors"
EFFORT = Effort(timed_s=0.08, warm_up_s=0.05, check_s=0.05, recheck_s=0.05)


def carried_over(
    run: Run,
    job: Job,
    root: Path | None = None,
    command: Sequence[str] = (),
    report: Callable[[Progress], None] = campaign.silent,
) -> transfer.Carried:
    """Return the rows of a run of another machine as they should be on this one.

    Raises:
        UsageError: the run and this machine have no backend in common.
    """
    frame = results.load(run)
    frame = frame[(frame["dtype"] == job.dtype) & (frame["device"] == "cpu") & frame["phase"].isin(job.phases)]
    here, _ = contenders.present([job.dtype], ["cpu"])
    names = tuple(name for name in dict.fromkeys(frame["backend"].astype(str)) if name in here)
    if not names:
        raise UsageError(f"none of the backends of run {run.id} is installed here; see: python -m bench backends")
    shapes = transfer.anchors(frame, job)
    measured = None
    if shapes:
        groups = [Group.make(shape.network, shape.rows, job.dtype, "cpu") for shape in shapes]
        phases = tuple(phase for phase in job.phases if phase in set(frame["phase"]))
        threads = (job.threads or default_threads(),)
        plan = Plan(ordered(groups), phases, names, threads=threads, processes=1, effort=EFFORT, own_cache=False)
        pace = campaign.earlier_pace(root)
        plan = replace(plan, timeout_s=MOST_S)
        while len(plan.groups) > 1 and budget.estimate_s(plan, pace) > BUDGET_S:
            plan = replace(plan, groups=plan.groups[:-1])
        anchors = campaign.measure(plan, CASE, label=LABEL, command=command, root=root, report=report, most_s=MOST_S)
        measured = results.load(anchors)
        measured = measured if (measured["status"] == OK).any() else None
    then = Speed.from_dict(run.manifest.get("speed"))
    return transfer.carried(frame, then, speed.here(), measured, job.shape)
