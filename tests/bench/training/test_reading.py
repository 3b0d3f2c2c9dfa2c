"""Reading CSV and Parquet: the same numbers from both, and an error that helps for whatever is not a number."""

from __future__ import annotations

import datetime
import decimal
import gzip
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.basics.errors import UsageError
from bench.training import csv_rows
from bench.training import files as table_files
from bench.training.reading import check_known, open_table, read_numbers


def csv(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    """Write a CSV file."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path: Path, **options: Any) -> list[list[float]]:
    """Return every column of a table."""
    file = open_table(path)
    return read_numbers(file, file.names, **options).values.tolist()


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2.5\n-3,1e2\n",
        "a;b\n1;2.5\n-3;1e2\n",
        "a\tb\r\n1\t2.5\r\n-3\t1e2",
        "\ufeffa,b\n 1 ,+2.5\n-3,100\n",
        'a,b\n"1","2.5"\n\n-3,100.0\n',
        '"area, m2, net";b\n1;2.5\n-3;1e2\n',
    ],
)
def test_csv_is_read_whatever_its_dialect(tmp_path: Path, text: str) -> None:
    """Commas, semicolons, tabs, quotes, spaces, a byte-order mark and blank lines all give the same numbers; commas
    within quotes separate nothing.
    """
    assert read(csv(tmp_path, text)) == [[1.0, 2.5], [-3.0, 100.0]]


def test_truth_values_and_compressed_files_are_read(tmp_path: Path) -> None:
    """True and false count as 1 and 0, and a .gz file is read as it is."""
    path = csv(tmp_path, gzip.compress(b"a,b\ntrue,1\nFALSE,2\n"), "table.csv.gz")
    assert read(path) == [[1.0, 1.0], [0.0, 2.0]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_survive_csv_and_parquet_to_the_bit(tmp_path: Path, numbers: list[float]) -> None:
    """A float64 written with all its digits is read back as the same float64 from either format."""
    path = csv(tmp_path, "a,b\n" + "".join(f"{number!r},0\n" for number in numbers))
    stored = tmp_path / "table.parquet"
    pa.parquet.write_table(pa.table({"a": numbers, "b": [0] * len(numbers)}), stored)
    assert read(path) == read(stored) == [[number, 0.0] for number in numbers]


def test_parquet_types_that_are_numbers_are_read(tmp_path: Path) -> None:
    """Integers, booleans, small floats and decimals are numbers, and a dot in a name is part of it."""
    path = tmp_path / "table.parquet"
    columns = {
        "a.b": [1, 2],
        "c": [True, False],
        "d": pa.array(np.array([0.5, 2], np.float16)),
        "e": [decimal.Decimal("1.25")] * 2,
        "f": pa.array([2**63, 1], pa.uint64()),
    }
    pa.parquet.write_table(pa.table(columns), path)
    assert read(path) == [[1, 1, 0.5, 1.25, 2.0**63], [2, 0, 2, 1.25, 1]]


def test_blocks_join_in_order_and_rows_are_counted_over_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of many blocks is one table: rows in order, and an error counts from its beginning."""
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(table_files, "BLOCK_ROWS", 100)
    numbers = np.arange(5000.0)
    path = csv(tmp_path, "a\n" + "\n".join(map(str, numbers)))
    assert read(path) == [[number] for number in numbers]
    stored = tmp_path / "table.parquet"
    pa.parquet.write_table(pa.table({"a": np.where(numbers == 4321, np.inf, numbers)}), stored)
    with pytest.raises(
        UsageError, match=r"'a' has infinite values in 1 of 5,000 rows \(first in data row 4,322: 'inf'\)"
    ):
        read(stored)


def test_a_type_that_changes_late_is_still_read(tmp_path: Path) -> None:
    """A column of whole numbers that turns into fractions beyond the first block is no error."""
    file = open_table(csv(tmp_path, "a\n" + "1\n" * 600_000 + "0.5\n"))
    assert read_numbers(file, file.names).values[-2:].tolist() == [[1.0], [0.5]]


MISSING = "a,b\n1,2\n,3\n NA ,4\nnan,5\n6,7\n"


def test_missing_values_are_refused_dropped_or_kept(tmp_path: Path) -> None:
    """By default the error counts them and names both ways out; asked to, their rows are dropped or kept as NaN."""
    path = csv(tmp_path, MISSING)
    with pytest.raises(UsageError) as refused:
        read(path)
    assert str(refused.value) == (
        f"{path}: column 'a' has missing values in 3 of 5 rows (first in data row 2). Remedy: go on without rows with "
        "missing values: --drop-missing, or go on without the column: --ignore a"
    )
    table = read_numbers(open_table(path), ["b", "a"], missing="drop")
    assert (table.values.tolist(), table.rows_dropped) == ([[2.0, 1.0], [7.0, 6.0]], 3)
    kept = read_numbers(open_table(path), ["a"], missing="keep").values
    assert np.isnan(kept).ravel().tolist() == [False, True, True, True, False]


def test_dropping_every_row_is_refused(tmp_path: Path) -> None:
    """Where no row is complete, the column that lacks most is named."""
    with pytest.raises(UsageError, match="none of 2 rows is complete; column 'b' lacks 2 values"):
        read(csv(tmp_path, "a,b\n1,\n,\n"), missing="drop")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,city\n1,Berlin\n2,Rome\n",
            r"column 'city' has text or dates in 2 of 2 rows \(first in data row 1: 'Berlin'\)",
        ),
        ("a,b\n1,2\n2,2024-01-31\n", r"'b' has text or dates in 1 of 2 rows \(first in data row 2: '2024-01-31'\)"),
        ("a,b\n1,2\n2,1_0\n", "'b' has text or dates in 1 of 2 rows"),
        ("a,my city\n1,Berlin\n", "--ignore 'my city'"),
        ("a,b\n1,inf\n2,-inf\n", r"column 'b' has infinite values in 2 of 2 rows \(first in data row 1: 'inf'\)"),
        ("a,b\nx,\n,y\n", "--ignore a b"),
        ("", "is empty: 0 rows"),
        ("\n \n", "is empty: 0 rows"),
        ("\ufeff\n", "is empty: 0 rows"),
        ("a,b\n", "a header line but 0 rows"),
        ("a,b\n1,2\n3\n", "data row 2 has 1 field where the header has 2"),
        ("1,2\n3,4\n", "holds numbers .* not column names"),
        (",a\n0,1\n", "column 1 of .* has no name"),
        ("a,a\n0,1\n", "more than one column 'a'"),
        (b"a,b\n\xe9,1\n", "not in UTF-8"),
        (b"a,Fl\xe4che\n1,2\n", "not in UTF-8"),
        (b"PK\x03\x04....", "spreadsheet or zip"),
        (b"\x00\x01\x02", "neither Parquet nor text"),
        (b"PAR1 but cut short", "as a table"),
    ],
)
def test_what_is_no_table_of_numbers_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    """Each fault is named with its column, its count of rows, where it starts, and what to do."""
    with pytest.raises(UsageError, match=message):
        read(csv(tmp_path, text))


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["x", "y"]),
        pa.array(["x", "y"], pa.large_string()),
        pa.array(["x", "y"]).dictionary_encode(),
        pa.array([datetime.date(2024, 1, 1)] * 2),
        pa.array([[1], [2]]),
    ],
)
def test_parquet_types_that_are_no_numbers_are_refused(tmp_path: Path, column: pa.Array) -> None:
    """Text, dates and lists are refused by type, with a way out."""
    path = tmp_path / "table.parquet"
    pa.parquet.write_table(pa.table({"a": [1, 2], "b": column}), path)
    with pytest.raises(UsageError, match=r"column 'b' has text or dates in 2 of 2 rows .*--ignore b"):
        read(path)


