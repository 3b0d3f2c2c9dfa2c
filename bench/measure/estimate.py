"""About what a call takes, before anything was measured, from the rate of products. Only for plans and progress."""

from __future__ import annotations

import functools
import time

import numpy as np

from backends import Network
from bench.machine import default_threads
from bench.work import flop

PROBE_SIZE, PROBE_TRIES = 384, 12
PRODUCT_SHARE = 0.7
"""Of the rate of one large product, what the products of a network reach."""

VALUE_S, CALL_S = 0.7e-9, 20e-6


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


def step_s(network: Network, rows: int, dtype: str = "float32") -> float:
    """Return roughly what a step of the fastest backend takes."""
    values_s = rows * VALUE_S * sum(network.sizes[1:])
    return CALL_S + values_s + flop(network, rows) / (PRODUCT_SHARE * flop_rate(dtype))


def phase_s(network: Network, rows: int, phase: str, dtype: str = "float32") -> float:
    """Return roughly what a call of a phase takes; a call of ``train`` has as many steps as a few milliseconds hold."""
    whole_s = step_s(network, rows, dtype)
    if phase == "train":
        return max(whole_s, 3e-3)
    return whole_s * {"step": 1.0, "update": 0.01, "place": 0.2}.get(phase, 0.5)
