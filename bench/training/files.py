"""A CSV or Parquet file as a stream of blocks of columns, by pyarrow. What the values mean is decided elsewhere."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from bench.errors import UsageError

BLOCK_ROWS = 65_536
BLOCK_BYTES = 1 << 20
SNIFFED_BYTES = 1 << 16
DELIMITERS = ",;\t|"
PANDAS_INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls the row labels in a Parquet file: no column of the table."""

PARQUET_MAGIC, ZIP_MAGIC = b"PAR1", b"PK\x03\x04"


@dataclass(frozen=True)
class TableFile:
    """A file that is a table.

    Attributes:
        path: where it is.
        names: its columns, each with a name of its own.
        types: the type of each column as stored; CSV has only text, whose meaning shows row by row.
        blocks: gives an iterator over record batches that hold the columns asked for.
    """

    path: Path
    names: tuple[str, ...]
    types: dict[str, pa.DataType]
    blocks: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]


def open_table(path: str | Path) -> TableFile:
    """Open a Parquet file, or a CSV file with a header, compressed or not; only its beginning is read.

    Raises:
        UsageError: no such file, no table, no rows, or columns without a name of their own.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"no file {str(path)!r}; give the path of a CSV or Parquet file")
    if not path.is_file():
        raise UsageError(f"{str(path)!r} is not a file; give the path of a CSV or Parquet file")
    try:
        head = _head(path)
        opened = _open_parquet(path) if head.startswith(PARQUET_MAGIC) else _open_csv(path, head)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UsageError(_not_a_table(path, error)) from error
    _check_names(opened)
    return opened


def _head(path: Path) -> bytes:
    """Return the first bytes, decompressed where the suffix says so."""
    with pa.input_stream(str(path), compression="detect") as stream:
        head = bytes(stream.read(SNIFFED_BYTES))
    if not head.removeprefix(codecs.BOM_UTF8).strip():
        raise UsageError(f"{path} is empty: 0 rows; give a CSV file with a header line, or a Parquet file")
    if head.startswith(ZIP_MAGIC):
        raise UsageError(f"{path} is a spreadsheet or zip archive; export it as CSV or Parquet")
    if b"\0" in head and not head.startswith(PARQUET_MAGIC):
        raise UsageError(f"{path} is not a table: it is neither Parquet nor text; give a CSV or Parquet file")
    return head


def _open_parquet(path: Path) -> TableFile:
    with pa.parquet.ParquetFile(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    if rows == 0:
        raise UsageError(f"{path} has columns but 0 rows; give a table with at least 2 rows")

    def blocks(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        # Without pre_buffer the reader holds one block; with it, the whole file.
        try:
            with pa.parquet.ParquetFile(path, pre_buffer=False) as file:
                for batch in file.iter_batches(BLOCK_ROWS, columns=list(names), use_threads=False):
                    yield batch.select(list(names))
        except (pa.ArrowException, OSError) as error:
            raise UsageError(_not_a_table(path, error)) from error

    columns = {field.name: field.type for field in schema if not PANDAS_INDEX.fullmatch(field.name)}
    names = tuple(name for name in schema.names if name in columns)  # where one stands twice, twice
    return TableFile(path, names, columns, blocks)


def _open_csv(path: Path, head: bytes) -> TableFile:
    first_line = re.sub('"[^"]*"', "", head.decode("utf-8-sig", "replace").lstrip("\r\n").splitlines()[0])
    parsing = pa.csv.ParseOptions(delimiter=max(DELIMITERS, key=first_line.count), newlines_in_values=True)
    reading = pa.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES)  # one thread: errors know their row

    def converting(names: Sequence[str]) -> pa.csv.ConvertOptions:
        # As text, because a type guessed from the first block breaks on a later one, without saying where.
        return pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), include_columns=list(names), strings_can_be_null=True
        )

    with pa.csv.open_csv(path, reading, parsing) as file:
        names = tuple(file.schema.names)
        if all(batch.num_rows == 0 for batch in _until_rows(file)):
            raise UsageError(f"{path} has a header line but 0 rows; give a table with at least 2 rows")

    def blocks(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        try:
            with pa.csv.open_csv(path, reading, parsing, converting(names)) as file:
                yield from file
        except (pa.ArrowException, OSError) as error:
            raise UsageError(_not_a_table(path, error)) from error

    return TableFile(path, names, dict.fromkeys(names, pa.string()), blocks)


def _until_rows(file: pa.csv.CSVStreamingReader) -> Iterator[pa.RecordBatch]:
    """Yield batches up to the first that has rows."""
    for batch in file:
        yield batch
        if batch.num_rows:
            return


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


def _not_a_table(path: Path, error: Exception) -> str:
    """Return what to say of a file that pyarrow cannot read."""
    reason = " ".join(str(error).split())
    if ragged := re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", reason):
        line, expected, got = map(int, ragged.groups())
        return (
            f"{path}: data row {line - 1} has {got} fields where the header has {expected}; "
            "mend this row, or quote fields that hold the delimiter"
        )
    if "UTF8" in reason or "utf-8" in reason:
        return f"{path} is not in UTF-8 ({reason}); save it as UTF-8 and try again"
    if len(reason) > 200:
        reason = reason[:200] + "..."
    return f"cannot read {path} as a table: {reason}; give a CSV file with a header line, or a Parquet file"
