"""What a campaign goes on with: steps, as `bench.verdicts.stopping` says, and what whole jobs wait for.

A job is open for another reason than its steps: a backend whose steps are proven slower may still end first, since it
is imported and compiled sooner. Its steps inside ``train`` are then measured again, by new processes, which import and
compile once more.

Tests: `tests/bench/advice/test_open_jobs.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.advice.overview import fastest_for_jobs
from bench.basics.names import MARGIN
from bench.measure.cell import Cell
from bench.verdicts import stopping

if TYPE_CHECKING:
    from bench.measure.adaptive import Open, OpenCell


def open_cells(records: Sequence[Mapping[str, Any]], margin: float = MARGIN, rate: float = stopping.RATE) -> Open:
    """Return the cells that decide something still, each with what may be the fastest: in a step, or in a whole job.

    Args:
        records: of all cells with a time, as a run keeps them.
        margin: of equivalence.
        rate: of errors that one look may make.
    """
    frame = stopping.frame_of(records)
    found = dict(stopping.open_in(frame, margin, rate))
    if "train" not in set(frame["phase"]):
        return found
    for job in fastest_for_jobs(frame, margin=margin, rate=rate).to_dict("records"):
        if job["outcome"] in stopping.OPEN:
            cell = Cell.of(job | {"phase": "train"})
            contenders = frozenset((backend, job["best_threads"][backend]) for backend in job["backends"])
            of_job = stopping.open_cell(job["outcome"], contenders, job["second"], margin)
            found[cell] = _either(found.get(cell, of_job), of_job)
    return found


def _either(step: OpenCell, job: OpenCell) -> OpenCell:
    """Return what is open of a cell by its steps or by the job, as urgent as the more urgent of the two."""
    urgent = min(step, job, key=lambda it: (it.good, -it.gap))
    return urgent._replace(contenders=step.contenders | job.contenders)
