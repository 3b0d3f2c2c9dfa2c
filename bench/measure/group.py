"""What one process does with one group, and what it knows of it: a network, rows, a dtype and a device on one backend.

Tests: `tests/bench/measure/test_group.py`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from backends import Backend, BackendUnavailable, find, load
from backends.conformance import Report
from bench.basics.names import OK
from bench.measure import cases
from bench.measure.cell import Group
from bench.measure.failures import classify, told
from bench.measure.instructions import Instructions
from bench.measure.proof_columns import fault, number, ratios
from bench.measure.timing import Effort, Work
from bench.workload.problem import Problem, make
from bench.workload.work import flop, least_bytes

LONG_CALL_S = 0.1
"""A call that takes longer is warm after the first calls."""

SOME_BYTES = 4 << 20
"""Bytes of a batch that are placed twice, to see what compiling takes: enough for the code that places large batches.
Memory that a process touches for the first time would look like compiling: at 32 MiB up to 60 ms, here 1 to 7.
"""

# What a check takes: extended precision has no BLAS, and its tanh is slow.
CHECK_UNIT_S, CHECK_PARAMETER_S = 1.6e-6, 10e-9


MOST_SHAPED_WORK = 1e9
MOST_SHAPED_VALUES = 1 << 26
"""Rows times parameters, and inputs and outputs of all layers, up to which the whole shape is proven: a second or two
for each backend, up to five for a narrow network of 10 million rows.
"""


class GroupRun:
    """What one process does with one group.

    Attributes:
        instructions: of the process.
        group: the group.
        phases: those to measure, in order.
        first_s: seconds of each phase's first call.
        estimates: of each phase that was timed.
        failures: status and reason of each phase that failed.
        before: conformance before timing.
        after: conformance of the final state.
        step_s: seconds of a step after the first, about; 0 until it is known.
    """

    def __init__(self, instructions: Instructions, group: Group, phases: Sequence[str]) -> None:
        self.instructions = instructions
        self.effort = Effort(**instructions.effort)
        self.group = group
        self.phases = tuple(phases)
        self.first_s: dict[str, float] = {}
        self.estimates: dict[str, dict[str, Any]] = {}
        self.failures: dict[str, tuple[str, str]] = {}
        self.before: Report | None = None
        self.after: Report | None = None
        self.backend: Backend | None = None
        self.place_s: float | None = None
        self.place_compile_s: float | None = None
        self.step_s = 0.0
        self.train_steps = int(instructions.steps.get(f"{group}", 0))
        self.problem: Problem
        self.subject: cases.Subject
        self._works: dict[tuple[str, int], Work] = {}

    @property
    def checked_rows(self) -> int:
        """How many rows a check of conformance takes: those of a step, or fewer if these would take too long."""
        network = self.group.network
        row_s = CHECK_UNIT_S * sum(network.sizes[1:]) + CHECK_PARAMETER_S * network.parameter_count
        check_s = self.effort.recheck_s if self.instructions.lap or self.instructions.arm else self.effort.check_s
        return min(self._step_rows, max(16, int(check_s / row_s)))

    def checked_shape(self, timed: bool) -> int:
        """Return how many rows the claims on shapes take: 0 except before timing in a backend's first process."""
        if timed or self.instructions.lap or self.instructions.arm:
            return 0
        network = self.group.network
        most = min(MOST_SHAPED_WORK / network.parameter_count, MOST_SHAPED_VALUES / sum(network.sizes))
        return min(self._step_rows, max(1, int(most)))

    @property
    def _step_rows(self) -> int:
        return self.group.workload.step_rows(self.group.rows)

    def load(self) -> None:
        """Make the problem, load the backend and place the batch, whose time is kept."""
        name, group = self.instructions.backend, self.group
        offered = find(name).capabilities
        if group.dtype not in offered.dtypes:
            raise BackendUnavailable(f"it has no dtype {group.dtype!r}, only {', '.join(offered.dtypes)}")
        if lack := group.workload.lacking(offered):
            raise BackendUnavailable(f"it {lack}")
        self.backend = load(name, group.network, group.dtype, group.device, group.optimizer)
        self.problem = make(group.workload, group.rows, group.dtype)
        self.place_compile_s = self._placing_compile_s()
        begun_s = time.perf_counter()
        self.subject = cases.Subject(self.backend, self.problem, group.rows_per_step)
        self.place_s = time.perf_counter() - begun_s

    def _placing_compile_s(self) -> float:
        """Place some rows twice and return what compiling for that took: the first time less the second.

        So the placing of the whole batch, which comes next, is timed without the compiler's work.
        """
        assert self.backend is not None
        inputs, targets = self.problem.inputs, self.problem.targets
        row_bytes = (inputs.nbytes + targets.nbytes) / self.group.rows
        some = max(1, min(self.group.rows, int(SOME_BYTES / row_bytes)))
        moments_s = [time.perf_counter()]
        for _ in range(2):
            self.backend.place_batch(inputs[:some], targets[:some])
            self.backend.place_params(self.problem.params)
            self.backend.synchronize()
            moments_s.append(time.perf_counter())
        first_s, again_s = moments_s[1] - moments_s[0], moments_s[2] - moments_s[1]
        return max(0.0, first_s - again_s)

    def work(self, phase: str) -> Work:
        """Return the timed loop of a phase; each call goes on from the state that the last one left."""
        key = phase, self.steps(phase)
        if key not in self._works:
            train = cases.train_epochs if self.group.rows_per_step else cases.train
            make = cases.SINGLE.get(phase)
            self._works[key] = make(self.subject) if make else train(self.subject, key[1])
        return self._works[key]

    def long_call_s(self, phase: str) -> float:
        """Return about how long a call takes, by an earlier process or the first calls; 0 if that is short."""
        if known_s := self.instructions.calls.get(str(self.group), {}).get(phase):
            return known_s if known_s > LONG_CALL_S else 0.0
        step_s = self.step_s * (self.steps(phase) if self.group.rows_per_step else 1)
        call_s = min(self.first_s.get(phase, 0.0), step_s)
        return call_s if call_s > LONG_CALL_S else 0.0

    def steps(self, phase: str) -> int:
        """Return the steps in one call of a phase."""
        return self.train_steps if phase == "train" else 1

    def fail(self, phase: str, error: BaseException) -> None:
        """Keep why a phase has no time, unless a reason is known already."""
        self.failures.setdefault(phase, (classify(error), told(error)))

    def row(self, phase: str) -> dict[str, Any]:
        """Return the record of one phase."""
        workload, rows, dtype = self.group.workload, self.group.rows, self.group.dtype
        row: dict[str, Any] = {**self.group.columns(), "phase": phase, "steps": self.steps(phase), "status": OK}
        row |= {"flop": flop(workload, rows, phase), "place_s": self.place_s}
        row["place_compile_s"] = self.place_compile_s
        row["bytes_moved"] = least_bytes(workload, rows, dtype, phase)
        if self.before:
            row |= {"conformance_ratio": number(self.before.worst.ratio), "conformance_claim": self.before.worst.name}
            row |= {"conformance_claims": ratios(self.before), "conformance_rows": self.checked_rows}
        if self.after:
            row["final_ratio"] = number(self.after.worst.ratio)
        for report, when in ((self.before, "before timing"), (self.after, "after timing")):
            if report and not report.passed:
                return row | {"status": "nonconformant", "reason": fault(report, when)}
        if phase in self.failures:
            status, reason = self.failures[phase]
            return row | {"status": status, "reason": reason}
        if phase not in self.estimates:
            return row | {"status": "failed", "reason": "it was not timed; the log of the process says why"}
        return row | {"first_call_s": self.first_s[phase]} | self.estimates[phase]
