"""Which backends of a run can do a job here: they are installed, and have its workload.

Tests: `tests/bench/advice/test_recommendation.py`, `tests/bench/advice/test_workloads.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from backends import catalogue
from backends.installed import is_installed
from bench.advice.costs import Cost
from bench.advice.job import Job
from bench.advice.time_model import ESTIMATED
from bench.measure.contenders import lacking

if TYPE_CHECKING:
    from backends.registry import Entry


def usable(known: Sequence[Cost]) -> tuple[list[Cost], list[str]]:
    """Return the costs whose backend can be loaded here, and the names of the other backends.

    Backends of the catalogue can be loaded if their framework is installed. A backend that a run names as
    ``package.module:Class`` is searched for without importing its package.
    """
    catalogued = {entry.name: entry for entry in catalogue()}
    absent = {cost.backend for cost in known if not _is_here(cost.backend, catalogued.get(cost.backend))}
    return [cost for cost in known if cost.backend not in absent], sorted(absent)


def able(known: Sequence[Cost], job: Job) -> tuple[list[Cost], list[str]]:
    """Return the costs whose backend has the job's workload, and of each other backend a sentence that says why not.

    A backend that only the run names is not imported to ask: it must have been measured on this kind of workload.
    """
    catalogued = {entry.name: entry for entry in catalogue()}
    lacks = {}
    for cost in known:
        entry = catalogued.get(cost.backend)
        if entry and (lack := lacking(entry, [job.workload])):
            lacks[cost.backend] = f"{cost.backend} {lack}, so it is left out."
        elif entry is None and cost.basis == ESTIMATED:
            lacks[cost.backend] = f"{cost.backend} was never measured on such a workload, so it is left out."
    return [cost for cost in known if cost.backend not in lacks], list(lacks.values())


def _is_here(name: str, entry: Entry | None) -> bool:
    """Return whether a backend can be loaded here, as far as can be seen without importing it."""
    if entry:
        return not entry.missing()
    return ":" in name and is_installed(name.partition(":")[0].partition(".")[0])
