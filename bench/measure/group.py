"""One group in one process: a network, rows, a dtype, a device on one backend, its phases, what is known of them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from itertools import repeat
from typing import Any

from backends import Backend, BackendUnavailable, Layer, find, load
from backends.conformance import Report, check_cell
from bench.basics.names import OK
from bench.measure import cases
from bench.measure.cell import Group
from bench.measure.estimate import MOST_STEPS, epoch_steps
from bench.measure.failures import classify, told
from bench.measure.instructions import Instructions
from bench.measure.timing import Effort, Work, timed_round
from bench.workload.problem import Problem, make
from bench.workload.work import flop, least_bytes

ROUND_NUMBERS = sorted({min(digit * tens, MOST_STEPS) for tens in (1, 10, 100, 1000, 10_000) for digit in (1, 2, 5)})
TRAIN_CALL_S = 2e-3
SHORT_CALL_S = 1e-3
RECORDED_CALL_S = 0.1
"""Of `train` that records a step and repeats it: as in a training of thousands of steps, recording is a small part."""

LONG_STEP_S = 10e-3
"""A call of `train` is a single step if a step takes longer."""

LONG_CALL_S = 0.1
"""A call that takes longer needs no warm-up beyond the first calls."""

SOME_BYTES = 32 << 20
"""Of a batch that is placed twice: more would need the memory of another batch."""

PILE_S, MOST_PILED = 5e-3, 200
LATE_SHARE, LATE_S = 0.25, 200e-6

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
        """First rows that a check of conformance takes: all of the batch, or of a mini-batch, if its time allows."""
        network = self.group.network
        row_s = CHECK_UNIT_S * sum(network.sizes[1:]) + CHECK_PARAMETER_S * network.parameter_count
        check_s = self.effort.recheck_s if self.instructions.lap or self.instructions.arm else self.effort.check_s
        return min(self._step_rows, max(16, int(check_s / row_s)))

    def checked_shape(self, timed: bool) -> int:
        """Return how many rows the claims on the shape take, once a run and before timing: all if time allows."""
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
        """Place some rows, all if they are few, and return what compiling for that took: the first call less the next.

        Without it the first placing of a batch would count the compiler's work as copying.
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
        """Return the timed loop of a phase, which goes on from where its calls before left off."""
        key = phase, self.steps(phase)
        if key not in self._works:
            train = cases.train_epochs if self.group.rows_per_step else cases.train
            make = cases.SINGLE.get(phase)
            self._works[key] = make(self.subject) if make else train(self.subject, key[1])
        return self._works[key]

    def long_call_s(self, phase: str) -> float:
        """Return about what a call takes if that is long, as an earlier process or its first calls show; else 0."""
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


def first_calls(run: GroupRun) -> None:
    """Make the first call of every phase and keep its time; `train` gets its number of steps here.

    A phase that raises costs itself alone; a `synchronize` that does not wait costs all, since no time would be true.
    That is tried in a backend's first process: what its later ones do was tried there.
    """
    later = run.instructions.lap and set(run.phases) <= set(run.instructions.calls.get(str(run.group), {}))
    for phase in run.phases:
        if phase == "train" and not later:
            _check_waiting(run)
        try:
            if phase == "train" and not run.train_steps:
                _choose_steps(run)
            else:
                run.first_s[phase] = timed_round(run.work(phase), 1).wall_s
        except BaseException as error:
            run.fail(phase, error)
    if "train" not in run.phases and not later:
        _check_waiting(run)


def _check_waiting(run: GroupRun) -> None:
    """Make sure that `synchronize` returns when the work is done, not before.

    Raises:
        RuntimeError: three times out of three, reading the results of awaited steps took longer than it should.
    """
    if run.failures:
        return
    late_s: list[float] = []
    while len(late_s) < 3:
        late_s.append(_late_s(run))
        if not late_s[-1]:
            return
    raise RuntimeError(f"synchronize() returned about {min(late_s):.2g} s before the step's results were there")


def _late_s(run: GroupRun) -> float:
    """Return how much longer results take to be read than they should, after steps that were awaited; 0 if in time.

    As many steps as fill some milliseconds pile up first: a backend that only computes when it is asked for a value
    would have them all to do, and even a step of microseconds shows.
    """
    backend, batch, rate = run.subject.backend, run.subject.batch, run.problem.learning_rate
    begun_s = time.perf_counter()
    params, loss = backend.step(run.subject.fresh_params(), batch, rate)
    backend.synchronize()
    run.step_s = time.perf_counter() - begun_s
    for _ in repeat(None, min(int(PILE_S / run.step_s), MOST_PILED)):
        params, loss = backend.step(params, batch, rate)
    backend.synchronize()
    moments_s = [time.perf_counter()]
    for _ in range(2):
        float(loss)
        backend.fetch(params)
        moments_s.append(time.perf_counter())
    late_s = (moments_s[1] - moments_s[0]) - (moments_s[2] - moments_s[1])
    return late_s if late_s > LATE_S + LATE_SHARE * run.step_s else 0.0


def prove(run: GroupRun, params: Sequence[Layer], timed: bool = False) -> Report:
    """Return how the backend meets the bounds of conformance, from some parameters on; ``timed`` are the last."""
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


def _choose_steps(run: GroupRun) -> None:
    """Set the steps of a `train` call to a round number that takes a few milliseconds, and keep its first call.

    With mini-batches, a call is a pass over all rows. Else it takes longer if a backend records a step, so that it
    does; it starts from the time of `step`, and goes up if the loop inside the framework proves much faster. The first
    call that is kept is one of the final number of steps and what the longest of the first calls took to compile.
    """
    steps = 1
    if run.group.rows_per_step:
        run.train_steps = epoch_steps(run.group.workload, run.group.rows)
        run.first_s["train"] = timed_round(run.work("train"), 1).wall_s
        return
    if run.step_s < LONG_STEP_S:
        step = run.work("step")
        step(1)
        run.step_s = min(timed_round(step, 1).wall_s for _ in range(2))
        assert run.backend is not None
        recorded = 2 * (run.backend.captured_steps or math.inf) * run.step_s <= RECORDED_CALL_S
        steps = _round_number((RECORDED_CALL_S if recorded else TRAIN_CALL_S) / run.step_s)
    compiling_s = 0.0
    while steps > run.train_steps:
        run.train_steps = steps
        train = run.work("train")
        first_s = timed_round(train, 1).wall_s
        if run.step_s >= LONG_STEP_S:
            run.first_s["train"] = first_s
            return
        call_s = min(timed_round(train, 1).wall_s for _ in range(3))
        compiling_s = max(compiling_s, first_s - call_s)
        run.first_s["train"] = call_s + compiling_s
        if call_s < SHORT_CALL_S and steps < MOST_STEPS:
            steps = _round_number(steps * TRAIN_CALL_S / call_s)


def _round_number(wanted: float) -> int:
    """Return the one of `ROUND_NUMBERS` that is nearest by ratio."""
    return min(ROUND_NUMBERS, key=lambda number: abs(math.log(number / max(wanted, 1))))
