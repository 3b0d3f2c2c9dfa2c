"""About what a call takes, before anything was measured, from the rate of products. Only for plans and progress."""

from __future__ import annotations

import functools
import math
import time

import numpy as np

from backends import Network
from bench.machine import default_threads
from bench.workload import Workload
from bench.workload.work import flop, update_flop

PROBE_SIZE, PROBE_TRIES = 384, 12
PRODUCT_SHARE = 0.7
"""Of the rate of one large product, what the products of a network reach."""

MOST_STEPS = 10_000

VALUE_S, CALL_S, PARAMETER_S = 0.7e-9, 20e-6, 0.2e-9


@functools.cache
def flop_rate(dtype: str) -> float:
    """Return the operations a second of a product of two matrices on all cores that this process may use.

    One thread is timed, by its own clock, which stands still while other programs have its core.
    """
    from threadpoolctl import threadpool_limits

    a = np.ones((PROBE_SIZE, PROBE_SIZE), dtype)
    seconds: list[float] = []
    with threadpool_limits(1):
        while len(seconds) < PROBE_TRIES:
            begun_s = time.thread_time()
            a @ a
            seconds.append(time.thread_time() - begun_s)
    return float(default_threads() * 2 * PROBE_SIZE**3 / min(seconds))


def step_s(workload: Workload | Network, rows: int, dtype: str = "float32") -> float:
    """Return roughly what a step of the fastest backend takes."""
    of = Workload.of(workload)
    values_s = of.step_rows(rows) * VALUE_S * sum(of.network.sizes[1:])
    values_s += PARAMETER_S * (update_flop(of) / 2 - of.network.parameter_count)
    return CALL_S + values_s + flop(of, rows) / (PRODUCT_SHARE * flop_rate(dtype))


def phase_s(workload: Workload | Network, rows: int, phase: str, dtype: str = "float32") -> float:
    """Return roughly what a call of a phase takes.

    A call of ``train`` has as many steps as a few milliseconds hold; with mini-batches, those of `epoch_steps`.
    """
    of = Workload.of(workload)
    whole_s = step_s(of, rows, dtype)
    if phase == "train" and of.rows_per_step:
        return whole_s * epoch_steps(of, rows)
    if phase == "place" and of.rows_per_step:
        return 0.2 * step_s(of.network, rows, dtype)
    if phase == "train":
        return max(whole_s, 3e-3)
    return whole_s * {"step": 1.0, "update": 0.01, "place": 0.2}.get(phase, 0.5)


def epoch_steps(workload: Workload, rows: int) -> int:
    """Return the steps of a timed call of ``train`` with mini-batches: a pass over the rows, `MOST_STEPS` at most."""
    return min(math.ceil(rows / workload.step_rows(rows)), MOST_STEPS)
