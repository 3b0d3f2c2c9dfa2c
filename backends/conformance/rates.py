"""The claim on learning rates: of any sign and size, whole or not, and of any type of number.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from backends.conformance.cases import Case
from backends.conformance.composed import balls_of_steps
from backends.conformance.report import Finding, worst_of
from backends.conformance.stages import judge_stages, judge_step, judge_train
from backends.conformance.subject import Subject, precision_of

CASE = "5-4-3/n=16/normal"
RATES: dict[str, tuple[Any, ...]] = {
    # A whole number first, so that one who keeps its type is found out by the next.
    "float32": (1, 0.1, 0, 0.0, -1, -0.1, 3, 2.0**-140, 1e6, 1e9, 1e39, -1e39),
    "float64": (1, 0.1, 0, 0.0, -1, -0.1, 3, 2.0**-1060, 1e6, 1e9, 1e300),
}
TYPED = (np.float32(0.3), np.float64(0.3), np.int64(2), np.int8(-2))


def check_rates(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge `update`, `step` and one step of `train` at every rate, one after another on one instance."""
    case = Case.parse(CASE)
    backend, problem = subject.on(case.network), case.problem(subject.dtype)
    for rate in (*RATES[subject.dtype], *TYPED):
        at = replace(problem, name=f"{CASE}, rate {rate!r}", learning_rate=rate)
        try:
            with np.errstate(all="ignore"):
                trajectory = balls_of_steps(at, 1, precision_of(backend, at.work))
                findings = [finding for finding in judge_stages(backend, at).findings if finding.claim == "update"]
                findings += judge_step(backend, at, trajectory).findings
                findings += judge_train(backend, at, trajectory).findings
        except Exception as error:  # whatever a stranger's backend raises must not stop the other rates
            yield Finding("rates", at.name, np.inf, f"raised {type(error).__name__}: {error}")
            continue
        worst = worst_of(findings)
        yield Finding("rates", at.name, worst.ratio, f"{worst.claim}: {worst.where}")
