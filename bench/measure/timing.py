"""Time one piece of work: first call, warm-up, calibration, then rounds. Each round waits for its work to be done.

What is timed is a `Work`: a function that makes a number of calls and returns when all of them are done, so that its
loop costs what a hand-written one would, and asynchronous calls are paid for inside the timed region. The order
matters: sizing rounds by a first call that compiles would be wrong by orders of magnitude.

No backend and no file here; the rule for spoiled rounds is in `bench.measure.interference`.
"""

from __future__ import annotations

import math
import resource
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.machine.system import usable_cpus
from bench.measure.interference import Round, spoiled

Work = Callable[[int], None]
"""Makes that many calls, one after the other, and returns when their results are there."""

ROUND_S = (
    0.5e-3  # long next to the clock's 50 ns, short next to a time slice of 3 ms: most rounds meet no other process
)
TURN_S = 2e-3  # of rounds before another process has its turn: a noisy neighbour stays for 10 ms to some seconds
SETTLE_S = 0.5e-3  # at the beginning of a turn: caches are someone else's, clocks and thread pools asleep
SHARED_S = 0.1e-3  # of a call: the work of a longer one is often shared among threads
SHARED_TURN_S, SHARED_SETTLE_S = 6e-3, 3e-3
"""For such calls. A process that was stopped goes on with all threads at once, and two that compute may find themselves
on one processor. Threads that spin are moved apart at once (`bench.machine.start_on`); those that wait asleep, as XLA's
do, stay until the kernel moves them, for some milliseconds: jax at 3-2-1, n = 2^20, took 1.1 to 1.5 ms a step in turns
of 2 ms, 0.8 to 1.2 ms in these, and 0.8 to 0.9 ms in a loop of its own.
"""
LONG_S = 20e-3  # of a call: the first of a turn was seen to take 0.1 to 0.4 ms longer than the others, 2 % at most
STEADY = 1.25
KEPT_ROUNDS = 200


@dataclass(frozen=True)
class Effort:
    """How long to look at one cell.

    Attributes:
        timed_s: wall time to spend in timed rounds.
        warm_up_s: most to spend on the warm-up; one call at least is made.
        least_rounds: rounds even if a call is longer than ``timed_s``, as many of them as ``most_s`` holds.
        fewest_rounds: rounds even if a call is longer than ``most_s``.
        most_s: wall time that ``least_rounds`` may take.
        most_rounds: rounds even if a call is short.
        check_s: about how long one check of conformance may take; a larger batch is checked on its first rows.
        recheck_s: the same in processes after a backend's first, and in those of its second copy.
    """

    timed_s: float = 0.2
    warm_up_s: float = 0.2
    least_rounds: int = 5
    fewest_rounds: int = 1
    most_s: float = 300.0
    most_rounds: int = 10_000
    check_s: float = 1.0
    recheck_s: float = 0.02

    def rounds(self, round_s: float) -> int:
        """Return how many rounds of some seconds each to time."""
        least = min(self.least_rounds, max(self.fewest_rounds, int(self.most_s / round_s)))
        return min(max(int(self.timed_s / round_s), least), self.most_rounds)

    def shortly(self, timed_s: float) -> Effort:
        """Return the effort for ``timed_s``; if that is less than its own, one round of a long call will do."""
        if timed_s >= self.timed_s:
            return replace(self, timed_s=timed_s)
        return replace(self, timed_s=timed_s, warm_up_s=min(timed_s, self.warm_up_s), least_rounds=1)


@dataclass(frozen=True)
class Schedule:
    """What the calibration chose.

    Attributes:
        iterations: calls in a round.
        rounds: of a cell, all turns together.
        in_a_turn: rounds in one turn.
        call_s: seconds of a call, about.
    """

    iterations: int
    rounds: int
    in_a_turn: int
    call_s: float


@dataclass(frozen=True)
class Summary:
    """Estimates from the kept rounds: seconds of one call, unless said."""

    median_s: float
    lower_quartile_s: float
    minimum_s: float
    rounds: int
    set_aside: int
    round_s: list[float]
    turn_s: list[float | None]
    cpu_per_wall: float
    involuntary_switches: int


