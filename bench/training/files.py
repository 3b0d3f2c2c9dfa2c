"""A CSV or Parquet file as a stream of blocks of columns, by pyarrow. What the values mean is decided elsewhere.

Tests: `tests/bench/training/test_reading.py`.
"""

from __future__ import annotations

import bisect
import itertools
import re
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from bench.basics.errors import UsageError
from bench.basics.formats import counted
from bench.training.csv_layout import COMMENT_MARK, Layout, layout_of
from bench.training.csv_rows import Lines, QuoteGuard, encoding_of, first_bytes, without_first_lines
from bench.training.form import Form

BLOCK_ROWS = 65_536
BLOCK_BYTES = 1 << 22
"""Of numbers that are made of one block of a Parquet file."""

THREADS = 3
"""That pyarrow starts at most while it reads a CSV file."""

READ_BYTES = 1 << 16
"""Of each column that are read from a Parquet file at once."""

SNIFFED_BYTES = 1 << 16
OTHER_FORMATS = re.compile(r"\s*(\{\s*\"|\[\s*[\[{]|<\?xml|<!doctype|<html)", re.IGNORECASE)
PANDAS_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls the row labels in a Parquet file: no column of the table."""

PARQUET_MAGIC, ZIP_MAGIC = b"PAR1", b"PK\x03\x04"


@dataclass(frozen=True)
class TableFile:
    """A file that is a table.

    Attributes:
        path: where it is.
        names: its columns, no two of one name.
        types: the type of each column as stored; CSV has only text, whose meaning shows row by row.
        blocks: gives an iterator over record batches that hold the columns asked for, from a row on, by default all.
        form: how it is written, as far as a person said.
        semicolons: whether semicolons separate its fields, as they do where commas mark the fraction.
        units: what its first data rows hold, if that seems to be units.
        starts: rows from which it can be read without those before: of Parquet the first of each row group; of CSV the
            first of each block that was read once, if the file is not compressed and in UTF-8.
    """

    path: Path
    names: tuple[str, ...]
    types: dict[str, pa.DataType]
    blocks: Callable[..., Iterator[pa.RecordBatch]]
    form: Form = field(default_factory=Form)
    semicolons: bool = False
    units: tuple[tuple[str, ...], ...] = ()
    starts: Sequence[int] = (0,)


def open_table(path: str | Path, form: Form | None = None) -> TableFile:
    """Open a Parquet file, or a CSV file with a header, compressed or not; only its beginning is read.

    Args:
        path: of the file.
        form: what is known of how it is written.

    Raises:
        UsageError: no such file, no table, no rows, or columns without names or with the same one.
    """
    path, form = Path(path), form or Form()
    if not path.exists():
        raise UsageError(f"no file {str(path)!r}; give the path of a CSV or Parquet file")
    if not path.is_file():
        raise UsageError(f"{str(path)!r} is not a file; give the path of a CSV or Parquet file")
    try:
        head = _head(path)
        opened = _open_parquet(path, form) if head.startswith(PARQUET_MAGIC) else _open_csv(path, head, form)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(_not_a_table(path, error)) from error
    _check_names(opened)
    return opened


def _head(path: Path) -> bytes:
    """Return the first bytes, decompressed if the suffix says so."""
    with pa.input_stream(str(path), compression="detect") as stream:
        head = bytes(stream.read(SNIFFED_BYTES))
    if head.startswith(ZIP_MAGIC):
        raise UsageError(f"{path} is a spreadsheet or zip archive; export it as CSV or Parquet")
    return head


def _open_parquet(path: Path, form: Form) -> TableFile:
    form.refuse_for_parquet(path)
    with pa.parquet.ParquetFile(path) as file:
        schema, rows, about = file.schema_arrow, file.metadata.num_rows, file.metadata
        groups = [about.row_group(k).num_rows for k in range(about.num_row_groups)]
    starts = tuple(itertools.accumulate(groups[:-1], initial=0))
    if rows == 0:
        raise UsageError(f"{path} has columns but 0 rows; give a table with rows")

    def blocks(names: Sequence[str], first_row: int = 0) -> Iterator[pa.RecordBatch]:
        group = bisect.bisect_right(starts, first_row) - 1
        before = first_row - starts[group]
        # With pre_buffer the reader would hold the whole file, and without a small buffer a whole row group.
        rows_at_once = max(1024, min(BLOCK_ROWS, BLOCK_BYTES // (8 * len(names))))
        try:
            with pa.parquet.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES) as file:
                rest = range(group, len(starts))
                for batch in file.iter_batches(rows_at_once, rest, columns=list(names), use_threads=False):
                    if before < batch.num_rows:
                        yield batch.select(list(names)).slice(before)
                    before = max(0, before - batch.num_rows)
        except (pa.ArrowException, OSError) as error:
            raise UsageError(_not_a_table(path, error)) from error

    columns = {field.name: field.type for field in schema if not PANDAS_INDEX.fullmatch(field.name)}
    names = tuple(name for name in schema.names if name in columns)  # a name that the file holds twice is listed twice
    return TableFile(path, names, columns, blocks, form, starts=starts)


def _open_csv(path: Path, head: bytes, form: Form) -> TableFile:
    _check_threads(path)
    encoding = form.encoding or encoding_of(head)
    if encoding == "utf-8" and b"\0" in head:
        raise UsageError(_zero_bytes(path, head))
    lines = Lines(path, encoding, form.skip_rows, form.comment, blanks=form.delimiter == " ")
    try:
        text = first_bytes(lines, SNIFFED_BYTES).decode()
    except UnicodeDecodeError as error:
        raise UsageError(_not_in_utf8(path)) from error
    if not text.strip():
        raise UsageError(f"{path} is empty: 0 rows; give a CSV file with a header line, or a Parquet file")
    if OTHER_FORMATS.match(text):
        raise UsageError(f"{path} seems to be JSON, HTML or XML; export it as CSV or Parquet")
    layout = layout_of(path, text, form)

    starts, positions = [0], [0]

    def blocks(names: Sequence[str], first_row: int = 0) -> Iterator[pa.RecordBatch]:
        place = bisect.bisect_right(starts, first_row) - 1
        read = replace(lines, start=positions[place])
        guard = QuoteGuard(path, layout.delimiter.encode(), len(layout.names), starts[place])
        rows = guard.whole_rows(read if place else without_first_lines(read, layout.lines_before_rows))
        before = first_row - starts[place]
        for batch in _csv_blocks(path, guard, rows, layout, names):
            if read.position is not None and not guard.held and guard.rows > starts[-1]:
                starts.append(guard.rows)
                positions.append(read.position)
            if before < batch.num_rows:
                yield batch.slice(before)
            before = max(0, before - batch.num_rows)

    if not any(batch.num_rows for batch in blocks(layout.columns[:1])):
        raise UsageError(f"{path} has a header line but 0 rows; give a table with rows")
    types = dict.fromkeys(layout.columns, pa.string())
    return TableFile(path, layout.columns, types, blocks, form, layout.delimiter == ";", layout.units, starts)


def _check_threads(path: Path) -> None:
    """Raise an error if this account may start no more threads; pyarrow would end the process or wait for ever."""
    done = threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(THREADS)]
    started = []
    try:
        for thread in threads:
            thread.start()
            started.append(thread)
    except RuntimeError as error:
        raise UsageError(_no_threads(path)) from error
    finally:
        done.set()
        for thread in started:
            thread.join()


def _no_threads(path: Path) -> str:
    return f"cannot read {path}: this account may start no more threads; raise its limit (ulimit -u) or end others"


def _csv_blocks(
    path: Path, guard: QuoteGuard, rows: Iterator[bytes], layout: Layout, names: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the columns asked for, as text, because a type guessed from the first block breaks on a later one.

    Args:
        path: for messages.
        guard: counts the rows.
        rows: blocks of whole rows, as the guard gives them.
        layout: of a row.
        names: of the columns.
    """
    positions = [str(layout.names.index(name)) for name in names]
    nameless = range(len(layout.columns), len(layout.names))
    positions += map(str, nameless)
    parsing = pa.csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True)
    converting = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(positions, pa.string()), include_columns=positions, strings_can_be_null=True
    )
    for block in rows:
        if not block.strip():
            continue
        # One thread and one block at a time: an error knows its row, and no thread has to be started.
        reading = pa.csv.ReadOptions(
            use_threads=False, block_size=len(block) + 1, column_names=list(map(str, range(len(layout.names))))
        )
        try:
            table = pa.csv.read_csv(pa.BufferReader(block), reading, parsing, converting)
        except pa.ArrowException as error:
            raise UsageError(_not_a_table(path, error, guard.rows, layout)) from error
        columns = [column.combine_chunks() for column in table.columns]
        for _ in nameless:
            _refuse_end(path, columns.pop(), guard.rows)
        guard.rows += table.num_rows
        yield (
            pa.record_batch(columns, list(names)) if table.num_rows else pa.record_batch([[]] * len(names), list(names))
        )


