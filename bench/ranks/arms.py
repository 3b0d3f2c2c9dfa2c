"""Which numbers of ranks, threads and rows one campaign compares.

Tests: `tests/bench/ranks/test_scale.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.basics.formats import counted


@dataclass(frozen=True)
class Arm:
    """One way to share the rows of a batch.

    Attributes:
        ranks: number of processes.
        threads: of each.
        engine: that they join by, ``''`` for one process, which joins nothing.
        rows: of the whole batch.
    """

    ranks: int
    threads: int
    engine: str
    rows: int

    def __str__(self) -> str:
        by = f" by {self.engine}" if self.engine else ""
        return f"{counted(self.ranks, 'rank')} x {counted(self.threads, 'thread')}{by}"


def arms_of(rows: int, ranks: Sequence[int], cores: int, engine: str) -> tuple[Arm, ...]:
    """Return the arms of one batch: one rank with all cores first, then each number of ranks, all with equal threads.

    A rank's threads are the cores divided by the most ranks. Of the same batch these arms show strong scaling. For weak
    scaling the rows grow with the ranks: the most ranks have all ``rows``, and fewer have as many each.
    """
    most = max(ranks)
    each = max(1, cores // most)
    strong = [Arm(size, each, engine if size > 1 else "", rows) for size in sorted(ranks)]
    weak = [Arm(arm.ranks, each, arm.engine, max(1, rows * arm.ranks // most)) for arm in strong]
    return tuple(dict.fromkeys([Arm(1, cores, "", rows), *strong, *weak]))
