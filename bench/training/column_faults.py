"""What makes a column unfit for a network, counted over the whole table, and the error that says so with its remedy."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.formats import format_count

LISTED = 5


@dataclass
class Fault:
    """Rows of one column that share a fault.

    Attributes:
        rows: how many.
        first_row: the first of them, counted from 1, the header left out.
        example: its value as written; empty where there is none.
    """

    rows: int = 0
    first_row: int = 0
    example: str = ""

    def add(self, mask: NDArray[np.bool_], rows_before: int, example: str = "") -> None:
        """Count the rows that ``mask`` marks in a block that starts after ``rows_before`` rows."""
        count = int(mask.sum())
        if count and not self.rows:
            self.first_row, self.example = rows_before + int(mask.argmax()) + 1, example
        self.rows += count


@dataclass
class ColumnFaults:
    """The faults of one column."""

    missing: Fault = field(default_factory=Fault)
    text: Fault = field(default_factory=Fault)
    infinite: Fault = field(default_factory=Fault)


def refuse_faults(
    path: Path, rows: int, faults: dict[str, ColumnFaults], required: Collection[str], allow_missing: bool
) -> None:
    """Raise the error that names each unfit column, how many rows are affected, and what to do.

    Args:
        path: the table's file.
        rows: how many rows it has.
        faults: what was found, by column.
        required: columns that cannot be left out.
        allow_missing: whether rows with missing values are fine.

    Raises:
        UsageError: there is a fault.
    """
    lines: list[str] = []
    text: list[str] = []
    infinite: list[str] = []
    missing: list[str] = []
    for name, found in faults.items():
        for fault, kind, seen in ((found.text, "text or dates", text), (found.infinite, "infinite values", infinite)):
            if fault.rows:
                seen.append(name)
                lines.append(f"column {name!r} has {kind} in {_where(fault, rows)}")
        if found.missing.rows and not (allow_missing or found.text.rows):
            missing.append(name)
            lines.append(f"column {name!r} has missing values in {_where(found.missing, rows)}")
    if not lines:
        return
    remedies = []
    if missing:
        remedies.append("go on without rows with missing values: --drop-missing")
    unfit = dict.fromkeys([*text, *infinite, *missing])
    if inputs := [name for name in unfit if name not in required]:
        remedies.append(
            f"go on without {'the column' if len(inputs) == 1 else 'these columns'}: --ignore {_quoted(inputs)}"
        )
    if broken := [name for name in dict.fromkeys([*text, *infinite]) if name in required]:
        remedies.append(f"write {broken[0]!r} as finite numbers")
    if len(lines) > LISTED:
        lines[LISTED:] = [f"and {len(lines) - LISTED} more"]
    raise UsageError(f"{path}: " + "; ".join(lines) + f". Remedy: {', or '.join(remedies)}")


def _where(fault: Fault, rows: int) -> str:
    example = f": {fault.example!r}" if fault.example else ""
    return f"{format_count(fault.rows)} of {format_count(rows)} rows (first in data row {fault.first_row:,}{example})"


def _quoted(names: Sequence[str]) -> str:
    """Return names as a shell takes them."""
    return " ".join(map(shlex.quote, names))
