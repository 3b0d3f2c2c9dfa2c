"""How a CSV file is laid out, judged by its first lines: delimiter, header, and what comes before and below it.

Tests: `tests/bench/training/test_table_forms.py`.
"""

from __future__ import annotations

import csv
import re
import shlex
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.basics.errors import UsageError
from bench.training.form import Form

DELIMITERS = ",;\t|"
SAMPLE_ROWS = 100
BLANKS = re.compile(r"[ \t]+")
COMMENT_MARK = re.compile(r"\s*(#|//|%|!|--|;|')")
SEPARATOR_HINT = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE)
NUMBERLIKE = re.compile(r"[+-]?[\d.,]*\d[\d.,]*(e[+-]?\d+)?\s*%?", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """Where things are in a CSV file.

    Attributes:
        delimiter: between fields.
        names: of the fields of a row, in order; empty for fields at the end of each row that hold nothing.
        lines_before_rows: lines of text up to the first data row, lines left out by the form not counted.
        units: what the first data rows hold that seem to be units or the like, a row of fields each.
    """

    delimiter: str
    names: tuple[str, ...]
    lines_before_rows: int
    units: tuple[tuple[str, ...], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names, without those of fields that hold nothing."""
        return self.names[: len(self.names) - self.nameless_end]

    @property
    def nameless_end(self) -> int:
        """How many fields at the end of each row have no name and hold nothing."""
        named = [at for at, name in enumerate(self.names, start=1) if name]
        return len(self.names) - named[-1] if named else 0


class _Row(NamedTuple):
    """A row of the sample, and the lines that it takes up: from ``start`` to before ``end``."""

    fields: list[str]
    start: int
    end: int


def layout_of(path: Path, sample: str, form: Form) -> Layout:
    """Return the layout of a file whose text begins with ``sample``, whole lines.

    Raises:
        UsageError: lines come before the header, or blanks separate the columns; names the flag that reads them.
    """
    lines = sample.splitlines()
    first = next((number for number, line in enumerate(lines) if line.strip()), len(lines))
    hint = SEPARATOR_HINT.fullmatch(lines[first]) if first < len(lines) else None
    first += hint is not None
    lines = lines[first:]
    delimiter = form.delimiter or (hint[1] if hint else _delimiter(lines))
    rows = _rows(lines, delimiter)
    if not rows:
        return Layout(delimiter, (), first)
    width = _usual_width(rows[1:] or rows)
    _refuse_open_quote(path, lines, rows[0], delimiter)
    _refuse_title(path, lines, rows, width, first + form.skip_rows)
    if width == 1 and not form.delimiter:
        _refuse_other_delimiters(path, lines)
    header, below = rows[0], rows[1:]
    skipped = first + header.end
    if form.units_row:
        below = below[form.units_row - 1 :]
        skipped, below = first + (below[0].end if below else len(lines)), below[1:]
    names = _stripped(header.fields)
    named = len(names) - next((at for at, name in enumerate(reversed(names)) if name), 0)
    if below and all(not any(field.strip() for field in row.fields[named:]) for row in below):
        names = names[:named] + [""] * (width - named)
    return Layout(delimiter, tuple(names), skipped, () if form.units_row else _units([row.fields for row in below]))


def _stripped(names: list[str]) -> list[str]:
    """Return names without blanks around them, unless two would become the same."""
    bare = [name.strip() for name in names]
    return bare if len(set(bare)) == len(set(names)) else names


def _refuse_open_quote(path: Path, lines: list[str], header: _Row, delimiter: str) -> None:
    """Refuse a header that goes on over lines of data, since a quote in it is not closed."""
    for line in lines[header.start + 1 : header.end]:
        if _has_numbers(line.replace('"', "").split(delimiter)):
            raise UsageError(
                f"{path}: the quote in the header ({lines[header.start][:60]!r}) swallows the rows after it; "
                "close it, or remove it"
            )


def _delimiter(lines: list[str]) -> str:
    """Return the delimiter that splits header and rows into the same number of fields."""

    def fit(delimiter: str) -> tuple[bool, float, int]:
        rows = _rows(lines, delimiter)
        width = _usual_width(rows[1:] or rows) if rows else 1
        if width < 2:
            return False, 0.0, len(rows[0].fields) if rows else 0
        return len(rows[0].fields) == width, sum(len(row.fields) == width for row in rows) / len(rows), width

    return max(DELIMITERS, key=fit)


def _rows(lines: list[str], delimiter: str) -> list[_Row]:
    """Return the first rows; a run of blanks is one delimiter if blanks are."""
    texts = (BLANKS.sub(" ", line).strip() for line in lines) if delimiter == " " else lines
    reader = csv.reader((f"{text}\n" for text in texts), delimiter=delimiter)
    rows: list[_Row] = []
    start = 0
    try:
        for fields in reader:
            if fields:
                rows.append(_Row(fields, start, reader.line_num))
            start = reader.line_num
            if len(rows) == SAMPLE_ROWS:
                break
    except csv.Error:
        pass
    return rows


def _usual_width(rows: list[_Row]) -> int:
    return Counter(len(row.fields) for row in rows).most_common(1)[0][0]


def _is_header(row: list[str], widths: Collection[int]) -> bool:
    names = row[:-1] if len(row) > 1 and not row[-1] else row
    return len(row) in widths and all(name.strip() for name in names) and not _has_numbers(row)


def _has_numbers(row: list[str]) -> bool:
    return any(NUMBERLIKE.fullmatch(field.strip()) for field in row)


def _refuse_title(path: Path, lines: list[str], rows: list[_Row], width: int, skipped: int) -> None:
    """Refuse lines before the header: a title, or comments."""
    ended = all(not row.fields[-1].strip() for row in rows[-10:])  # rows end with a delimiter, the header need not
    widths = (width, width - 1) if ended else (width,)
    at = next((number for number, row in enumerate(rows[:20]) if _is_header(row.fields, widths)), None)
    mark = COMMENT_MARK.match(lines[rows[0].start])
    if at == 0 and mark and len(rows) > 2 and _is_header(rows[1].fields, widths) and _has_numbers(rows[2].fields):
        at = 1  # a comment that happens to split like a header
    if not at or rows[at].end - rows[at].start > 1:  # no header takes several lines that look like one
        return
    above = [line.strip() for line in lines[: rows[at].start]]
    text = "; ".join(filter(None, above))
    text = text if len(text) <= 60 else f"{text[:57]}..."
    if mark and all(line.startswith(mark[1]) for line in above if line):
        raise UsageError(
            f"{path} begins with comment lines ({text!r}); leave them out: --comment {shlex.quote(mark[1])}"
        )
    many = f"{len(above)} lines" if len(above) > 1 else "1 line"
    raise UsageError(
        f"{path} has {many} before its header ({text!r}); leave them out: --skip-rows {skipped + len(above)}"
    )


def _refuse_other_delimiters(path: Path, lines: list[str]) -> None:
    """Refuse a file whose columns are separated by something less usual."""
    for delimiter, name in ((" ", "blanks"), (":", "colons"), ("^", "carets"), ("~", "tildes")):
        rows = _rows(lines, delimiter)
        width = len(rows[0].fields)
        if (
            width > 1
            and len(rows) > 1
            and all(len(row.fields) == width and _has_numbers(row.fields) for row in rows[1:])
        ):
            raise UsageError(
                f"the columns of {path} are separated by {name}; read them so: --delimiter {shlex.quote(delimiter)}"
            )


def _units(rows: list[list[str]]) -> tuple[tuple[str, ...], ...]:
    """Return the first data rows if they seem to be units: up to three rows of text above columns of numbers."""
    count = next((at for at, row in enumerate(rows) if _has_numbers(row)), 0)
    if not 0 < count <= 3:
        return ()
    numeric = [
        any(column) and all(not field.strip() or NUMBERLIKE.fullmatch(field.strip()) for field in column)
        for column in zip(*(row for row in rows[count:] if len(row) == len(rows[0])), strict=True)
    ]
    titled = any(is_number and field.strip() for is_number, field in zip(numeric, rows[0], strict=False))
    return tuple(map(tuple, rows[:count])) if titled else ()
