"""Ranks joined by MPI, through mpi4py.

MPI waits by asking again and again, so its sums take microseconds, and each rank should have its own processor.

Tests: `tests/backends/ranks/test_join.py`.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn

from mpi4py import MPI

from backends.errors import RanksError
from backends.ranks.engine import Engine
from backends.ranks.launch import Launch

MOST_YIELDING_BYTES = 1 << 16
"""A shorter sum offers its processor to others while it waits: as fast if there are none, and twice as fast if a rank
has to share its processor. Longer ones take MPI's own way, which is faster for them.
"""


class MpiRanks(Engine):
    """The ranks of ``MPI.COMM_WORLD``."""

    engine = "mpi"

    def __init__(self, launch: Launch, timeout_s: float) -> None:
        self._world = MPI.COMM_WORLD
        if self._world.size != launch.size:
            raise RanksError(
                f"{launch.launcher} started {launch.size} ranks, and MPI sees {self._world.size}: MPI joins only what "
                f"its own launcher starts; start with: mpiexec -n {launch.size} python ..., or ask for engine 'torch'"
            )
        super().__init__(self._world.rank, self._world.size, timeout_s)

    def sum(self, vector: Any) -> Any:
        """Return the sum over all ranks, in the memory of ``vector``: numpy's, or a CPU tensor's."""
        with self.watch:
            if vector.nbytes > MOST_YIELDING_BYTES:
                self._world.Allreduce(MPI.IN_PLACE, vector)
            else:
                _wait(self._world.Iallreduce(MPI.IN_PLACE, vector))
        return vector

    def gather(self, text: str) -> list[str]:
        """Return every rank's text, by rank."""
        with self.lost("an agreement"):
            _wait(self._world.Ibarrier())
            return self._world.allgather(text)

    def end(self) -> NoReturn:
        """End all ranks: their launcher stops them when one aborts."""
        self._world.Abort(1)
        super().end()  # the launcher may need a moment, in which Abort returns


def _wait(request: MPI.Request) -> None:
    """Wait for a request, and let others have the processor meanwhile."""
    while not request.Test():
        os.sched_yield()
