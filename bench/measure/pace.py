"""How many seconds processes and cells of each backend take here, from earlier runs, or guessed if there are none.

Tests: `tests/bench/measure/test_budget.py`.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.basics.names import AA, OK
from bench.measure.cell import Cell, Group
from bench.measure.estimate import phase_s
from bench.measure.guess import Guess
from bench.measure.timing import ROUND_S, Effort, settling_s, turn_s

START_S = 2.0
"""Of a process whose backend was never run here: interpreter, imports, the end."""

EXTRA_S: Mapping[str, float] = {"cold": 0.1, "warm": 0.04}
"""Of a cell that was never run here, beyond its calls: its share of loading and proving its group; compiling."""

EXTRA_CALLS, LONG_EXTRA_CALLS, LONG_CALL_S = 3.0, 1.5, 0.1
"""Calls of a cell beyond its rounds: the first, those of the warm-up, which long calls do without."""

SWITCH_S = 1e-3

COLD, WARM, AGAIN = "cold", "warm", "again"
"""How a group is opened: in a first lap with a cold or a warm compile cache, or in a later lap."""

Known = tuple[str, Cell]


@dataclass(frozen=True)
class Pace:
    """Seconds that things take.

    Attributes:
        start_s: by backend: of a process beyond its cells.
        extra_s: by ``"cold"`` or ``"warm"`` cache, backend and cell: of a cell beyond its rounds.
        call_s: by backend and cell: of one call.
        opening_s: by `COLD`, `WARM` or `AGAIN`, backend and group: of loading and proving a group.
        compiled: by backend: the groups, as text, of which a kept compile cache holds the code; none if its code has
            changed since. Of a backend that is not in it, all.
        guesses: by backend: what takes the place of what was never measured here.
    """

    start_s: Mapping[str, float] = field(default_factory=dict)
    extra_s: Mapping[str, Mapping[Known, float]] = field(default_factory=dict)
    call_s: Mapping[Known, float] = field(default_factory=dict)
    opening_s: Mapping[str, Mapping[tuple[str, Group], float]] = field(default_factory=dict)
    compiled: Mapping[str, frozenset[str]] = field(default_factory=dict)
    guesses: Mapping[str, Guess] = field(default_factory=dict)

    def compiles(self, backend: str, group: Group | None = None) -> bool:
        """Return whether a backend has to compile what it runs, or one group, even if earlier caches are used."""
        if backend not in self.start_s:
            return True
        if (held := self.compiled.get(backend)) is None:
            return False
        return not held if group is None else str(group) not in held

    def process_start_s(self, backend: str) -> float:
        """Return the seconds of a process beyond its cells."""
        guess = self.guesses.get(backend)
        return self.start_s.get(backend, guess.start_s if guess else START_S)

    def compile_s(self, backend: str) -> float:
        """Return the seconds of compiling what all groups share; 0 once a group was measured that includes them."""
        known = any(name == backend for name, _ in self.opening_s.get(COLD, {}))
        return self.guesses[backend].compile_s if backend in self.guesses and not known else 0.0

    def group_s(self, backend: str, group: Group, how: str, effort: Effort) -> float:
        """Return the seconds of opening a group; 0 if unknown, since guesses of its cells include a share of it."""
        guess = self.guesses.get(backend)
        known_s, warm_s = (self.opening_s.get(state, {}).get((backend, group)) for state in (how, WARM))
        if known_s or (warm_s and how == AGAIN):
            return known_s or warm_s or 0.0
        if not guess:
            return 0.0
        if warm_s:
            return warm_s + guess.group_compile_s
        return guess.opening_s(group, how == COLD, effort.recheck_s if how == AGAIN else effort.check_s)

    def cell_s(self, backend: str, cell: Cell, effort: Effort, cold: bool) -> float:
        """Return the seconds that one cell should take one process that makes an effort.

        Opening its group, `group_s`, comes on top of it.
        """
        group, guess = cell.group, self.guesses.get(backend)
        call_s = self.call_s.get((backend, cell)) or (
            guess.call_s(cell) if guess else phase_s(group.workload, group.rows, cell.phase, group.dtype)
        )
        state = COLD if cold else WARM
        extra_s = self.extra_s.get(state, {}).get((backend, cell))
        if extra_s is None and guess:
            extra_s = guess.extra_s(call_s, effort)
        elif extra_s is None:
            extra_s = EXTRA_S[state] + call_s * (LONG_EXTRA_CALLS if call_s > LONG_CALL_S else EXTRA_CALLS)
        round_s = max(call_s, ROUND_S)
        return extra_s + rounds_s(call_s, max(effort.timed_s, effort.rounds(round_s) * round_s))


def rounds_s(call_s: float, timed_s: float) -> float:
    """Return the seconds that rounds take with what comes between their turns."""
    return timed_s + timed_s / max(turn_s(call_s), call_s) * (settling_s(call_s) + SWITCH_S)


def timed_rounds_s(record: Mapping[str, Any]) -> float:
    """Return the seconds that the rounds of a stored cell took, with what came between their turns."""
    call_s = record["median_s"] * record["steps"]
    return rounds_s(call_s, (record["rounds"] + record["set_aside"]) * record["iterations"] * call_s)


def beyond_rounds_s(record: Mapping[str, Any]) -> float:
    """Return the seconds that a stored cell took beyond its rounds: all of them if it was not timed.

    In the first cell of its group they are the opening of the group: loading and proving it.
    """
    spent_s = float(record.get("spent_s") or 0.0)
    return max(spent_s - timed_rounds_s(record), 0.0) if record["status"] == OK else spent_s


def learn(records: Iterable[Mapping[str, Any]]) -> Pace:
    """Return the pace that the records of a run show.

    Records without ``spent_s`` are of an earlier version. One that lacks what is needed, since another program wrote
    it, teaches nothing.
    """
    lesson = _Lesson()
    for record in records:
        with contextlib.suppress(KeyError, TypeError, ValueError, ArithmeticError):
            if record.get("status") == OK:
                lesson.learn(record)
    start_s = {name: statistics.median(values) for name, values in lesson.start_s.items()}
    return Pace(start_s, lesson.extra_s, lesson.call_s, lesson.opening_s)


class _Lesson:
    """What the records of a run have shown so far."""

    def __init__(self) -> None:
        self.start_s: dict[str, list[float]] = {}
        self.extra_s: dict[str, dict[Known, float]] = {COLD: {}, WARM: {}}
        self.opening_s: dict[str, dict[tuple[str, Group], float]] = {COLD: {}, WARM: {}, AGAIN: {}}
        self.call_s: dict[Known, float] = {}
        self._spent_s: dict[int, float] = {}
        self._opened: dict[int, set[Group]] = {}
        self._threads: dict[Known, int] = {}

    def learn(self, record: Mapping[str, Any]) -> None:
        """Update from one record."""
        if record.get("record") == "process" and record.get("order") in self._spent_s:
            beyond_s = float(record["seconds"]) - self._spent_s[record["order"]]
            self.start_s.setdefault(record["backend"], []).append(max(beyond_s, 0.0))
        elif record.get("spent_s"):
            order, cell = record["order"], Cell.of(record)
            self._spent_s[order] = self._spent_s.get(order, 0.0) + record["spent_s"]
            opened = self._opened.setdefault(order, set())
            first = cell.group not in opened
            opened.add(cell.group)
            known = record["backend"], cell
            self._threads[known] = max(self._threads.get(known, 0), record.get("threads", 0))
            # The second copy may find compiled what the first had to compile; one thread tells nothing of all.
            if record["arm"] != AA and record.get("threads", 0) == self._threads[known]:
                self._learn_cell(record, known, first)

    def _learn_cell(self, record: Mapping[str, Any], known: Known, first: bool) -> None:
        backend, cell = known
        beyond_s = beyond_rounds_s(record)
        extra_s = self.extra_s[record["cache"]]
        if first:
            how = AGAIN if record["process"] else record["cache"]
            self.opening_s[how][backend, cell.group] = beyond_s
            extra_s.setdefault(known, 0.0)
        else:
            extra_s[known] = beyond_s
        self.call_s[known] = record["median_s"] * record["steps"]


def joined(earlier: Pace, later: Pace) -> Pace:
    """Return the pace that two runs show; where both show something, the later run counts."""
    extra_s, opening_s = (
        {state: {**first.get(state, {}), **second.get(state, {})} for state in (COLD, WARM, AGAIN)}
        for first, second in ((earlier.extra_s, later.extra_s), (earlier.opening_s, later.opening_s))
    )
    return Pace({**earlier.start_s, **later.start_s}, extra_s, {**earlier.call_s, **later.call_s}, opening_s)
