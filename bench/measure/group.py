"""One group in one process: a network, rows, a dtype, a device on one backend, its phases, what is known of them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backends import Backend, BackendUnavailable, Layer, Network, find
from backends.conformance import Report, check_cell
from bench.measure import cases
from bench.measure.failures import classify
from bench.measure.plan import Group
from bench.measure.timing import Work, timed_round
from bench.problem import Problem, make
from bench.work import flop, least_bytes

MOST_STEPS = 10_000
ROUND_NUMBERS = sorted({min(digit * tens, MOST_STEPS) for tens in (1, 10, 100, 1000, 10_000) for digit in (1, 2, 5)})
TRAIN_CALL_S = 2e-3
SHORT_CALL_S = 1e-3

LATE_SHARE, LATE_S = 0.25, 200e-6

# What a check takes: extended precision has no BLAS, and its tanh is slow.
CHECK_UNIT_S, CHECK_PARAMETER_S = 1.6e-6, 10e-9


class GroupRun:
    """What one process does with one group.

    Attributes:
        process: what the process was told.
        group: the group.
        phases: those to measure, in order.
        first_s: seconds of each phase's first call.
        figures: of each phase that was timed.
        failures: status and reason of each phase that failed.
        before: conformance before timing.
        after: conformance of the final state.
    """

    def __init__(self, process: Mapping[str, Any], group: Group, phases: Sequence[str]) -> None:
        self.process = process
        self.group = group
        self.phases = tuple(phases)
        self.network = Network.parse(group.network)
        self.first_s: dict[str, float] = {}
        self.figures: dict[str, dict[str, Any]] = {}
        self.failures: dict[str, tuple[str, str]] = {}
        self.before: Report | None = None
        self.after: Report | None = None
        self.backend: Backend | None = None
        self.place_s: float | None = None
        self.train_steps = int(process["steps"].get(f"{group}", 0))
        self.problem: Problem
        self.subject: cases.Subject

    @property
    def checked_rows(self) -> int:
        """First rows of the batch that a check of conformance takes, all of them where its time allows."""
        row_s = CHECK_UNIT_S * sum(self.network.sizes[1:]) + CHECK_PARAMETER_S * self.network.parameter_count
        check_s = self.process["effort"]["recheck_s" if self.process["process"] else "check_s"]
        return min(self.group.batch, max(16, int(check_s / row_s)))

    def load(self) -> None:
        """Make the problem, load the backend and place the batch, whose time is kept."""
        kind = find(self.process["backend"])
        if self.group.dtype not in kind.capabilities.dtypes:
            raise BackendUnavailable(
                f"it has no dtype {self.group.dtype!r}, only {', '.join(kind.capabilities.dtypes)}"
            )
        self.backend = kind(self.network, self.group.dtype, self.group.device)
        self.problem = make(self.network, self.group.batch, self.group.dtype)
        begun_s = time.perf_counter()
        self.subject = cases.Subject(self.backend, self.problem)
        self.place_s = time.perf_counter() - begun_s

    def work(self, phase: str) -> Work:
        """Return the timed loop of a phase, from fresh parameters."""
        if phase == "train":
            return cases.train(self.subject, self.train_steps)
        return cases.SINGLE[phase](self.subject)

    def steps(self, phase: str) -> int:
        """Return the steps in one call of a phase."""
        return self.train_steps if phase == "train" else 1

    def fail(self, phase: str, error: Exception) -> None:
        """Keep why a phase has no figures, unless a reason is known already."""
        self.failures.setdefault(phase, (classify(error), f"{type(error).__name__}: {error}"[:500]))

    def row(self, phase: str) -> dict[str, Any]:
        """Return the record of one phase."""
        row: dict[str, Any] = {**self.group._asdict(), "phase": phase, "steps": self.steps(phase), "status": "ok"}
        row |= {"flop": flop(self.network, self.group.batch, phase), "place_s": self.place_s}
        row["bytes_moved"] = least_bytes(self.network, self.group.batch, self.group.dtype, phase)
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
        if phase not in self.figures:
            return row | {"status": "failed", "reason": "it was not timed; the process's log says why"}
        return row | {"first_call_s": self.first_s[phase]} | self.figures[phase]


def first_calls(run: GroupRun) -> None:
    """Make the first call of every phase and keep its time; `train` gets its number of steps here.

    A phase that raises costs itself alone; a `synchronize` that does not wait costs all, since no time would be true.
    """
    for phase in run.phases:
        if phase == "train":
            _check_waiting(run)
        try:
            if phase == "train" and not run.train_steps:
                _choose_steps(run)
            else:
                run.first_s[phase] = timed_round(run.work(phase), 1).wall_s
        except Exception as error:
            run.fail(phase, error)
    if "train" not in run.phases:
        _check_waiting(run)


def _check_waiting(run: GroupRun) -> None:
    """Make sure that `synchronize` returns when the work is done, not before.

    Raises:
        RuntimeError: three times out of three, reading the results of a step took longer than it should.
    """
    if not run.failures and (late_s := min(_late_s(run) for _ in range(3))) > 0:
        raise RuntimeError(f"synchronize() returned about {late_s:.2g} s before the step's results were there")


def _late_s(run: GroupRun) -> float:
    """Return how much longer results take to be read than they should, after a step that was awaited; 0 if in time."""
    backend, rate = run.subject.backend, run.problem.learning_rate
    params = run.subject.fresh_params()
    moments_s = [time.perf_counter()]
    params, loss = backend.step(params, run.subject.batch, rate)
    backend.synchronize()
    for _ in range(2):
        moments_s.append(time.perf_counter())
        float(loss)
        backend.fetch(params)
    step_s, first_s, again_s = np.diff([*moments_s, time.perf_counter()])
    late_s = float(first_s - again_s)
    return late_s if late_s > LATE_S + LATE_SHARE * step_s else 0.0


def prove(run: GroupRun, params: Sequence[Layer]) -> Report:
    """Return how the backend stands to the bounds of conformance, from some parameters on."""
    problem, rows = run.problem, run.checked_rows
    inputs, targets = problem.inputs[:rows], problem.targets[:rows]
    report = check_cell(run.subject.backend, params, inputs, targets, problem.learning_rate)
    if not report.passed:
        for phase in run.phases:
            run.failures[phase] = ("nonconformant", fault(report, "before timing"))
    return report


def number(ratio: float) -> float:
    """Return a ratio of error to bound; one that is not finite as 1e300, since JSON has no word for it."""
    return ratio if math.isfinite(ratio) else 1e300


def ratios(report: Report) -> str:
    """Return each claim's worst ratio as JSON, in the order of the maths; null where there was nothing to judge."""
    return json.dumps({claim.name: None if claim.status == "skip" else number(claim.ratio) for claim in report.claims})


