"""What makes a column unfit for a network, counted over the whole table, and the error that says so with its remedy.

Tests: `tests/bench/training/test_reading.py`, `tests/bench/training/test_table_forms.py`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.basics.errors import UsageError
from bench.basics.formats import format_count
from bench.training.files import TableFile
from bench.training.number_text import COMMAS, DECIMAL_COMMA, DOUBTFUL_DOTS, DotWatch, Kind

LISTED = 5


@dataclass
class Fault:
    """Rows of one column that share a fault.

    Attributes:
        rows: how many.
        first_row: the first of them, counted from 1, the header left out.
        example: its value as written; empty if there is none.
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
    """The faults of one column.

    Attributes:
        missing: rows without a value.
        text: rows of text that is no number in any known form.
        infinite: rows of infinite values.
        written: rows of numbers written in another form than the one given, by that form.
        dots: whether dots may mark thousands.
        distinct: some of the different texts of ``text``.
    """

    missing: Fault = field(default_factory=Fault)
    text: Fault = field(default_factory=Fault)
    infinite: Fault = field(default_factory=Fault)
    written: dict[Kind, Fault] = field(default_factory=dict)
    dots: DotWatch = field(default_factory=DotWatch)
    distinct: set[str] = field(default_factory=set)

    def add_text(self, kind: Kind | None, mask: NDArray[np.bool_], rows_before: int, column: pa.Array) -> None:
        """Count the rows of a block of ``column`` that hold text of one kind."""
        if not mask.any():
            return
        example = str(column[int(mask.argmax())].as_py())
        if kind is None:
            self.text.add(mask, rows_before, example)
            if len(self.distinct) < 2:
                self.distinct.update(map(str, column.filter(pa.array(mask)).to_pylist()))
        else:
            self.written.setdefault(kind, Fault()).add(mask, rows_before, example)

    def all_written(self) -> dict[Kind, Fault]:
        """Return the other forms of its numbers; commas that may mark thousands mark fractions if others must."""
        written = dict(self.written)
        if DECIMAL_COMMA in written and COMMAS in written:
            written[DECIMAL_COMMA] = _joined(written[DECIMAL_COMMA], written.pop(COMMAS))
        if self.dots.doubtful:
            written[DOUBTFUL_DOTS] = Fault(self.dots.dotted, self.dots.first_row, self.dots.example)
        return written


def refuse_faults(
    table: TableFile, rows: int, faults: dict[str, ColumnFaults], required: Collection[str], allow_missing: bool
) -> None:
    """Raise the error that names each unfit column, how many rows are affected, and what to do.

    Args:
        table: the file.
        rows: how many rows it has.
        faults: what is wrong, by column.
        required: columns that cannot be left out.
        allow_missing: whether rows with missing values are fine.

    Raises:
        UsageError: there is a fault.
    """
    lines: list[str] = []
    unfit: list[str] = []
    incomplete: list[str] = []
    flags: list[str] = []
    drop: list[str] = []
    for name, column in faults.items():
        for kind, fault in column.all_written().items():
            lines.append(f"column {name!r} has {kind.name} in {_where(fault, rows)}")
            flags.append(kind.flag)
            if kind.flag.startswith("--missing") and not allow_missing:
                drop.append("--drop-missing")
        for fault, what in ((column.text, "text or dates"), (column.infinite, "infinite values")):
            if fault.rows:
                unfit.append(name)
                lines.append(f"column {name!r} has {what} in {_where(fault, rows)}")
        if column.missing.rows and not (allow_missing or column.text.rows):
            incomplete.append(name)
            lines.append(f"column {name!r} has missing values in {_where(column.missing, rows)}")
    if not lines:
        return
    if len(lines) > LISTED:
        lines[LISTED:] = [f"and {len(lines) - LISTED} more"]
    remedies = _remedies(table, rows, faults, list(dict.fromkeys(unfit)), incomplete, flags + drop, required)
    raise UsageError(f"{table.path}: " + "; ".join(lines) + f". Remedy: {', or '.join(remedies)}")


def _remedies(
    table: TableFile,
    rows: int,
    faults: dict[str, ColumnFaults],
    unfit: list[str],
    incomplete: list[str],
    flags: list[str],
    required: Collection[str],
) -> list[str]:
    """Return what a person can do, the likeliest first."""
    if row := _stray_row(table, rows, faults, unfit):
        return [row]
    remedies = []
    if flags:
        remedies.append(f"say how values are written: {_joined_flags(flags)}")
        if not (unfit or incomplete):
            return remedies
    for name in unfit:
        column = faults[name]
        word = next(iter(column.distinct)) if len(column.distinct) == 1 else ""
        if word and not re.search(r"\d", word) and column.text.rows <= rows / 2 and rows > 2:
            remedies.append(f"take it for a missing value: --missing {shlex.quote(word)}")
    if incomplete and all(faults[name].missing.rows < rows for name in incomplete):
        remedies.append("go on without rows with missing values: --drop-missing")
    if inputs := [name for name in dict.fromkeys([*unfit, *incomplete]) if name not in required]:
        remedies.append(
            f"go on without {'the column' if len(inputs) == 1 else 'these columns'}: --ignore {_quoted(inputs)}"
        )
    if any(faults[name].text.rows == rows for name in unfit if name not in required):
        remedies.append("write text as numbers first, such as one column of 0 and 1 for each word")
    if broken := [name for name in unfit if name in required]:
        remedies.append(f"write {broken[0]!r} as finite numbers")
    return remedies


def _stray_row(table: TableFile, rows: int, faults: dict[str, ColumnFaults], unfit: list[str]) -> str:
    """Return the remedy if the text of all unfit columns is in one stray row, else nothing."""
    texts = [faults[name].text for name in unfit]
    if not texts:
        return ""
    if table.units and all(text.first_row + text.rows - 1 <= len(table.units) for text in texts):
        count = f" {len(table.units)}" * (len(table.units) > 1)
        many = "lines" if count else "line"
        return (
            f"leave out the {many} after the header, which seem{'' if count else 's'} to hold units: --units-row{count}"
        )
    if any(text.rows > 1 or text.first_row != texts[0].first_row for text in texts):
        return ""
    number = texts[0].first_row
    if all(text.example.strip() == name for name, text in zip(unfit, texts, strict=True)):
        return f"remove data row {number:,}, which repeats the header"
    if number == rows > 2:
        return f"remove data row {number:,}, the last one, which seems to be a total or a note"
    return ""


def _joined_flags(flags: Sequence[str]) -> str:
    """Return flags, each once; values of ``--missing`` and ``--strip`` joined, as each takes several."""
    joined: dict[str, list[str]] = {}
    single = [part for flag in flags for part in re.split(" (?=--)", flag)]
    for flag in dict.fromkeys(single):
        name, _, value = flag.partition(" ")
        joined.setdefault(name, []).append(value)
    return " ".join(" ".join([name, *values]).strip() for name, values in joined.items())


def _joined(left: Fault, right: Fault) -> Fault:
    first = min(left, right, key=lambda fault: fault.first_row)
    return Fault(left.rows + right.rows, first.first_row, first.example)


def _where(fault: Fault, rows: int) -> str:
    example = f": {fault.example!r}" if fault.example else ""
    return f"{format_count(fault.rows)} of {format_count(rows)} rows (first in data row {fault.first_row:,}{example})"


def _quoted(names: Sequence[str]) -> str:
    """Return names as a shell takes them."""
    return " ".join(map(shlex.quote, names))
