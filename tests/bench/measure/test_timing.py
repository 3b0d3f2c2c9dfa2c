"""Warm-up, calibration and rounds: no more than the work itself is timed, and a first call misleads nothing."""

import statistics
import time
import timeit

import pytest

from bench.measure import cases, timing
from bench.measure.interference import Round
from bench.measure.timing import (
    KEPT_ROUNDS,
    ROUND_S,
    Effort,
    Schedule,
    calibrate,
    settle,
    settling_s,
    summarise,
    timed_round,
    warm_up,
)
from bench.workload import problem


class Script:
    """Work whose calls take what a list says, on a clock of its own."""

    def __init__(self, monkeypatch, *durations):
        self.now_ns, self.calls, self.durations = 0, 0, durations
        monkeypatch.setattr(time, "perf_counter_ns", lambda: self.now_ns)
        monkeypatch.setattr(time, "process_time_ns", lambda: self.now_ns)

    def __call__(self, calls):
        for _ in range(calls):
            duration_s = self.durations[min(self.calls, len(self.durations) - 1)]
            self.now_ns += round(duration_s * 1e9)
            self.calls += 1


def test_warm_up_outlasts_calls_that_still_compile(monkeypatch):
    """Slow calls at the second, third and fifth place do not pass for the steady time."""
    script = Script(monkeypatch, 1e-6, 0.2, 0.2, 1e-3, 0.1, 1e-3)
    assert warm_up(script, 10.0) == pytest.approx(1e-6)
    script = Script(monkeypatch, 0.2, 0.2, 1e-3, 0.1, 1e-3)
    assert warm_up(script, 10.0) == pytest.approx(1e-3)
    assert script.calls >= 7


def test_warm_up_of_short_calls_takes_milliseconds_though_they_are_steady(monkeypatch):
    """Equal calls of 10 us go on for 5 ms, so that caches and clocks settle, or for all the time there is."""
    for limit_s, calls in ((1.0, 500), (2e-3, 200)):
        script = Script(monkeypatch, 10e-6)
        warm_up(script, limit_s)
        assert script.calls == pytest.approx(calls, abs=1)


def test_warm_up_ends_when_its_time_is_spent(monkeypatch):
    """Calls that never settle, or one that outlasts the limit, end the warm-up."""
    script = Script(monkeypatch, *[1e-3, 2e-3] * 500)
    warm_up(script, 0.1)
    assert 60 <= script.calls <= 80
    script = Script(monkeypatch, 5.0)
    assert warm_up(script, 0.1) == pytest.approx(5.0)
    assert script.calls == 1


@pytest.mark.parametrize(
    ("call_s", "iterations", "rounds", "in_a_turn"),
    [(1e-6, 600, 333, 3), (20e-6, 30, 333, 3), (2e-3, 1, 100, 3), (1.0, 1, 5, 1)],
)
def test_calibration_fills_rounds_and_the_time_given(monkeypatch, call_s, iterations, rounds, in_a_turn):
    """Short calls fill rounds of half a millisecond, long ones are rounds of their own; rounds fill turns and time."""
    schedule = calibrate(Script(monkeypatch, call_s), call_s, Effort(timed_s=0.2))
    assert schedule == Schedule(iterations, rounds, in_a_turn, pytest.approx(call_s))


def test_calibration_is_not_misled_by_an_interrupted_guess(monkeypatch):
    """A warm-up time that was far too long, or too short, changes nothing that matters."""
    for guess_s in (1e-8, 1e-4, 3e-4):
        script = Script(monkeypatch, 1e-6)
        schedule = calibrate(script, guess_s, Effort(timed_s=0.2))
        assert ROUND_S <= schedule.iterations * 1e-6 <= 20 * ROUND_S


@pytest.mark.parametrize(("call_s", "calls"), [(5e-5, 10), (1e-3, 3), (4e-3, 1), (30e-3, 0)])
def test_a_turn_settles_before_it_is_timed(monkeypatch, call_s, calls):
    """Half a millisecond of short calls, three of those that threads share, one of middling ones, none of long ones."""
    script = Script(monkeypatch, call_s)
    settle(script, call_s)
    assert script.calls == calls
    assert settling_s(call_s) == pytest.approx(calls * call_s)


def test_no_more_processors_are_busy_than_there_are(monkeypatch):
    """Time of spinning threads that the kernel counts late is not taken for more processors."""
    monkeypatch.setattr(timing, "usable_cpus", lambda: (0, 1))
    assert summarise([Round(1e-3, 4e-3, 0)] * 4, 1, 2).cpu_per_wall == 2.0
    assert summarise([Round(1e-3, 1.5e-3, 0)] * 4, 1, 2).cpu_per_wall == pytest.approx(1.5)


def test_summary_counts_steps_and_thins_evenly():
    """Figures are seconds of one call; of many rounds 200 are kept, the first and the last among them."""
    rounds = [Round(1e-3 + k * 1e-9, 1e-3, 0) for k in range(1001)]
    summary = summarise(rounds, 10, 4)
    assert summary.median_s == pytest.approx(1.0005e-4)
    assert summary.minimum_s == pytest.approx(1e-4)
    assert len(summary.round_s) == KEPT_ROUNDS
    assert summary.round_s[0] == pytest.approx(1e-4)
    assert summary.round_s[-1] == pytest.approx(1.001e-4)
    assert summary.round_s == sorted(summary.round_s)
    assert (summary.rounds, summary.set_aside) == (1001, 0)
    assert summary.cpu_per_wall == pytest.approx(1.0, rel=1e-3)


class MicrosecondStep:
    """Stands for a backend whose step takes about a microsecond."""

    batch = ((1, 2, 3), 4)

    def place_params(self, params):
        return 0

    def place_batch(self, inputs, targets):
        return self.batch

    def step(self, params, batch, learning_rate):
        total = 0
        for value in batch[0] * 10:
            total += value
        return total, learning_rate

    def synchronize(self):
        pass


@pytest.mark.timing
def test_a_microsecond_is_reported_as_a_hand_written_loop_would():
    """A step of one microsecond is reported within 15 % of a timeit loop in the same process."""
    from backends import Network

    backend = MicrosecondStep()
    subject = cases.Subject(backend, problem.make(Network((1, 1, 1)), 1))
    work = cases.step(subject)
    names = {"step": backend.step, "batch": backend.batch}
    loop = timeit.Timer("params, loss = step(params, batch, 0.1)", setup="params = 0", globals=names)
    calls = calibrate(work, warm_up(work, 0.02), Effort(timed_s=0.05)).iterations
    reported, written = [], []
    for _ in range(300):  # in turns of half a millisecond, so that a change of the machine meets both
        reported.append(timed_round(work, calls))
        written.append(loop.timeit(calls) / calls)
    assert 0.2e-6 < statistics.median(written) < 8e-6
    ratios = [one.wall_s / calls / other for one, other in zip(reported, written, strict=True)]
    assert statistics.median(ratios) == pytest.approx(1.0, rel=0.15)
    assert min(one.wall_s for one in reported) / calls <= summarise(reported, calls, 4).median_s
