"""One process of a campaign while it measures: what it is to measure, what came of it, and what ran beside it.

Tests: `tests/bench/measure/test_campaign.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.measure.cell import Cell, Process
from bench.measure.compile_cache import CompileCache


@dataclass
class Flight:
    """One process while it measures.

    Attributes:
        process, attempt, cache: of the process.
        cells: to be measured, with the seconds of rounds for each.
        done: cells whose rows came.
        current: the cell that is being measured.
        beside: other measurements that ran on this machine meanwhile.
        spent_s: seconds that the cells done took.
    """

    process: Process
    attempt: int
    cache: CompileCache
    cells: Mapping[Cell, float]
    done: set[Cell] = field(default_factory=set)
    current: Cell | None = None
    beside: set[str] = field(default_factory=set)
    spent_s: float = 0.0

    @property
    def base(self) -> dict[str, Any]:
        """What every record of the process begins with."""
        return {**self.process.columns(), "attempt": self.attempt}

    def cell_record(self, cell: Cell) -> dict[str, Any]:
        """Return the beginning of a cell's record."""
        return {"record": "cell", **self.base, **cell.columns()}
