"""The first call of every phase of a group: what it takes, whether `synchronize` waits, and the steps of a `train`
call.

Tests: `tests/bench/measure/test_group.py`, `tests/bench/measure/test_campaign_faults.py`.
"""

from __future__ import annotations

import math
import time
from itertools import repeat

from bench.measure.estimate import MOST_STEPS, epoch_steps
from bench.measure.group import GroupRun
from bench.measure.timing import timed_round

ROUND_NUMBERS = sorted({min(digit * tens, MOST_STEPS) for tens in (1, 10, 100, 1000, 10_000) for digit in (1, 2, 5)})
TRAIN_CALL_S = 2e-3
SHORT_CALL_S = 1e-3
RECORDED_CALL_S = 0.1
"""Length of a call of `train` that records a step and repeats it: recording is then a small part of the call."""

LONG_STEP_S = 10e-3
"""A call of `train` is a single step if a step takes longer."""

PILE_S, MOST_PILED = 5e-3, 200
LATE_SHARE, LATE_S = 0.25, 200e-6


def first_calls(run: GroupRun) -> None:
    """Make the first call of every phase and keep its time; `train` gets its number of steps here.

    Single steps and training come first: theirs is the time to compile that people ask about, and a phase that is
    called later finds much of its code compiled.

    A phase that raises loses its own time only. If `synchronize` does not wait, the whole group fails, since no time
    would be true; that is tried in a backend's first process only.
    """
    later = run.instructions.lap and set(run.phases) <= set(run.instructions.calls.get(str(run.group), {}))
    for phase in sorted(run.phases, key=lambda phase: phase not in ("step", "train")):
        if phase == "train" and not later:
            _check_waiting(run)
        try:
            if phase == "train" and not run.train_steps:
                choose_steps(run)
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
    """Return the seconds by which results came later than `synchronize` said; 0 if they were there.

    Reading the results is timed twice: the first reading is longer if work was left to do. Some milliseconds of steps
    are handed over before, so that a backend that computes only when it is asked for a value shows it.
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


def choose_steps(run: GroupRun) -> None:
    """Set the steps of a `train` call to a round number that takes a few milliseconds, and keep its first call.

    With mini-batches, a call is a pass over all rows. Otherwise the number starts from the time of `step` and rises if
    the loop inside the framework is much faster; it is larger for a backend that records a step. The time kept as that
    of the first call is a steady call with the final number of steps, plus the longest compilation seen on the way.
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
    """Return the number of `ROUND_NUMBERS` that is nearest by ratio."""
    return min(ROUND_NUMBERS, key=lambda number: abs(math.log(number / max(wanted, 1))))
