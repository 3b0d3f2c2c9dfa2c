"""Tables as people's programs write them: each is read, or refused with the flag that reads it, and the flag works."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from bench.basics.errors import UsageError
from bench.training import csv_rows
from bench.training.form import Form
from bench.training.reading import check_known, open_table, read_numbers

VALUES = [[2.07, 7.78, -3.64], [7.11, 3.04, 11.18], [4.96, 4.6, 5.32], [6.21, 7.31, 5.11]]
PLAIN = "a,b,y\n" + "".join(",".join(map(str, row)) + "\n" for row in VALUES)


def write(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    """Write a file."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path: Path, **form: Any) -> list[list[float]]:
    """Return every column of a table."""
    file = open_table(path, Form(**form))
    return read_numbers(file, file.names).values.tolist()


def test_a_column_without_any_value_is_left_out(tmp_path):
    """Leaving out all rows is no remedy: the column goes."""
    path = write(tmp_path, re.sub(r",[\d.]+,", ",,", PLAIN))
    with pytest.raises(UsageError, match=r"'b' has missing values in 4 of 4 rows.*--ignore b") as refused:
        read(path)
    assert "--drop-missing" not in str(refused.value)


def test_hexadecimal_numbers_are_text(tmp_path):
    """The letter in 0x1f is no unit that could be stripped: the remedy is to go without the column."""
    path = write(tmp_path, PLAIN.replace("7.78", "0xa").replace("3.04", "0x1F"))
    with pytest.raises(UsageError, match=r"'b' has text or dates in 2 of 4 rows.*--ignore b") as refused:
        read(path)
    assert "--strip" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace(",", ";").replace("a;b;y", "Temp, air (°C);Press, abs (bar);y"),
        PLAIN.replace("\n", ",\n").replace("a,b,y,", "a,b,y"),
        PLAIN.replace("\n", ",\n"),
        PLAIN.replace("a,b,y", "a,b,y,"),
        "sep=;\n" + PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t").encode("utf-16"),
        PLAIN.encode("utf-32"),
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("\n", "\r\n").replace(",", "|"),
        "\n\n" + PLAIN,
        PLAIN.replace("\n", ",,\n").replace("y,,", "y"),
        PLAIN.replace("\n", ",,\n"),
        '"sep=;"\n' + PLAIN.replace(",", ";"),
        PLAIN.replace("a,b,y", "a, b , y"),
        PLAIN.replace("-3", "\N{MINUS SIGN}3"),
    ],
    ids=[
        "commas in the header of semicolons",
        "rows end with a comma",
        "all lines end with a comma",
        "the header alone ends with a comma",
        "sep hint",
        "utf-16",
        "utf-32",
        "utf-8 mark",
        "carriage returns",
        "bars",
        "blank lines first",
        "rows end with two commas",
        "all lines end with two commas",
        "sep hint in quotes",
        "blanks around names",
        "typographic minus",
    ],
)
def test_a_form_that_leaves_no_doubt_is_read(tmp_path: Path, text: str | bytes) -> None:
    """A mark of the encoding, a hint of the delimiter and ends of lines say by themselves how to read them."""
    assert read(write(tmp_path, text)) == VALUES


SEMICOLONS = PLAIN.replace(",", ";")
FORMS: list[tuple[str, str | bytes, str, dict[str, Any]]] = [
    ("decimal commas", SEMICOLONS.replace(".", ","), "--decimal ,", {"decimal": ","}),
    ("title", "Logger 7, roof\n\n" + PLAIN, "--skip-rows 2", {"skip_rows": 2}),
    ("title of cells", "Report;;\n;;\n" + SEMICOLONS, "--skip-rows 2", {"skip_rows": 2}),
    ("comments", "# logger 7, started 2024\n# site: roof\n" + PLAIN, "--comment '#'", {"comment": "#"}),
    ("comment like a header", "# x, of, three\n" + PLAIN, "--comment '#'", {"comment": "#"}),
    ("comments in Matlab's way", "% logger 7\n" + PLAIN, "--comment %", {"comment": "%"}),
    ("comment between rows", PLAIN + "# end of file\n", "--comment '#'", {"comment": "#"}),
    ("units", PLAIN.replace("y\n", "y\n[m/s],[°C],[W]\n"), "--units-row", {"units_row": 1}),
    ("two lines of units", PLAIN.replace("y\n", "y\nmean,,std\n[m],[s],[K]\n"), "--units-row 2", {"units_row": 2}),
    ("colons", PLAIN.replace(",", ":"), "--delimiter :", {"delimiter": ":"}),
    ("utf-16 without a mark", PLAIN.encode("utf-16-le"), "--encoding utf-16-le", {"encoding": "utf-16-le"}),
    ("utf-16 without a mark", PLAIN.encode("utf-16-be"), "--encoding utf-16-be", {"encoding": "utf-16-be"}),
    ("windows", PLAIN.replace("a,", "Größe,").encode("cp1252"), "--encoding cp1252", {"encoding": "cp1252"}),
    ("percent", PLAIN.replace("7.78", "7.78%").replace("3.04", "3.04 %"), "--strip %", {"strip": ("%",)}),
    ("units of values", PLAIN.replace("7.78", "7.78 kg"), "--strip kg", {"strip": ("kg",)}),
    ("currency", PLAIN.replace("7.78", "$7.78").replace("-3.64", "$ -3.64"), "--strip '$'", {"strip": ("$",)}),
    ("blanks", re.sub(",", "   ", PLAIN), "--delimiter ' '", {"delimiter": " "}),
]


