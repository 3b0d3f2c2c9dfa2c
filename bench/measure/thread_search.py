"""Where the number of threads can matter: a campaign tries one thread there as well as all.

A very short step runs on one thread anyway, and a long one gains from all threads. Only steps between the two are
searched.

Tests: `tests/bench/measure/test_thread_search.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bench.machine import default_threads
from bench.measure.cell import Group
from bench.measure.estimate import step_s

LEAST_STEP_S, MOST_STEP_S = 30e-6, 5e-3
"""Of the fastest backend with all threads, about."""

CALL_BOUND_S = 200e-6
"""Up to it the price of a second thread is the largest part of a step, and a look at one thread costs little."""


def counts(devices: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of threads to try by default: one and all, if something runs on the processor."""
    every = default_threads()
    return (1, every) if "cpu" in devices and every > 1 else (every,)


def searched(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Return the groups at which one thread may be as fast as all."""
    return tuple(group for group in groups if group.device == "cpu" and LEAST_STEP_S <= _step_s(group) <= MOST_STEP_S)


def anchors(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Return for each network and dtype one of the searched groups, the one in the middle."""
    middle = math.log(LEAST_STEP_S * CALL_BOUND_S) / 2
    nearest: dict[tuple[object, str], Group] = {}
    for group in sorted(groups, key=lambda group: abs(math.log(_step_s(group)) - middle)):
        nearest.setdefault((group.workload, group.dtype), group)
    return tuple(group for group in groups if group in nearest.values())


def _step_s(group: Group) -> float:
    return step_s(group.workload, group.rows, group.dtype)