def test_parquet_nulls_and_nan_are_missing(tmp_path: Path) -> None:
    """A null, a NaN and a column without a type are missing values; no rows at all is an error of its own."""
    path = tmp_path / "table.parquet"
    pa.parquet.write_table(pa.table({"a": [1.0, None, float("nan")], "b": pa.nulls(3)}), path)
    with pytest.raises(UsageError, match=r"'a' has missing values in 2 of 3 .*'b' has missing values in 3 of 3"):
        read(path)
    pa.parquet.write_table(pa.table({"a": pa.array([], pa.float64())}), path)
    with pytest.raises(UsageError, match="0 rows"):
        read(path)


def test_row_labels_of_pandas_are_no_column(tmp_path: Path) -> None:
    """A table that was filtered keeps its old row numbers in Parquet; they are not read as data."""
    path = tmp_path / "filtered.parquet"
    pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0]}).drop(index=1).to_parquet(path)
    assert "__index_level_0__" in pa.parquet.read_schema(path).names
    assert open_table(path).names == ("a",)
    assert read(path) == [[1.0], [3.0], [4.0]]


def test_many_faults_are_summed_up(tmp_path: Path) -> None:
    """Beyond five lines the rest is counted, but the remedy names every column."""
    names = [f"c{k}" for k in range(9)]
    path = csv(tmp_path, ",".join(names) + "\n" + ",".join("x" * 9) + "\n")
    with pytest.raises(UsageError, match=r"and 4 more. Remedy: .*--ignore c0 c1 c2 c3 c4 c5 c6 c7 c8"):
        read(path)


def test_a_column_that_is_needed_is_not_offered_to_be_left_out(tmp_path: Path) -> None:
    """For a target the remedy is to mend it."""
    file = open_table(csv(tmp_path, "a,y\n1,good\n"))
    with pytest.raises(UsageError, match=r"Remedy: write 'y' as finite numbers$"):
        read_numbers(file, ["a", "y"], ["y"])


def test_unknown_column_suggests_the_nearest(tmp_path: Path) -> None:
    """A misspelt name brings up the one meant, whatever its case, and the list of names."""
    with pytest.raises(
        UsageError, match=r"--target: t.csv has no column 'PRICES'; did you mean 'price'\? .*: area, price"
    ):
        check_known(["PRICES"], ["area", "price"], "--target", Path("t.csv"))
    with pytest.raises(UsageError, match=r"no column 'zzz'. Its columns: .* and 8 more"):
        check_known(["zzz"], [f"c{k}" for k in range(20)], "--ignore", Path("t.csv"))


def test_an_account_without_threads_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, pyarrow would abort or wait for ever: one error says so before it is asked."""
    path = csv(tmp_path, "a\n1\n2\n")
    usual, left = threading.Thread.start, 2

    def start(self: threading.Thread) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError("can't start new thread")
        usual(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(UsageError, match="may start no more threads; raise its limit"):
        open_table(path)


def test_a_path_that_is_no_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there and a folder are told apart."""
    with pytest.raises(UsageError, match="no file"):
        open_table(tmp_path / "absent.csv")
    with pytest.raises(UsageError, match="is not a file"):
        open_table(tmp_path)