@pytest.mark.parametrize(("name", "text", "flag", "form"), FORMS, ids=[f"{case[0]} {case[2]}" for case in FORMS])
def test_a_form_in_doubt_is_refused_with_the_flag_that_reads_it(
    tmp_path: Path, name: str, text: str | bytes, flag: str, form: dict[str, Any]
) -> None:
    """The error offers one flag, and with this flag the numbers are read."""
    path = write(tmp_path, text)
    with pytest.raises(UsageError, match=re.escape(flag)):
        read(path)
    assert read(path, **form) == VALUES


GROUPED = [
    ("1.234.567", "--thousands .", {"thousands": "."}, 1234567.0),
    ("1,234,567", "--thousands ,", {"thousands": ","}, 1234567.0),
    ("1,234.5", "--thousands ,", {"thousands": ","}, 1234.5),
    ("1.234,5", "--thousands . --decimal ,", {"thousands": ".", "decimal": ","}, 1234.5),
    ("-1 234.5", "--thousands ' '", {"thousands": " "}, -1234.5),
    ("1\N{NO-BREAK SPACE}234,5", "--thousands ' ' --decimal ,", {"thousands": " ", "decimal": ","}, 1234.5),
    ("1'234.5", '--thousands "\'"', {"thousands": "'"}, 1234.5),
    ("12,34,567", "--thousands ,", {"thousands": ","}, 1234567.0),
]


@pytest.mark.parametrize(("text", "flag", "form", "number"), GROUPED)
def test_marks_between_thousands_are_read_when_named(
    tmp_path: Path, text: str, flag: str, form: dict[str, Any], number: float
) -> None:
    """Numbers grouped in thousands are refused with the flag for their mark; with it they have their whole size."""
    path = write(tmp_path, f"a\ty\n{text}\t1\n2\t2\n")
    with pytest.raises(UsageError, match=re.escape(flag)):
        read(path)
    assert read(path, **form) == [[number, 1.0], [2.0, 2.0]]


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_dots_that_may_mark_thousands_are_not_guessed(tmp_path: Path, delimiter: str) -> None:
    """7.110 beside 413 may be 7110: the error names column, row and value, and either meaning can be said."""
    path = write(tmp_path, "a,y\n413,1\n7.110,2\n6.210,3\n".replace(",", delimiter))
    with pytest.raises(UsageError, match=r"'a' has dots that may mark thousands .*data row 2: '7.110'.*--thousands \."):
        read(path)
    assert read(path, thousands=".") == [[413, 1], [7110, 2], [6210, 3]]
    assert read(path, decimal=".") == [[413, 1], [7.11, 2], [6.21, 3]]


@pytest.mark.parametrize("values", ["0.125 7.110", "7.11 413", "7.110 1413", "7.110 8.250", "7.110 1e3", "413 512"])
def test_dots_that_must_mark_fractions_are_read(tmp_path: Path, values: str) -> None:
    """One number that cannot be grouped in thousands settles it for its column."""
    numbers = values.split()
    assert read(write(tmp_path, "a\n" + "\n".join(numbers) + "\n")) == [[float(number)] for number in numbers]


def test_a_group_of_other_than_three_digits_is_refused(tmp_path: Path) -> None:
    """Where dots mark thousands, 7.11 is no number."""
    with pytest.raises(UsageError, match=r"'a' has text or dates in 1 of 2 rows .*'7.11'"):
        read(write(tmp_path, "a\n7.11\n7.110\n"), thousands=".")