def _refuse_end(path: Path, column: pa.Array, rows_before: int) -> None:
    """Refuse a value in the last field of a row if that field has no name and is usually empty."""
    for row, value in enumerate(column.to_pylist(), start=rows_before + 1):
        if value is not None and value.strip():
            raise UsageError(
                f"{path}: data row {row:,} has a value, {value!r}, in a last field that has no column name"
            )


def _check_names(table: TableFile) -> None:
    """Refuse a header that is not names: numbers, blanks, or one name twice."""
    if all(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", name.strip(), re.IGNORECASE) for name in table.names):
        raise UsageError(
            f"the first line of {table.path} holds numbers ({', '.join(table.names[:3])}...), not column names; "
            "add a header line such as a,b,price"
        )
    if "" in table.names:
        raise UsageError(
            f"column {table.names.index('') + 1} of {table.path} has no name (a row number, perhaps); "
            "give it a name, then leave it out with --ignore if need be"
        )
    doubled = sorted({name for name in table.names if table.names.count(name) > 1})
    if doubled:
        raise UsageError(f"{table.path} has more than one column {doubled[0]!r}; rename them apart")


def _not_a_table(path: Path, error: Exception, rows_before: int = 0, layout: Layout | None = None) -> str:
    """Return what to say of a file, or a block of it, that pyarrow cannot read."""
    reason = " ".join(str(error).split())
    if layout and (ragged := re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+): (.*)", reason)):
        row, expected, got = (int(number) for number in ragged.groups()[:3])
        return (
            f"{path}: data row {rows_before + row:,} has {counted(got, 'field')} where the header has {expected}"
            f"{_remedy_of_ragged(ragged[4], expected, got, layout.delimiter)}"
        )
    if "UTF8" in reason or "utf-8" in reason:
        return _not_in_utf8(path)
    if "launch worker thread" in reason:
        return _no_threads(path)
    if len(reason) > 200:
        reason = reason[:200] + "..."
    return f"cannot read {path} as a table: {reason}; give a CSV file with a header line, or a Parquet file"


def _remedy_of_ragged(text: str, expected: int, got: int, delimiter: str) -> str:
    """Return what to do about a row of too many or too few fields, judged by its text."""
    if got == expected + 1 and text.rstrip().endswith(delimiter):
        return "; other rows do not end with a delimiter: remove it from this row, or end every row so"
    if (mark := COMMENT_MARK.match(text)) and got < expected:
        return f"; if this is a comment line: --comment {shlex.quote(mark[1])}"
    if delimiter == "," and got == 2 * expected:
        return "; if commas mark the fraction of its numbers too, write the table with ; between the fields"
    return "; mend this row, or quote fields that hold the delimiter"


def _not_in_utf8(path: Path) -> str:
    return f"{path} is not in UTF-8; name its encoding (on Windows often --encoding cp1252), or save it as UTF-8"


def _zero_bytes(path: Path, head: bytes) -> str:
    """Return what to say of zero bytes: those of UTF-16 without a mark are at every other place."""
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = head[start::2], head[1 - start :: 2]
        if len(head) > 8 and zeros.count(0) > 0.8 * len(zeros) and others.count(0) < 0.2 * len(others):
            return f"{path} seems to be text in UTF-16 without a mark; read it so: --encoding {encoding}"
    return f"{path} is not a table: it is neither Parquet nor text; give a CSV or Parquet file"
