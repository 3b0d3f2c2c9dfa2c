"""The numbers of a CSV or Parquet file, read in blocks, with an error that helps for each value that is not one."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.errors import UsageError
from bench.training.column_faults import ColumnFaults, refuse_faults
from bench.training.files import TableFile, open_table
from bench.training.number_text import DotWatch, Floats, NumberText

__all__ = ["Table", "TableFile", "check_known", "open_table", "read_numbers"]

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


def check_known(asked: Collection[str], known: Sequence[str], flag: str, path: Path) -> None:
    """Refuse a name that is no column.

    Raises:
        UsageError: names it, the nearest column, and what there is.
    """
    for name in asked:
        if name not in known:
            folded = {column.casefold(): column for column in known}
            close = difflib.get_close_matches(name.casefold(), folded, 1)
            meant = f"; did you mean {folded[close[0]]!r}?" if close else "."
            listed = ", ".join(known[:12]) + (f" and {len(known) - 12} more" if len(known) > 12 else "")
            raise UsageError(f"{flag}: {path} has no column {name!r}{meant} Its columns: {listed}")


def read_numbers(
    table: TableFile,
    columns: Sequence[str],
    required: Collection[str] = (),
    missing: Literal["refuse", "drop", "keep"] = "refuse",
) -> Table:
    """Read columns as numbers; true and false count as 1 and 0. Beyond the numbers, one block is held at a time.

    Args:
        table: what `open_table` gave.
        columns: the names to read, all of them known.
        required: those that the remedies should not offer to leave out.
        missing: what to do with rows that lack a value: refuse the table, drop them, or keep them as NaN.

    Raises:
        UsageError: text, dates, infinite or missing values; says in which columns and how many rows.
    """
    faults = {name: ColumnFaults(dots=DotWatch(table.semicolons, table.form.decimal is None)) for name in columns}
    if table.form.thousands:
        for column in faults.values():
            column.dots.possible = False
    reader = NumberText(table.form)
    kept = _GrowingRows(len(columns))
    rows = 0
    for batch in table.blocks(columns):
        block = np.empty((batch.num_rows, len(columns)))
        for position, name in enumerate(columns):
            block[:, position] = _numbers(batch.column(position), faults[name], rows, reader)
        rows += len(block)
        kept.append(block[~np.isnan(block).any(axis=1)] if missing == "drop" else block)
    refuse_faults(table, rows, faults, required, allow_missing=missing != "refuse")
    if len(kept.values) == 0:
        worst = max(columns, key=lambda name: faults[name].missing.rows)
        raise UsageError(
            f"{table.path}: none of {rows:,} rows is complete; column {worst!r} lacks {faults[worst].missing.rows:,} "
            f"values: fill them in, or go on without the column"
        )
    return Table(tuple(columns), kept.values, rows)


class _GrowingRows:
    """Rows appended block by block, in memory that grows in place, so that the whole never stands there twice."""

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


def _plain(column: pa.Array) -> pa.Array:
    """Return a column without what only says how it is stored: dictionaries, runs, wide or viewed strings."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    elif pa.types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = pc.cast(column, pa.string())
    return column


def _numbers(column: pa.Array, faults: ColumnFaults, rows_before: int, reader: NumberText) -> Floats:
    """Return one column of a block as float64, NaN if there is no number, and count what is wrong."""
    column = _plain(column)
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