def timed_round(work: Work, calls: int) -> Round:
    """Run one round and return what it took."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    cpu_ns, wall_ns = time.process_time_ns(), time.perf_counter_ns()
    work(calls)
    wall_ns = time.perf_counter_ns() - wall_ns
    cpu_ns = time.process_time_ns() - cpu_ns
    switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw - before
    return Round(max(wall_ns, 1) * 1e-9, cpu_ns * 1e-9, switches)


def warm_up(work: Work, limit_s: float) -> float:
    """Call until three calls in a row are within a quarter of the fastest, or ``limit_s`` is spent; return the fastest.

    At least one call is made. Short calls go on for a few milliseconds, so that caches and clocks settle as well.
    """
    recent: deque[float] = deque(maxlen=3)
    best_s, spent_s, settle_s = math.inf, 0.0, min(5e-3, limit_s)
    while True:
        call_s = timed_round(work, 1).wall_s
        spent_s += call_s
        best_s = min(best_s, call_s)
        recent.append(call_s)
        steady = len(recent) == recent.maxlen and max(recent) <= STEADY * best_s
        if (steady and spent_s >= settle_s) or spent_s >= limit_s:
            return best_s


def calibrate(work: Work, call_s: float, effort: Effort) -> Schedule:
    """Return how many calls make a round of `ROUND_S`, and how many such rounds fill ``effort.timed_s`` and a turn.

    Args:
        work: warmed up.
        call_s: seconds of a steady call, as `warm_up` returns them.
        effort: how long to look.
    """
    calls, round_s = 1, call_s
    while round_s < ROUND_S:
        calls = min(10 * calls, math.ceil(1.2 * calls * ROUND_S / round_s))
        # The faster of two: one that was interrupted would make rounds too short.
        round_s = min(timed_round(work, calls).wall_s for _ in range(2))
    call_s = round_s / calls
    return Schedule(calls, effort.rounds(round_s), max(1, round(turn_s(call_s) / round_s)), call_s)


def long_schedule(call_s: float, effort: Effort) -> Schedule:
    """Return the schedule of long calls, each its own round and turn, which need no calibration."""
    return Schedule(1, effort.rounds(call_s), 1, call_s)


def settle(work: Work, call_s: float) -> None:
    """Call for some milliseconds, so that the first round of a turn is like the others; not if calls are long."""
    spent_s, least_s = 0.0, SETTLE_S if call_s < SHARED_S else SHARED_SETTLE_S
    while call_s < LONG_S and spent_s < least_s:
        spent_s += timed_round(work, 1).wall_s


def settling_s(call_s: float) -> float:
    """Return about how long `settle` takes."""
    if call_s >= LONG_S:
        return 0.0
    return max(SETTLE_S if call_s < SHARED_S else SHARED_SETTLE_S, call_s)


def turn_s(call_s: float) -> float:
    """Return how long the rounds of a turn should take."""
    return TURN_S if call_s < SHARED_S else SHARED_TURN_S


def summarise(rounds: Sequence[Round], calls: int, in_a_turn: int) -> Summary:
    """Return the estimates from the rounds that the machine did not spoil.

    Args:
        rounds: as they were timed, in order.
        calls: calls, or steps, in one round.
        in_a_turn: rounds in each turn.
    """
    aside = spoiled(rounds)
    kept = [timed for timed, spoilt in zip(rounds, aside, strict=True) if not spoilt]
    call_s = np.array([timed.wall_s for timed in kept]) / calls
    turns: list[list[float]] = [[] for _ in range(0, len(rounds), in_a_turn)]
    for place, (timed, spoilt) in enumerate(zip(rounds, aside, strict=True)):
        if not spoilt:
            turns[place // in_a_turn].append(timed.wall_s / calls)
    # A running thread's time is counted at ticks of the clock: a short round may be charged for what came before it.
    busy = min(sum(timed.cpu_s for timed in kept) / sum(timed.wall_s for timed in kept), len(usable_cpus()))
    thinned = call_s[np.unique(np.linspace(0, len(call_s) - 1, min(len(call_s), KEPT_ROUNDS)).round().astype(int))]
    return Summary(
        median_s=float(np.median(call_s)),
        lower_quartile_s=float(np.quantile(call_s, 0.25)),
        minimum_s=float(call_s.min()),
        rounds=len(kept),
        set_aside=sum(aside),
        round_s=[_short(timed) for timed in thinned],
        turn_s=[_median(turn_s) for turn_s in turns],
        cpu_per_wall=busy,
        involuntary_switches=sum(timed.switches for timed in rounds),
    )


def _median(seconds: Sequence[float]) -> float | None:
    return _short(float(np.median(seconds))) if seconds else None


def _short(seconds: float) -> float:
    """Return seconds with six digits: enough, and short in a file."""
    return float(f"{seconds:.6g}")