@pytest.mark.parametrize("marker", ["?", "-", "--", "---", "n.a.", "*", ".", "missing", "#VALUE!"])
def test_markers_of_missing_values_are_read_when_named(tmp_path: Path, marker: str) -> None:
    """A usual marker is recognised; named, it is a missing value like any other."""
    path = write(tmp_path, f"a,y\n1,2\n{marker},3\n")
    with pytest.raises(UsageError, match=r"--missing[ =].* --drop-missing"):
        read(path)
    file = open_table(path, Form(missing=(marker,)))
    assert read_numbers(file, file.names, missing="drop").values.tolist() == [[1, 2]]


def test_a_number_can_mark_a_missing_value(tmp_path: Path) -> None:
    """-999, however it is written, is missing where it is named, in CSV and in Parquet."""
    path = write(tmp_path, "a\n1\n-999\n-999.0\n")
    stored = tmp_path / "table.parquet"
    pa.parquet.write_table(pa.table({"a": [1.0, -999.0, -999.0]}), stored)
    for table in (path, stored):
        file = open_table(table, Form(missing=("-999",)))
        assert np.isnan(read_numbers(file, ["a"], missing="keep").values[:, 0]).tolist() == [False, True, True]


def test_one_word_among_numbers_can_be_named_as_missing(tmp_path: Path) -> None:
    """A word that no list knows is offered as a marker where it is the only one."""
    with pytest.raises(UsageError, match=r"--missing offline, or .*--ignore a"):
        read(write(tmp_path, "a,y\n1,2\noffline,3\n2,1\noffline,4\n"))


@pytest.mark.parametrize(
    ("lines", "row"),
    [
        (['"pipe,1.75,1.23', "pipe,2,3", '"pipe,4,5', "pipe,6,7"], 3),
        (['pipe,1,"x', "pipe,2,y", 'pipe,3,"z"', "pipe,6,7"], 3),
        (['pipe,1,"x', 'pipe,3,"z"', "pipe,6,7"], 3),
        (['"pipe,1.75,1.23', "pipe,2,3"], 3),
        (["pipe,6,7", 'pipe,1,"2'], 4),
        (['"pipe,1,2', "pipe,2,3", "pipe,3,4"], 3),
    ],
)
def test_a_quote_that_swallows_rows_is_refused(tmp_path: Path, lines: list[str], row: int) -> None:
    """A quote left open is named by its row, whether a later one closes it or none does, in small blocks and in one."""
    path = write(tmp_path, "\n".join(["note,a,b", "pipe,1,2", '"pi""pe",1,2', *lines]) + "\n")
    with pytest.raises(UsageError, match=f"the quote in data row {row} "):
        read_numbers(open_table(path), ["a", "b"])


def test_a_quoted_field_may_hold_line_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text of several lines, delimiters and doubled quotes within quotes, and a quote within plain text are kept."""
    rows = ['"first, line\nand ""second"", line\n",1,2', 'a 5" pipe,3,4', '"x, y",5,6'] * 50
    path = write(tmp_path, "\n".join(["note,a,b", *rows]))
    for size in (1 << 20, 37):
        monkeypatch.setattr(csv_rows, "BLOCK_BYTES", size)
        assert read_numbers(open_table(path), ["a", "b"]).values.tolist() == [[1, 2], [3, 4], [5, 6]] * 50


def test_forms_work_together_and_in_small_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compressed UTF-16 file with a title, comments, units, decimal commas and markers is read with its flags."""
    rows = "".join(f"# note\r\n{row},5;1.234,25 €;?\r\n" for row in range(200))
    text = f"Titel\r\nä;b;c\r\n[m];[€];[s]\r\n{rows}"
    path = write(tmp_path, gzip.compress(text.encode("utf-16")), "table.csv.gz")
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 101)
    form = Form(comment="#", skip_rows=1, units_row=1, decimal=",", thousands=".", missing=("?",), strip=("€",))
    file = open_table(path, form)
    assert file.names == ("ä", "b", "c")
    numbers = read_numbers(file, ["ä", "b"]).values
    assert numbers.tolist() == [[row + 0.5, 1234.25] for row in range(200)]
    with pytest.raises(UsageError, match=r"data row 1\).*--ignore c"):
        read_numbers(file, ["c"])


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"delimiter": ";;"}, "--delimiter must be one character"),
        ({"decimal": "x"}, "--decimal must be one character"),
        ({"decimal": ",", "thousands": ","}, "--decimal and --thousands are both ','"),
        ({"skip_rows": -1}, "--skip-rows must be 0 or more"),
        ({"encoding": "utf-99"}, "--encoding 'utf-99' is unknown"),
        ({"comment": " "}, "--comment must be the text"),
    ],
)
def test_a_form_without_meaning_is_refused(form: dict[str, Any], message: str) -> None:
    """Each flag says what it takes."""
    with pytest.raises(UsageError, match=message):
        Form(**form)


