"""What a backend takes to start, compile and prove that was never run on this machine, for plans and progress.

Tests: `tests/bench/limits/test_guesses.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.measure.cell import Cell, Group
from bench.measure.estimate import phase_s
from bench.measure.timing import Effort

PROOF_SHARE = 0.6
"""Of `Effort.check_s`, or `Effort.recheck_s` in later processes: what proving a group takes, if its calls are long."""

LONG_CALL_S = 1e-3
"""Proving a group of shorter calls takes next to nothing."""

BEYOND_S, BEYOND_CALLS = 0.04, 1.5
"""Of a cell beyond rounds and warm-up: seconds, and calls if these take longer than the warm-up."""


@dataclass(frozen=True)
class Guess:
    """Seconds that one backend takes, about.

    Attributes:
        start_s: of a process beyond its cells: interpreter, imports, the end.
        compile_s: of compiling what all groups share, in a process whose compile cache is cold.
        group_compile_s: of compiling for one group, with a cold cache.
        group_s: of opening a group beyond its proof, with a warm cache.
        slower: times as long as a call of the fastest backend.
    """

    start_s: float
    compile_s: float = 0.0
    group_compile_s: float = 0.0
    group_s: float = 0.0
    slower: float = 1.0

    def opening_s(self, group: Group, cold: bool, check_s: float) -> float:
        """Return the seconds of opening a group whose proof may take ``check_s``, without `compile_s`."""
        long = phase_s(group.workload, group.rows, "step", group.dtype) > LONG_CALL_S
        return self.group_s + cold * self.group_compile_s + long * PROOF_SHARE * check_s

    def call_s(self, cell: Cell) -> float:
        """Return the seconds of one call."""
        group = cell.group
        return self.slower * phase_s(group.workload, group.rows, cell.phase, group.dtype)

    def extra_s(self, call_s: float, effort: Effort) -> float:
        """Return the seconds of a cell beyond its rounds."""
        return BEYOND_S + max(effort.warm_up_s, BEYOND_CALLS * call_s)
