"""What the stored records of a run tell the processes to come: what ended, what was lost, what things took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.basics.names import OK
from bench.measure.cell import Cell, Group, Process

Arm = tuple[str, str, int]
"""Backend, arm and threads."""


class History:
    """Learns from one record after the other.

    Attributes:
        attempts: by order: the latest attempt at a process.
        ended: by order: the status with which a process ended.
        kept: by order: the cells that have a row.
        steps: by backend and group, as text: steps in a call of ``train``.
        lost: by backend: groups at which a process of it was lost, and with which status.
        start_s: by arm: seconds that its latest process took beyond its cells.
        spent_s: by arm and cell: seconds that the cell took the latest process.
        rows: records of cells with a time, in order.
    """

    def __init__(self) -> None:
        self.attempts: dict[int, int] = {}
        self.ended: dict[int, str] = {}
        self.kept: dict[int, set[Cell]] = {}
        self.steps: dict[str, dict[str, int]] = {}
        self.lost: dict[str, dict[Group, str]] = {}
        self.start_s: dict[Arm, float] = {}
        self.spent_s: dict[Arm, dict[Cell, float]] = {}
        self.rows: list[Mapping[str, Any]] = []

    def learn(self, record: Mapping[str, Any]) -> None:
        """Take from a record what counts."""
        order = record.get("order", -1)
        self.attempts[order] = max(self.attempts.get(order, 0), record.get("attempt", 0))
        if record.get("record") == "process":
            self._learn_process(order, record)
        elif record.get("record") == "cell":
            self._learn_cell(order, record)

    def _learn_process(self, order: int, record: Mapping[str, Any]) -> None:
        self.ended[order] = record["status"]
        if group := record.get("group"):
            self.lost.setdefault(record["backend"], {})[Group.make(*group)] = record["status"]
        arm = _arm(record)
        spent_s = sum(self.spent_s.get(arm, {}).get(cell, 0.0) for cell in self.kept.get(order, ()))
        if record["status"] == OK:
            self.start_s[arm] = max(float(record.get("seconds") or 0.0) - spent_s, 0.0)

    def _learn_cell(self, order: int, record: Mapping[str, Any]) -> None:
        cell = Cell.of(record)
        self.kept.setdefault(order, set()).add(cell)
        self.spent_s.setdefault(_arm(record), {})[cell] = float(record.get("spent_s") or 0.0)
        if record["status"] == OK:
            self.rows.append(record)
            if cell.phase == "train":
                self.steps.setdefault(record["backend"], {}).setdefault(str(cell.group), record["steps"])


def arm_of(process: Process) -> Arm:
    """Return the arm that a process belongs to."""
    return process.backend, process.arm, process.threads


def _arm(record: Mapping[str, Any]) -> Arm:
    return record["backend"], record["arm"], record["threads"]
