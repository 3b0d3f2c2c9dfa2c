"""Conformance of a group in its process, before and after timing, and its results as columns of a row.

Tests: `tests/bench/measure/test_campaign.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from backends import Layer
from backends.conformance import Report, check_cell

if TYPE_CHECKING:
    from bench.measure.group import GroupRun


def prove(run: GroupRun, params: Sequence[Layer], timed: bool = False) -> Report:
    """Judge the backend from ``params`` on; ``timed`` says that these are what the timed steps left."""
    problem, rows = run.problem, run.checked_rows
    inputs, targets = problem.inputs[:rows], problem.targets[:rows]
    shape = run.checked_shape(timed)
    parts = run.group.rows_per_step
    report = check_cell(run.subject.backend, params, inputs, targets, problem.learning_rate, shape, parts)
    if not report.passed:
        for phase in run.phases:
            run.failures[phase] = ("nonconformant", fault(report, "before timing"))
    return report


def number(ratio: float) -> float:
    """Return a ratio of error to bound; one that is not finite as 1e300, since JSON has no word for it."""
    return ratio if math.isfinite(ratio) else 1e300


def ratios(report: Report) -> str:
    """Return each claim's worst ratio as JSON, in the order of the maths; null if there was nothing to judge."""
    return json.dumps({claim.name: None if claim.status == "skip" else number(claim.ratio) for claim in report.claims})


def fault(report: Report, when: str) -> str:
    """Return the claims that failed, in words."""
    claims = ", ".join(f"{claim.name} ({claim.ratio:.3g} of its bound; {claim.where})" for claim in report.failures)
    return f"{when}: {claims}"[:500]
