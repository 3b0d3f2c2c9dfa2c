"""How a table is written, as far as a person says it: delimiter, encoding, decimal mark, lines to leave out.

Tests: `tests/bench/training/test_table_forms.py`.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from bench.basics.errors import UsageError

CSV_ONLY = ("delimiter", "encoding", "comment", "skip_rows", "units_row")


@dataclass(frozen=True)
class Form:
    """What the flags say about the form of a table; what they leave open is read from the file.

    Attributes:
        delimiter: the character between fields; a space stands for any run of spaces and tabs.
        encoding: of a CSV file; UTF-8, or what its byte-order mark says, if not given.
        decimal: the character before the fraction of a number; a dot if not given.
        thousands: the character between groups of three digits, if numbers are written with one.
        comment: lines that begin with this text are left out.
        skip_rows: this many lines before the header are left out.
        units_row: this many lines after the header, which hold units or the like, are left out.
        missing: texts that mark a missing value, in addition to the usual ones such as ``NA``.
        strip: texts around a number to leave out, such as ``%`` or ``kg``.
    """

    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    comment: str | None = None
    skip_rows: int = 0
    units_row: int = 0
    missing: tuple[str, ...] = ()
    strip: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for flag, mark in (
            ("--delimiter", self.delimiter),
            ("--decimal", self.decimal),
            ("--thousands", self.thousands),
        ):
            if mark is not None and (len(mark) != 1 or mark in '"\r\n' or (flag != "--delimiter" and mark.isalnum())):
                raise UsageError(f"{flag} must be one character such as {EXAMPLES[flag]!r}, got {mark!r}")
        if self.decimal_mark == self.thousands:
            raise UsageError(f"--decimal and --thousands are both {self.thousands!r}; give two different characters")
        for flag, lines in (("--skip-rows", self.skip_rows), ("--units-row", self.units_row)):
            if lines < 0:
                raise UsageError(f"{flag} must be 0 or more lines, got {lines}")
        if self.comment is not None and not self.comment.strip():
            raise UsageError("--comment must be the text that comment lines begin with, such as '#', got nothing")
        if self.encoding is not None:
            try:
                known = "a".encode(codecs.lookup(self.encoding).name)
            except (LookupError, ValueError, TypeError):
                known = b""
            if not known:
                raise UsageError(f"--encoding {self.encoding!r} is unknown; give one such as utf-16, cp1252 or latin-1")

    @property
    def decimal_mark(self) -> str:
        """The decimal mark: the one given, else a comma if dots mark thousands, else a dot."""
        return self.decimal or ("," if self.thousands == "." else ".")

    def refuse_for_parquet(self, path: object) -> None:
        """Raise `UsageError` if something is said that has a meaning for CSV files only."""
        for name in CSV_ONLY:
            if getattr(self, name):
                raise UsageError(
                    f"--{name.replace('_', '-')} is for CSV files, and {path} is a Parquet file; leave it out"
                )


EXAMPLES = {"--delimiter": ";", "--decimal": ",", "--thousands": "."}
