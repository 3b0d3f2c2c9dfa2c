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
from numpy.typing import NDArray

from bench.errors import UsageError
from bench.training.column_faults import ColumnFaults, refuse_faults
from bench.training.files import TableFile, open_table

__all__ = ["Table", "TableFile", "check_known", "open_table", "read_numbers"]

NO_VALUE = {"", "#n/a", "#na", "n/a", "na", "nan", "-nan", "null", "none", "<na>"}
TRUTH = {"true": 1.0, "false": 0.0}
NUMERIC = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)

Floats = NDArray[np.float64]


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
    faults = {name: ColumnFaults() for name in columns}
    kept = _GrowingRows(len(columns))
    rows = 0
    for batch in table.blocks(columns):
        block = np.empty((batch.num_rows, len(columns)))
        for position, name in enumerate(columns):
            block[:, position] = _numbers(batch.column(position), faults[name], rows)
        rows += len(block)
        kept.append(block[~np.isnan(block).any(axis=1)] if missing == "drop" else block)
    refuse_faults(table.path, rows, faults, required, allow_missing=missing != "refuse")
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


def _numbers(column: pa.Array, faults: ColumnFaults, rows_before: int) -> Floats:
    """Return one column of a block as float64, NaN where there is no number, and count what is wrong."""
    kind = column.type
    if pa.types.is_string(kind):
        values, is_text = _numbers_in_text(column)
        example = column[int(is_text.argmax())].as_py() if is_text.any() else ""
        faults.text.add(is_text, rows_before, example)
    elif any(is_kind(kind) for is_kind in NUMERIC):
        is_text = np.zeros(len(column), bool)
        # Integers above 2**53 are rounded to the nearest float64.
        values = np.array(pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    else:
        is_text = ~column.is_null().to_numpy(zero_copy_only=False)
        values = np.full(len(column), np.nan)
        faults.text.add(is_text, rows_before, str(column[int(is_text.argmax())].as_py()) if is_text.any() else "")
    faults.missing.add(np.isnan(values) & ~is_text, rows_before)
    infinite = np.isinf(values)
    faults.infinite.add(infinite, rows_before, str(values[infinite.argmax()]) if infinite.any() else "")
    return values


def _numbers_in_text(column: pa.Array) -> tuple[Floats, NDArray[np.bool_]]:
    """Return text as numbers, NaN where there is none, and a mask of what is neither a number nor missing."""
    try:
        return np.array(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)), np.zeros(len(column), bool)
    except pa.ArrowInvalid:  # spaces, true and false, words: each distinct text once
        coded = column.dictionary_encode()
        meanings = [_number(text) for text in coded.dictionary.to_pylist()]
        lookup = np.array([np.nan if number is None else number for number in meanings] + [np.nan])
        unreadable = np.array([number is None for number in meanings] + [False])
        codes = coded.indices.fill_null(len(meanings)).to_numpy(zero_copy_only=False)
        return lookup[codes], unreadable[codes]


def _number(text: str) -> float | None:
    """Return the number that ``text`` writes, NaN where it says that there is none, ``None`` for any other text."""
    word = text.strip().lower()
    if word in NO_VALUE:
        return float("nan")
    if word in TRUTH:
        return TRUTH[word]
    try:
        return None if "_" in word else float(word)
    except ValueError:
        return None
