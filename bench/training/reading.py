"""The numbers of a CSV or Parquet file, read in blocks, with an error that helps for each value that is not one."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.basics.errors import UsageError
from bench.training.classes import Classes
from bench.training.column_faults import ColumnFaults, refuse_faults
from bench.training.files import TableFile, open_table
from bench.training.number_text import DotWatch, Floats, NumberText
from bench.training.storage import plain

__all__ = ["Table", "TableFile", "check_known", "open_table", "read_numbers"]

Missing = Literal["refuse", "drop", "keep"]
NUMERIC = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)


@dataclass(frozen=True)
class Table:
    """Columns of numbers.

    Attributes:
        columns: their names, in the order asked for.
        values: ``[rows, columns]``, float64; missing values, where kept, are NaN.
        rows_in_file: rows of the file, with those left out.
    """

    columns: tuple[str, ...]
    values: Floats
    rows_in_file: int

    @property
    def rows_dropped(self) -> int:
        """Rows left out because a value was missing."""
        return self.rows_in_file - len(self.values)


def check_known(
    asked: Collection[str], known: Sequence[str], flag: str, path: Path, rows_below: Sequence[Sequence[str]] = ()
) -> None:
    """Refuse a name that is no column; if it is in ``rows_below`` the header, the header seems to be a title.

    Raises:
        UsageError: names it, the nearest column, and what there is.
    """
    for name in asked:
        if name not in known:
            if at := next((at for at, row in enumerate(rows_below, start=1) if name in row), 0):
                raise UsageError(
                    f"{flag}: {path} has no column {name!r} in its first line, but in data row {at}; if a title "
                    f"is above: --skip-rows {at}"
                )
            folded = {column.casefold(): column for column in known}
            close = difflib.get_close_matches(name.casefold(), folded, 1)
            meant = f"; did you mean {folded[close[0]]!r}?" if close else "."
            listed = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
            raise UsageError(f"{flag}: {path} has no column {name!r}{meant} Its columns: {listed}")


def read_numbers(
    table: TableFile,
    columns: Sequence[str],
    required: Collection[str] = (),
    missing: Missing = "refuse",
    classes: Classes | None = None,
) -> Table:
    """Read columns as numbers; true and false count as 1 and 0. Beyond the numbers, one block is held at a time.

    Args:
        table: what `open_table` gave.
        columns: the names to read, all of them known.
        required: those that the remedies should not offer to leave out.
        missing: what to do with rows that lack a value: refuse the table, drop them, or keep them as NaN.
        classes: of the column that names classes, if one does: its values are class numbers.

    Raises:
        UsageError: text, dates, infinite or missing values; says in which columns and how many rows.
    """
    kept = _GrowingRows(len(columns))
    rows = 0
    for block in number_blocks(table, columns, required, missing != "refuse", classes):
        rows += len(block)
        kept.append(block[~np.isnan(block).any(axis=1)] if missing == "drop" else block)
    if len(kept.values) == 0:
        raise UsageError(f"{table.path}: {no_row_complete(table, columns, rows)}")
    return Table(tuple(columns), kept.values, rows)


def number_blocks(
    table: TableFile,
    columns: Sequence[str],
    required: Collection[str] = (),
    allow_missing: bool = False,
    classes: Classes | None = None,
    first_row: int = 0,
) -> Iterator[Floats]:
    """Yield the rows of a table block by block, ``[rows, columns]``, NaN for a missing value; arguments as above.

    From row ``first_row`` on, which is 0 or at or behind one of the table's ``starts``.

    Raises:
        UsageError: after the last block, so that it counts over the whole table.
    """
    dots = not (table.form.decimal or table.form.thousands)
    faults = {name: ColumnFaults(dots=DotWatch(table.semicolons, dots)) for name in columns}
    reader = NumberText(table.form)
    rows = 0
    for batch in table.blocks(columns, first_row) if first_row else table.blocks(columns):
        block = np.empty((batch.num_rows, len(columns)))
        for position, name in enumerate(columns):
            if classes and name == classes.column:
                block[:, position] = classes.numbers(batch.column(position), reader)
                faults[name].missing.add(np.isnan(block[:, position]), rows)
            else:
                block[:, position] = _numbers(batch.column(position), faults[name], rows, reader)
        rows += len(block)
        yield block
    refuse_faults(table, rows, faults, required, allow_missing)


def no_row_complete(table: TableFile, columns: Sequence[str], rows: int) -> str:
    """Return what to say of a table in which every row lacks a value: the column that lacks most."""
    lacking = np.zeros(len(columns), np.intp)
    for block in number_blocks(table, columns, allow_missing=True):
        lacking += np.isnan(block).sum(axis=0)
    worst = int(lacking.argmax())
    return (
        f"none of {rows:,} rows is complete; column {columns[worst]!r} lacks {lacking[worst]:,} values: "
        "fill them in, or go on without the column"
    )


class _GrowingRows:
    """Rows appended block by block, in memory that grows in place, so that the whole is never there twice."""

    def __init__(self, columns: int) -> None:
        self._memory = np.empty((0, columns))
        self._used = 0

    def append(self, block: Floats) -> None:
        needed = self._used + len(block)
        if needed > len(self._memory):
            self._memory.resize((max(needed, len(self._memory) * 9 // 8), self._memory.shape[1]), refcheck=False)
        self._memory[self._used : needed] = block
        self._used = needed

    @property
    def values(self) -> Floats:
        return self._memory[: self._used]


def _numbers(column: pa.Array, faults: ColumnFaults, rows_before: int, reader: NumberText) -> Floats:
    """Return one column of a block as float64, NaN if there is no number, and count what is wrong."""
    column = plain(column)
    if pa.types.is_string(column.type):
        faults.dots.add(column, rows_before)
        values, marks, kinds = reader.column(column)
        for mark, kind in enumerate(kinds):
            faults.add_text(kind, marks == mark, rows_before, column)
        is_text = marks >= 0
    elif any(is_kind(column.type) for is_kind in NUMERIC):
        is_text = np.zeros(len(column), bool)
        # Integers above 2**53 are rounded to the nearest float64.
        values = reader.without_markers(
            np.array(pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False))
        )
    else:
        is_text = ~column.is_null().to_numpy(zero_copy_only=False)
        values = np.full(len(column), np.nan)
        faults.add_text(None, is_text, rows_before, column)
    faults.missing.add(np.isnan(values) & ~is_text, rows_before)
    infinite = np.isinf(values)
    faults.infinite.add(infinite, rows_before, str(values[infinite.argmax()]) if infinite.any() else "")
    return values