def fault(report: Report, when: str) -> str:
    """Return the claims that failed, in words."""
    claims = ", ".join(f"{claim.name} ({claim.ratio:.3g} of its bound; {claim.where})" for claim in report.failures)
    return f"{when}: {claims}"[:500]


def _choose_steps(run: GroupRun) -> None:
    """Set the steps of a `train` call to a round number that takes a few milliseconds, and keep its first call.

    It starts from the time of `step`, and goes up where the loop inside the framework proves much faster. The first
    call that is kept is one of the final number of steps and what the dearest of the first calls took to compile.
    """
    step = cases.step(run.subject)
    step(1)
    step_s = min(timed_round(step, 1).wall_s for _ in range(2))
    steps = _round_number(TRAIN_CALL_S / step_s)
    compiling_s = 0.0
    while steps > run.train_steps:
        run.train_steps = steps
        train = run.work("train")
        first_s = timed_round(train, 1).wall_s
        call_s = min(timed_round(train, 1).wall_s for _ in range(3))
        compiling_s = max(compiling_s, first_s - call_s)
        run.first_s["train"] = call_s + compiling_s
        if call_s < SHORT_CALL_S and steps < MOST_STEPS:
            steps = _round_number(steps * TRAIN_CALL_S / call_s)


def _round_number(wanted: float) -> int:
    """Return the one of `ROUND_NUMBERS` that is nearest by ratio."""
    return min(ROUND_NUMBERS, key=lambda number: abs(math.log(number / max(wanted, 1))))
