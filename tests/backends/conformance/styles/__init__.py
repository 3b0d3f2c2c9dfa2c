"""Right backends in many styles, which the kit has to accept: each sums, rounds or differentiates in its own way.

Judge thousands of drawn cases on all of them:

    python -m tests.backends.conformance.styles 400
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backends.conformance.composed import balls_of_steps
from backends.conformance.drawn import drawn
from backends.conformance.plain import Plain
from backends.conformance.report import Finding
from backends.conformance.stages import judge_stages, judge_step, judge_train
from backends.conformance.subject import precision_of
from tests.backends.conformance.styles import compiled, frameworks, processes, sums
from tests.backends.conformance.styles.style import Style

STYLES: tuple[type[Style], ...] = (*sums.STYLES, *frameworks.STYLES, *compiled.STYLES, *processes.STYLES)


def judge_drawn(style: type[Plain], dtype: str, seed: int, draws: int, most_work: int) -> Iterator[list[Finding]]:
    """Yield the findings of each of ``draws`` drawn cases of at most so many rows times parameters."""
    found = 0
    while found < draws:
        for case in drawn(seed, 2 * draws):
            if found < draws and case.rows * case.network.parameter_count <= most_work:
                found += 1
                backend, problem = style(case.network, dtype), case.problem(dtype)
                with np.errstate(all="ignore"):
                    trajectory = balls_of_steps(problem, 2, precision_of(backend, problem.work))
                    tallies = [
                        judge_stages(backend, problem),
                        judge_step(backend, problem, trajectory),
                        judge_train(backend, problem, trajectory),
                    ]
                yield [finding for tally in tallies for finding in tally.findings]
        seed += 1
