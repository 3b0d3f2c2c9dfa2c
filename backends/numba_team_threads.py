"""Run a team's steps (`numba_team`): one member on the calling thread, the others on Python threads that are kept.

numba's own threads cannot be used, since members wait for each other and numba may run them one after another.

Tests: `tests/backends/test_numba_team.py`.
"""

from __future__ import annotations

import math
import os
import time
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from backends import numba_blocking
from backends.base import Array, Network, Optimizer
from backends.layout import aligned_empty
from backends.numba_barrier import STOP, call_again, new_barrier, yield_address
from backends.numba_chunks import plan_of
from backends.numba_optimizers import settings_of
from backends.numba_team import member_of
from backends.numba_team_panels import panels_for
from backends.numba_team_scratch import BLOCKS, LENGTH, places_of
from backends.numba_tiles import STEP_ROWS
from backends.threads import KeptThreads

BARRIER = -2
"""Which argument of a member is the barrier."""


LINGERING_S = 1e-4
"""The same step again within this time finds its members awake (`numba_barrier.LINGERING`)."""
_NO_STEP = None, None, math.nan


class Call(NamedTuple):
    """A call whose other members may linger, so that the same call again finds them awake.

    Attributes:
        arrays: that the caller gave.
        rate: of learning.
        told: what every member is told.
        others: a future of each but the first, as far as they have begun.
        process: that they run in; a forked one has none of them.
    """

    arrays: tuple[Array, ...]
    rate: float
    told: tuple[Any, ...]
    others: list[Future[None]]
    process: int


class TeamThreads:
    """The threads of one backend's teams, and the scratch of the latest steps."""

    def __init__(self, network: Network, dtype: str, optimizer: Optimizer) -> None:
        real: Any = np.dtype(dtype).type
        self._network, self._dtype = network, np.dtype(dtype)
        self._member: Any = member_of(real, network.activation, network.loss, optimizer.name)
        self._plan: Array = plan_of(network, 0)  # type: ignore[no-untyped-call]
        self._moments = len(optimizer.moments)
        self._settings: Array = settings_of(optimizer)  # type: ignore[no-untyped-call]
        self._yield: int = yield_address()  # type: ignore[no-untyped-call]
        self._call_again: Any = call_again()
        self._scratch: dict[tuple[int, int], tuple[Array, Array, Array]] = {}
        self._kept: dict[int, KeptThreads] = {}
        self._latest: Call | None = None
        self._step: tuple[Array | None, Array | None, float] = _NO_STEP
        self._ended = -math.inf

    def linger(self, flat: Array, task: Array, rate: float) -> bool:
        """Return whether the last call was this step, and ended so recently that its members would be awake still.

        For another batch or rate they would have to be started anew.
        """
        same = flat is self._step[0] and task is self._step[1] and rate == self._step[2]
        return same and time.perf_counter() - self._ended < LINGERING_S

    def run(
        self, team: int, flat: Array, updates: Array, xy: Array, order: Array, task: Array, rate: float, losses: Array
    ) -> None:
        """Take a step for each of ``losses``; arguments as `numba_team.member_kernel` has them."""
        arrays = flat, updates, xy, order, task, losses
        call, self._latest = self._latest, None
        if call and not _is_again(call, team, arrays, rate):
            _end(call)
            call = None
        call = call or self._call(team, arrays, rate)
        try:
            together = self._others_run(call, team)
            if together:
                self._member(0, team, *call.told)
            else:
                self._alone(call)
        except BaseException:
            _end(call)
            raise
        if together and len(losses) == 1:
            self._latest = call
        else:
            _end(call)
        self._step = (flat, task, rate) if len(losses) == 1 else _NO_STEP
        self._ended = time.perf_counter()

    def _call(self, team: int, arrays: tuple[Array, ...], rate: float) -> Call:
        """Return a call that nobody has begun."""
        flat, updates, xy, order, task, losses = arrays
        places, scratch, tables = self._scratch_for(int(task[4]), team)
        barrier: Array = new_barrier(team)  # type: ignore[no-untyped-call]
        of_params = self._plan, places, flat, updates, self._settings
        of_first = *self._network.sizes[:2], team
        panels: int = panels_for(len(losses), int(task[4]), *of_first)  # type: ignore[no-untyped-call]
        told = *of_params, xy, order, task, panels, rate, losses, scratch, tables, barrier, self._yield
        return Call(arrays, rate, told, [], os.getpid())

    def _others_run(self, call: Call, team: int) -> bool:
        """Let all members but the first begin, or go on; return whether there are threads for them."""
        kept = self._kept.setdefault(team, KeptThreads(team - 1, "team"))
        barrier, begun = call.told[BARRIER], len(call.others)
        try:
            for me in range(1, team):
                if me > begun:
                    call.others.append(kept.pool().submit(self._member, me, team, *call.told))
                elif self._call_again(barrier, me):
                    call.others[me - 1] = kept.pool().submit(self._member, me, team, *call.told)
        except RuntimeError:  # this account may start no more threads
            kept.drop()
            return False
        return True

    def _alone(self, call: Call) -> None:
        """End the members that have started and changed nothing yet; take the steps on this thread alone."""
        _end(call)
        self._member(0, 1, *call.told)

    def _scratch_for(self, rows: int, team: int) -> tuple[Array, Array, Array]:
        """Return layout, scratch and tables for steps of ``rows`` rows; kept while steps have as many."""
        part = numba_blocking.PART_ROWS
        if (rows, team) not in self._scratch:
            if any(kept != rows for kept, _ in self._scratch):
                self._scratch.clear()
            of_numbers = self._dtype.itemsize, self._moments
            places = places_of(self._network, rows, part, team, *of_numbers)  # type: ignore[no-untyped-call]
            scratch = aligned_empty((int(places[LENGTH]),), self._dtype)
            scratch[places[BLOCKS] :] = 0  # what lies before is written before it is read
            self._scratch[rows, team] = places, scratch, np.zeros((2 * team, min(rows, part) + STEP_ROWS), np.int64)
        return self._scratch[rows, team]


def _is_again(call: Call, team: int, arrays: tuple[Array, ...], rate: float) -> bool:
    """Return whether a call is made again, by a process that has its threads."""
    same = all(a is b for a, b in zip(call.arrays, arrays, strict=True)) and call.rate == rate
    return same and len(call.others) == team - 1 and call.process == os.getpid()


def _end(call: Call) -> None:
    """End a call's other members, which wait for nobody any more, and wait for their threads."""
    if call.process == os.getpid():
        call.told[BARRIER][STOP] = 1
        for other in call.others:
            other.result()
