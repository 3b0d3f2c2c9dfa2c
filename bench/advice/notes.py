"""What limits an answer, one sentence each: threads, caches, backends and conditions that were not measured.

Tests: `tests/bench/advice/test_recommendation.py`, `tests/bench/advice/test_job.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from backends import tuned
from bench.advice.basis import flags_of
from bench.advice.compiling import LEAST_COMPILE_S
from bench.advice.costs import Cost
from bench.advice.job import Job
from bench.advice.phases import LEAST_ROUNDS
from bench.advice.time_model import ESTIMATED, kind_of, nearest_kind
from bench.machine.environment import as_text, slowdowns, speed_variables
from bench.measure.process_environment import OWN_VARIABLES
from bench.verdicts.compare import failures
from bench.verdicts.conditions import busy

if TYPE_CHECKING:
    import pandas as pd


THREADS_PAY_S = 3e-4
"""In a longer step one thread is hardly faster than several."""


def notes_of(
    known: Sequence[Cost], rows: pd.DataFrame, missing: Sequence[str], job: Job, measured: Sequence[int]
) -> Iterator[str]:
    """Yield what limits the answer for a job.

    Args:
        known: of each backend that is weighed, its cost.
        rows: that the costs rest on.
        missing: backends of the run that are not installed here.
        job: what is asked.
        measured: the numbers of threads that were measured.
    """
    yield from _environment(rows)
    if any(cost.basis == ESTIMATED for cost in known):
        kind = job.workload.kind
        measured_kinds = {kind_of(network) for network in rows["network"].astype(str)}
        source = "/".join(str(nearest_kind(kind, measured_kinds)).split("/")[1:]) or "tanh, mean squared error, descent"
        yield (
            f"No such workload was measured: estimated from times of {source} by the work of both. To measure it: "
            f"--measure, or python -m bench run{flags_of(job.workload)}"
        )
    if job.threads is not None and job.threads not in measured:
        yield f"Nothing was measured with {job.threads} threads; this is for {measured[-1]}."
    if job.threads is None and (hint := _one_thread(known, measured)):
        yield hint
    if missing:
        yield f"Not installed here, so left out: {', '.join(missing)}."
    compiled_otherwise = [
        cost.label for cost in known if cost.cache != job.cache and np.median(cost.compile_s) > LEAST_COMPILE_S
    ]
    if compiled_otherwise:
        labels, other = ", ".join(compiled_otherwise), "cold" if job.cache == "warm" else "warm"
        yield f"Compile times of {labels} were measured with a {other} compile cache, not with a {job.cache} one."
    if job.places and (unknown := [cost.label for cost in known if math.isnan(cost.p99_s)]):
        yield f"p99 of {', '.join(unknown)} is not known: it takes {LEAST_ROUNDS} rounds or more of a shape."
    if not job.places and (stepwise := [cost.label for cost in known if cost.phase == "step"]):
        yield f"train was not measured for {', '.join(stepwise)}: their steps are single calls."
    if warning := busy(rows):
        yield warning
    if gone := {line.split(",")[0] for line in failures(rows)} - {cost.backend for cost in known}:
        yield f"Failed, so left out: {', '.join(sorted(gone))}; see python -m bench compare."


def _one_thread(known: Sequence[Cost], measured: Sequence[int]) -> str:
    """Return how to search the threads, if a step is short and only one number of them was measured, not 1."""
    if len(measured) != 1 or measured[0] == 1 or min(np.median(cost.step_s[:, 0]) for cost in known) > THREADS_PAY_S:
        return ""
    return f"Only {measured[0]} threads were measured, 1 may be faster: python -m bench run --threads 1,{measured[0]}"


def _environment(rows: pd.DataFrame) -> Iterator[str]:
    """Yield a note if environment variables slowed the measured rows down, or differ now."""
    if "receipt_environment" not in rows or rows["receipt_environment"].dropna().empty:
        return
    then = _last(rows, "receipt_environment")
    variables = dict(part.partition("=")[::2] for part in then.split("; ") if part)
    features = _last(rows, "receipt_cpu_features")
    for line in slowdowns(variables, features):
        yield f"Measured slower than need be: {line} and measure again."
    held = _last(rows, "receipt_tuned")
    if held != tuned.as_text():
        yield f"Measured with {held or 'no tuned constants'}; now there are {tuned.as_text() or 'none'}."
    now = as_text(speed_variables(ours=OWN_VARIABLES))
    if now != then:
        yield f"Measured with {then or 'no variables that change speed'}; now there is {now or 'none'}."


def _last(rows: pd.DataFrame, name: str) -> str:
    """Return what the last row that says it has in a column, '' if none does."""
    said = list(rows[name].dropna()) if name in rows else []
    return str(said[-1]) if said else ""
