"""What is measured: groups, cells and the processes that measure them, and their form in JSON.

Tests: `tests/bench/measure/test_plan.py`, `tests/bench/measure/test_campaign.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from backends import Descent, Network, Optimizer
from bench.basics.formats import counted
from bench.workload import Workload


class Group(NamedTuple):
    """What is placed and proven once: a network, a number of rows, a dtype, a device, and how it is trained."""

    network: Network
    rows: int
    dtype: str
    device: str
    optimizer: Optimizer = Descent()
    rows_per_step: int | None = None

    def __str__(self) -> str:
        return f"{self.workload} n={self.rows} {self.dtype} {self.device}"

    @property
    def workload(self) -> Workload:
        """The network and how it is trained."""
        return Workload(self.network, self.optimizer, self.rows_per_step)

    def columns(self) -> dict[str, Any]:
        """Return the group as columns of a stored row."""
        return {**self.workload.columns(), "batch": self.rows, "dtype": self.dtype, "device": self.device}

    def stored(self) -> tuple[str, int, str, str]:
        """Return the group for JSON: the text of its workload, rows, dtype, device."""
        return str(self.workload), self.rows, self.dtype, self.device

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Group:
        """Return the group that a stored row belongs to."""
        return cls.make(row["network"], int(row["batch"]), row["dtype"], row["device"])

    @classmethod
    def make(cls, workload: Workload | Network | str, rows: int, dtype: str, device: str) -> Group:
        """Return the group of a workload, or of the text that names it."""
        of = Workload.parse(workload) if isinstance(workload, str) else Workload.of(workload)
        return cls(of.network, rows, dtype, device, of.optimizer, of.rows_per_step)


class Cell(NamedTuple):
    """A group and a phase of it, without a backend."""

    group: Group
    phase: str

    def __str__(self) -> str:
        return f"{self.group} {self.phase}"

    def columns(self) -> dict[str, Any]:
        """Return the cell as columns of a stored row."""
        return {**self.group.columns(), "phase": self.phase}

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Cell:
        """Return the cell that a stored row belongs to."""
        return cls(Group.of(row), row["phase"])


class Process(NamedTuple):
    """One process: its position in the campaign, its lap, its backend, arm and threads."""

    order: int
    lap: int
    backend: str
    arm: str
    threads: int

    def __str__(self) -> str:
        arm = f" {self.arm}" if self.arm else ""
        return f"{self.backend}{arm}, {counted(self.threads, 'thread')}, lap {self.lap}"

    def columns(self) -> dict[str, Any]:
        """Return the process as columns of a stored row."""
        place = {"order": self.order, "process": self.lap}
        return place | {"backend": self.backend, "arm": self.arm, "threads": self.threads}
