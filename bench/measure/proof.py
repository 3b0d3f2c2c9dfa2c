"""Conformance of a group in its process, before and after timing; `bench.measure.proof_columns` has its columns.

Tests: `tests/bench/measure/test_campaign.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from backends import Layer
from backends.conformance import Report, check_cell
from bench.measure.group import GroupRun
from bench.measure.proof_columns import fault


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
