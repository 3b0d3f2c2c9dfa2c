"""What the records of a run show so far, for the processes to come: which ended, which were lost, what each took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.basics.names import OK
from bench.measure.cell import Cell, Group, Process
from bench.measure.pace import beyond_rounds_s

Arm = tuple[str, str, int]
"""Backend, arm and threads."""


class History:
    """Learns from one record after the other.

    Attributes:
        attempts: by order: the latest attempt at a process.
        ended: by order: the status with which a process ended.
        kept: by order: the cells that have a row.
        steps: by backend and group, as text: steps in a call of ``train``.
        calls: by arm, group, as text, and phase: seconds of a call in the latest process.
        lost: by backend: groups at which a process of it was lost, and with which status.
        start_s: by arm: seconds that its latest process took beyond its cells.
        opening_s: by arm and group: seconds that loading and proving the group took the latest process, without
            compiling.
        opened_in: by arm and group: the lap of that process.
        spent_s: by arm and cell: seconds that the cell took the latest process, without opening its group.
        rows: records of cells with a time, in order.
    """

    def __init__(self) -> None:
        self.attempts: dict[int, int] = {}
        self.ended: dict[int, str] = {}
        self.kept: dict[int, set[Cell]] = {}
        self.steps: dict[str, dict[str, int]] = {}
        self.calls: dict[Arm, dict[str, dict[str, float]]] = {}
        self.lost: dict[str, dict[Group, str]] = {}
        self.start_s: dict[Arm, float] = {}
        self.opening_s: dict[Arm, dict[Group, float]] = {}
        self.opened_in: dict[Arm, dict[Group, int]] = {}
        self.spent_s: dict[Arm, dict[Cell, float]] = {}
        self.rows: list[Mapping[str, Any]] = []
        self._worked_s: dict[tuple[int, int], float] = {}
        self._opened: dict[tuple[int, int], set[Group]] = {}

    def learn(self, record: Mapping[str, Any]) -> None:
        """Update from one record."""
        order = record.get("order", -1)
        attempt = order, record.get("attempt", 0)
        self.attempts[order] = max(self.attempts.get(order, 0), attempt[1])
        if record.get("record") == "process":
            self._learn_process(attempt, record)
        elif record.get("record") == "cell":
            self._learn_cell(attempt, record)

    def _learn_process(self, attempt: tuple[int, int], record: Mapping[str, Any]) -> None:
        order, _ = attempt
        self.ended[order] = record["status"]
        if group := record.get("group"):
            self.lost.setdefault(record["backend"], {})[Group.make(*group)] = record["status"]
        if record["status"] == OK:
            beyond_s = float(record.get("seconds") or 0.0) - self._worked_s.get(attempt, 0.0)
            self.start_s[_arm(record)] = max(beyond_s, 0.0)

    def _learn_cell(self, attempt: tuple[int, int], record: Mapping[str, Any]) -> None:
        cell, arm, spent_s = Cell.of(record), _arm(record), float(record.get("spent_s") or 0.0)
        self.kept.setdefault(attempt[0], set()).add(cell)
        self._worked_s[attempt] = self._worked_s.get(attempt, 0.0) + spent_s
        opened = self._opened.setdefault(attempt, set())
        if cell.group not in opened:
            opened.add(cell.group)
            opening_s = beyond_rounds_s(record)
            self.opening_s.setdefault(arm, {})[cell.group] = opening_s
            self.opened_in.setdefault(arm, {})[cell.group] = record["process"]
            spent_s -= opening_s
        if record.get("cache") == "cold":
            compiled_s = min(record.get("compile_s") or 0.0, self.opening_s[arm][cell.group])
            self.opening_s[arm][cell.group] -= compiled_s
        self.spent_s.setdefault(arm, {})[cell] = spent_s
        if record["status"] == OK:
            self.rows.append(record)
            call_s = record["median_s"] * record["steps"]
            self.calls.setdefault(arm, {}).setdefault(str(cell.group), {})[cell.phase] = call_s
            if cell.phase == "train":
                self.steps.setdefault(record["backend"], {}).setdefault(str(cell.group), record["steps"])


def arm_of(process: Process) -> Arm:
    """Return the arm that a process belongs to."""
    return process.backend, process.arm, process.threads


def _arm(record: Mapping[str, Any]) -> Arm:
    return record["backend"], record["arm"], record["threads"]
