"""Run a team's steps (`numba_team`): one member on the calling thread, the others on Python threads that are kept.

numba's own threads cannot be used, since members wait for each other and numba may run them one after another.

Tests: `tests/backends/test_numba_team.py`.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import numpy as np

from backends.base import Array, Network, Optimizer
from backends.layout import aligned_empty
from backends.numba_barrier import STOP, new_barrier, yield_address
from backends.numba_chunks import plan_of
from backends.numba_optimizers import settings_of
from backends.numba_team import member_of
from backends.numba_team_panels import panels_for
from backends.numba_team_scratch import BLOCKS, LENGTH, places_of
from backends.numba_tiles import STEP_ROWS
from backends.threads import KeptThreads

BARRIER = -2
"""Which argument of a member is the barrier."""


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
        self._scratch: dict[tuple[int, int], tuple[Array, Array, Array]] = {}
        self._kept: dict[int, KeptThreads] = {}

    def run(
        self, team: int, flat: Array, updates: Array, xy: Array, order: Array, task: Array, rate: float, losses: Array
    ) -> None:
        """Take a step for each of ``losses``; arguments as `numba_team.member_kernel` has them."""
        places, scratch, tables = self._scratch_for(int(task[4]), team)
        barrier: Array = new_barrier()  # type: ignore[no-untyped-call]
        of_params = self._plan, places, flat, updates, self._settings
        of_first = *self._network.sizes[:2], team
        panels: int = panels_for(len(losses), int(task[4]), *of_first)  # type: ignore[no-untyped-call]
        of_call = xy, order, task, panels, rate, losses
        told: tuple[Any, ...] = *of_params, *of_call, scratch, tables, barrier, self._yield
        others: list[Future[None]] = []
        kept = self._kept.setdefault(team, KeptThreads(team - 1, "team"))
        try:
            try:
                for me in range(1, team):
                    others.append(kept.pool().submit(self._member, me, team, *told))
            except RuntimeError:  # this account may start no more threads
                self._alone(others, told)
                kept.drop()
            else:
                self._member(0, team, *told)
        finally:
            barrier[STOP] = 1  # nobody waits for a member that will not come
            for other in others:
                other.result()

    def _alone(self, others: list[Future[None]], told: tuple[Any, ...]) -> None:
        """End the members that have started and changed nothing yet; take the steps on this thread alone."""
        told[BARRIER][STOP] = 1
        for other in others:
            other.result()
        self._member(0, 1, *told)

    def _scratch_for(self, rows: int, team: int) -> tuple[Array, Array, Array]:
        """Return layout, scratch and tables for steps of ``rows`` rows; those of the last call if it had as many."""
        if (rows, team) not in self._scratch:
            self._scratch.clear()
            of_numbers = self._dtype.itemsize, self._moments
            places = places_of(self._network, rows, team, *of_numbers)  # type: ignore[no-untyped-call]
            scratch = aligned_empty((int(places[LENGTH]),), self._dtype)
            scratch[places[BLOCKS] :] = 0  # what lies before is written before it is read
            self._scratch[rows, team] = places, scratch, np.zeros((2 * team, rows + STEP_ROWS), np.int64)
        return self._scratch[rows, team]