def test_flags_of_csv_are_refused_for_parquet(tmp_path: Path) -> None:
    """A Parquet file has no lines to skip."""
    path = tmp_path / "table.parquet"
    pa.parquet.write_table(pa.table({"a": [1, 2]}), path)
    with pytest.raises(UsageError, match="--skip-rows is for CSV files"):
        open_table(path, Form(skip_rows=1))


def test_numbers_in_any_storage_of_parquet_are_read(tmp_path: Path) -> None:
    """Wide and viewed strings, and dictionaries of strings and of numbers, hold the same numbers as plain columns."""
    path = tmp_path / "table.parquet"
    texts = ["1.5", None, "-2"]
    numbers = pa.DictionaryArray.from_arrays(pa.array([0, None, 1]), pa.array([1.5, -2.0]))
    columns = {
        "large": pa.array(texts, pa.large_string()),
        "view": pa.array(texts, pa.string_view()),
        "words": pa.array(texts).dictionary_encode(),
        "large words": pa.array(texts, pa.large_string()).dictionary_encode(),
        "numbers": numbers,
    }
    pa.parquet.write_table(pa.table(columns), path)
    table = open_table(path)
    for name in columns:
        values = read_numbers(table, [name], missing="keep").values[:, 0]
        np.testing.assert_array_equal(values, [1.5, np.nan, -2], err_msg=name)


def test_an_error_past_the_first_block_counts_rows_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row with a field too many and a value in a nameless last field are named by their place in the file."""
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 100)
    ragged = write(tmp_path, "a,b\n" + "1,2\n" * 500 + "1,2,3\n" + "1,2\n" * 500)
    with pytest.raises(UsageError, match="data row 501 has 3 fields where the header has 2"):
        read(ragged)
    surplus = write(tmp_path, "a,b\n" + "1,2,\n" * 500 + "1,2,3\n")
    with pytest.raises(UsageError, match="data row 501 has a value, '3', in a last field that has no column name"):
        read(surplus)


@pytest.mark.parametrize("header", ['"note,a,b', 'note,"a,b'])
def test_a_quote_left_open_in_the_header_is_refused(tmp_path: Path, header: str) -> None:
    """It is not taken for a table without rows."""
    with pytest.raises(UsageError, match="the quote in the header"):
        open_table(write(tmp_path, header + "\nx,1,2\nx,2,3\n"))


def test_a_quote_left_open_in_the_first_row_is_refused(tmp_path: Path) -> None:
    """Nor is the header taken for a title."""
    path = write(tmp_path, 'note,a,b\n"x,1,2\nx,2,3\nx,3,4\n')
    with pytest.raises(UsageError, match="the quote in data row 1 "):
        read_numbers(open_table(path), ["a"])


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (PLAIN + "Total,20,30\n", "remove data row 5, the last one, which seems to be a total or a note"),
        (PLAIN + PLAIN, "remove data row 5, which repeats the header"),
        (PLAIN.replace("7.78", "(7.78)"), "Remedy: go on without the column: --ignore b"),
        (PLAIN.replace("7.78", "12:30"), "Remedy: go on without the column: --ignore b"),
        (PLAIN.replace("7.78", "7.78D+00"), "Remedy: go on without the column: --ignore b"),
        ("a;y\n1.234,5;1\n987,1;2\n3;4\n", "Remedy: say how values are written: --thousands . --decimal ,"),
    ],
)
def test_the_remedy_fits_the_fault(tmp_path: Path, text: str, remedy: str) -> None:
    """A row that is none is to be removed; what is a number in an unknown form is not called missing."""
    with pytest.raises(UsageError) as refused:
        read(write(tmp_path, text))
    assert str(refused.value).endswith(remedy)


@pytest.mark.parametrize("text", ['{"a": [1, 2]}', '[{"a": 1},\n{"a": 2}]', "<html><body>\n</body></html>"])
def test_other_formats_are_named(tmp_path: Path, text: str) -> None:
    """JSON and HTML are not tables of one column."""
    with pytest.raises(UsageError, match="seems to be JSON, HTML or XML"):
        open_table(write(tmp_path, text))


def test_a_title_that_splits_like_a_header_is_recognised_by_the_target(tmp_path: Path) -> None:
    """The name asked for stands in the line below."""
    file = open_table(write(tmp_path, "Report, of, us\n" + PLAIN))
    with pytest.raises(UsageError, match=r"no column 'y' in its first line, .*: --skip-rows 1"):
        check_known(["y"], file.names, "--target", file.path, file.units)
