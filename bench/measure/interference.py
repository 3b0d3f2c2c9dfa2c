"""Which rounds were spoiled by other work on the machine: one rule for every backend.

Let ``q`` be the lower quartile of the rounds' wall times, and the *usual share* the median of CPU time / wall time over
the faster half. A round is set aside when one of these holds:

1. It is more than 10 % slower than ``q`` **and** shows why: the machine took a core away from the process (involuntary
   context switches), or its CPU share is below 90 % of the usual share (a lost core, time stolen by the hypervisor, a
   thread that spins while its partner waits for a core).
   If that holds for more than a quarter of all rounds, it is a property of the backend, and no round is set aside for
   it: the threads of XLA on two cores displace each other, and without these rounds its step would look 8 % shorter.
2. It is slower than ``q`` by more than eight times the distance between the median and ``q``, and by more than 50 %:
   far out, whatever the cause (throttling, interrupts, swapping).

The rule sets aside slow rounds only and keeps at least the faster half, so that the scatter of a backend itself
remains. A disturbance that lasts through all rounds cannot be seen in them. It shows in the row's ``cpu_per_wall`` and
``involuntary_switches``, and in the scatter between processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

SLOWER, SHARE_LOST, FAR_OUT, FAR_SLOWER, MOST_EXPLAINED = 1.1, 0.9, 8.0, 1.5, 0.25


class Round(NamedTuple):
    """One timed round: seconds of wall and CPU time (all threads), and involuntary context switches."""

    wall_s: float
    cpu_s: float
    switches: int


def spoiled(rounds: Sequence[Round]) -> list[bool]:
    """Return which rounds are to be set aside, by the rule above."""
    if len(rounds) < 4:
        return [False] * len(rounds)
    wall_s = np.array([timed.wall_s for timed in rounds])
    share = np.array([timed.cpu_s for timed in rounds]) / wall_s
    preempted = np.array([timed.switches > 0 for timed in rounds])
    quartile, median = np.quantile(wall_s, [0.25, 0.5])
    usual = np.median(share[wall_s <= median])
    explained = (wall_s > SLOWER * quartile) & (preempted | (share < SHARE_LOST * usual))
    if explained.mean() > MOST_EXPLAINED:
        explained[:] = False
    far_out = (wall_s > quartile + FAR_OUT * (median - quartile)) & (wall_s > FAR_SLOWER * quartile)
    aside = (explained | far_out) & (wall_s > median)
    return [bool(timed) for timed in aside]
