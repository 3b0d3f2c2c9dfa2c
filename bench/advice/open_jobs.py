"""What a campaign goes on with: steps, as `bench.verdicts.stopping` says, and what whole jobs wait for.

A job is open for another reason than its steps: a backend whose steps are proven slower may still end first, since it
is imported and compiled sooner. Its steps inside ``train`` are then measured again, by new processes, which import and
compile once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, log1p
from typing import TYPE_CHECKING, Any

from bench.advice.overview import fastest_for_jobs
from bench.basics.names import MARGIN, NONE_FASTER, UNDECIDED
from bench.measure.adaptive import OpenCell
from bench.measure.cell import Cell
from bench.verdicts import stopping

if TYPE_CHECKING:
    from bench.measure.adaptive import Open


def open_cells(records: Sequence[Mapping[str, Any]], margin: float = MARGIN, rate: float = stopping.RATE) -> Open:
    """Return the cells that decide something still, each with what may be the fastest: in a step, or in a whole job.

    Args:
        records: of all cells with a time, as a run keeps them.
        margin: of equivalence.
        rate: of errors that one look may make.
    """
    from bench import results

    found = dict(stopping.open_cells(records, margin, rate))
    frame = results.table({**record, "run": ""} for record in records)
    if "train" not in set(frame["phase"]):
        return found
    for job in fastest_for_jobs(frame, margin=margin, rate=rate).to_dict("records"):
        if job["outcome"] in (NONE_FASTER, UNDECIDED):
            cell = Cell.of(job | {"phase": "train"})
            contenders = frozenset((backend, job["best_threads"][backend]) for backend in job["backends"])
            good = job["outcome"] == NONE_FASTER
            gap = log(job["second"]) - log1p(margin) * (1 if good else -1)
            found[cell] = _either(found.get(cell), OpenCell(contenders, gap, good))
    return found


def _either(step: OpenCell | None, job: OpenCell) -> OpenCell:
    """Return what is open of a cell by its steps or by the job, as urgent as the more urgent of the two."""
    if step is None:
        return job
    gap = max(step.gap, job.gap) if step.good == job.good else step.gap if job.good else job.gap
    return OpenCell(step.contenders | job.contenders, gap, step.good and job.good)
