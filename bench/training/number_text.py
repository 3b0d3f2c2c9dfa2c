"""Read numbers that are written as text in a given form; say which form the others seem to have.

Tests: `tests/bench/training/test_table_forms.py`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bench.training.form import Form

Floats = NDArray[np.float64]

NO_VALUE = {"", "#n/a", "#na", "n/a", "na", "nan", "-nan", "null", "none", "<na>"}
TRUTH = {"true": 1.0, "false": 0.0}
SPACES = " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}"

SIGN, EXPONENT = r"[+-]?", r"(?:[eE][+-]?\d+)?"
PLAIN = re.compile(rf"{SIGN}(?:\d+\.?\d*|\.\d+){EXPONENT}")
MARKERS = re.compile(
    r"[^\w\s]{1,4}|n\.?\s?[ad]\.?|missing|unknown|none|empty|not available|#?(?:value|div/0|ref|num|name|null)!?\??",
    re.IGNORECASE,
)
COMMENT = re.compile(r"(#|//|%|!)\s*\S.*")
HEXADECIMAL = re.compile(r"[+-]?0[xXoObB][\da-fA-F]+")
MINUS = "\N{MINUS SIGN}"
AFFIX = re.compile(
    rf"(?P<before>[^\w\s.,+()#{MINUS}-]{{1,3}}|[A-Z]{{2,3}})?\s?"
    rf"(?P<number>{SIGN}\d[\d.,]*{EXPONENT})\s?(?P<after>\D{{1,12}})?"
)


class Kind(NamedTuple):
    """A form that texts of a column seem to have.

    Attributes:
        name: what the form is, for a sentence about the column.
        flag: the flag that reads it.
    """

    name: str
    flag: str


DECIMAL_COMMA = Kind("decimal commas", "--decimal ,")
COMMAS = Kind("commas within numbers", "--thousands , (or --decimal , if they mark the fraction)")
COMMA_THOUSANDS = Kind("commas between thousands", "--thousands ,")
DOT_THOUSANDS = Kind("dots between thousands", "--thousands .")
DOTS_AND_COMMA = Kind("dots between thousands and decimal commas", "--thousands . --decimal ,")
DOUBTFUL_DOTS = Kind("dots that may mark thousands", "--thousands . (or --decimal . if they mark the fraction)")


def _grouped(thousands: str, decimal: str | None) -> str:
    fraction = rf"(?:{re.escape(decimal)}\d*)?" if decimal else ""
    return rf"{SIGN}\d{{1,3}}(?:{thousands}\d{{2,3}})*{thousands}\d{{3}}{fraction}"


def _group_mark(thousands: str) -> str:
    """Return the pattern of a thousands mark; any kind of space stands for each other."""
    return f"[{SPACES}]" if thousands in SPACES else re.escape(thousands)


FORMS: tuple[tuple[Kind, str], ...] = (
    (COMMAS, _grouped(",", None)),
    (COMMA_THOUSANDS, _grouped(",", ".")),
    (DECIMAL_COMMA, rf"{SIGN}(?:\d+,\d*|,\d+){EXPONENT}"),
    (DOT_THOUSANDS, _grouped(r"\.", None)),
    (DOTS_AND_COMMA, _grouped(r"\.", ",")),
    (Kind("spaces between thousands", "--thousands ' '"), _grouped(f"[{SPACES}]", ".")),
    (Kind("spaces between thousands and decimal commas", "--thousands ' ' --decimal ,"), _grouped(f"[{SPACES}]", ",")),
    (Kind("apostrophes between thousands", '--thousands "\'"'), _grouped("'", ".")),
    (
        Kind("apostrophes between thousands", "--thousands \N{RIGHT SINGLE QUOTATION MARK}"),
        _grouped("\N{RIGHT SINGLE QUOTATION MARK}", "."),
    ),
)


class NumberText:
    """Reads numbers in one form."""

    def __init__(self, form: Form) -> None:
        self._strip = tuple(sorted(form.strip, key=len, reverse=True))
        self._missing = {text.strip().lower() for text in form.missing} | NO_VALUE
        self._missing_numbers = [float(text) for text in form.missing if PLAIN.fullmatch(text.strip())]
        decimal = re.escape(form.decimal_mark)
        self._decimal = form.decimal_mark
        self._group = _group_mark(form.thousands) if form.thousands else None
        whole = rf"\d{{1,3}}(?:{self._group}\d{{2,3}})*{self._group}\d{{3}}|\d+" if self._group else r"\d+"
        self._pattern = re.compile(rf"{SIGN}(?:(?:{whole}){decimal}?|(?:{whole})?{decimal}\d+){EXPONENT}")
        self._plain = self._decimal == "." and self._group is None

    def column(self, texts: pa.Array) -> tuple[Floats, NDArray[np.intp], list[Kind | None]]:
        """Return a column of strings as numbers, NaN if there is none, and of what kind each other text is.

        Returns:
            The values; for each row a position in the list of kinds, -1 for numbers and missing values; the kinds, with
            ``None`` for text of no known form.
        """
        if (quick := self._quickly(texts)) is not None:
            return self.without_markers(quick), np.full(len(texts), -1), []
        coded = texts.dictionary_encode()  # spaces, true and false, words: each distinct text once
        words: list[str] = coded.dictionary.to_pylist()
        meanings = [self.number(text) for text in words]
        unreadable = {text: self.kind(text) for text, number in zip(words, meanings, strict=True) if number is None}
        kinds: list[Kind | None] = list(dict.fromkeys(unreadable.values()))
        values = np.array([np.nan if number is None else number for number in meanings] + [np.nan])
        marks = np.array([kinds.index(unreadable[text]) if text in unreadable else -1 for text in words] + [-1])
        codes = coded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
        return self.without_markers(values[codes]), marks[codes], kinds

    def without_markers(self, values: Floats) -> Floats:
        """Return numbers with those that were said to mark a missing value, such as -999, as NaN."""
        if self._missing_numbers:
            values[np.isin(values, self._missing_numbers)] = np.nan
        return values

    def is_missing(self, text: str) -> bool:
        """Return whether ``text`` says that there is no value."""
        return text.strip().lower() in self._missing

    def number(self, text: str) -> float | None:
        """Return the number that ``text`` writes, NaN if it says that there is none, ``None`` for any other text."""
        word = text.strip().lower()
        if word in self._missing:
            return float("nan")
        for affix in self._strip:
            word = word.removeprefix(affix.lower()).removesuffix(affix.lower()).strip()
        if word in TRUTH:
            return TRUTH[word]
        word = word.replace(MINUS, "-")
        if self._plain or word.lstrip("+-") in ("inf", "infinity"):
            try:
                return None if "_" in word else float(word)
            except ValueError:
                return None
        if not self._pattern.fullmatch(word):
            return None
        if self._group:
            word = re.sub(self._group, "", word)
        return float(word.replace(self._decimal, "."))

    def kind(self, text: str) -> Kind | None:
        """Return the form that ``text``, which could not be read, seems to have; ``None`` if it is just text."""
        word = text.strip()
        for kind, pattern in FORMS:
            if re.fullmatch(pattern, word):
                return kind
        if MARKERS.fullmatch(word):
            mark = f"={word}" if word.startswith("-") else f" {shlex.quote(word)}"
            return Kind(f"{word!r} for missing values", f"--missing{mark}")
        if (comment := COMMENT.fullmatch(word)) and not re.search(r"\d", comment[1] + word[:2]):
            return Kind("comment lines", f"--comment {shlex.quote(comment[1])}")
        if (match := AFFIX.fullmatch(word)) and (match["before"] or match["after"]):
            affix = (match["before"] or match["after"]).strip()
            if HEXADECIMAL.fullmatch(word):
                return None  # without the x it would be another number
            if affix and not (match["before"] and match["after"]) and not re.search(r"[:/\d()#-]|^[dD][+]?$", affix):
                name = "percent signs" if affix == "%" else f"{affix!r} around numbers"
                return Kind(name, f"--strip {shlex.quote(affix)}")
        return None

    def _quickly(self, texts: pa.Array) -> Floats | None:
        """Return the numbers of a column that holds nothing else, read by pyarrow; ``None`` if it does."""
        if self._strip:
            return None
        if not self._plain:
            matched = pc.match_substring_regex(texts, rf"^(?:{self._pattern.pattern})$")
            if not pc.all(matched, min_count=0).as_py():
                return None
            texts = pc.replace_substring_regex(texts, self._group, "") if self._group else texts
            texts = pc.replace_substring(texts, self._decimal, ".")
        try:
            return np.array(pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False))
        except pa.ArrowInvalid:
            return None


@dataclass
class DotWatch:
    """Whether the dots of a column may mark thousands: ``7.110`` next to ``413`` may be 7110 or 7.11.

    They may if all numbers with a dot look grouped and all others are below 1000. If semicolons separate the fields,
    commas usually mark the fraction, and a column of grouped numbers only is doubtful as well.
    """

    semicolons: bool = False
    possible: bool = True
    dotted: int = 0
    undotted: int = 0
    first_row: int = 0
    example: str = ""
    _grouped: str = field(default=r"^\s*[+-]?[1-9]\d{0,2}(?:\.\d{3})+\s*$", repr=False)

    def add(self, texts: pa.Array, rows_before: int) -> None:
        """Take a block of the column into account, which starts after ``rows_before`` rows."""
        if not self.possible or len(texts) == 0:
            return
        head = [text for text in texts[:64].to_pylist() if text]
        if any(
            not re.fullmatch(r"[+-]?(\d{1,3}|[1-9]\d{0,2}(\.\d{3})+)", text.strip()) for text in head if text.strip()
        ):
            self.possible = False
            return
        texts = texts.fill_null("")
        grouped = pc.match_substring_regex(texts, self._grouped).to_numpy(zero_copy_only=False)
        small = pc.match_substring_regex(texts, r"^\s*[+-]?\d{1,3}\s*$").to_numpy(zero_copy_only=False)
        empty = pc.match_substring_regex(texts, r"^\s*$").to_numpy(zero_copy_only=False)
        self.possible = bool((grouped | small | empty).all())
        if grouped.any() and not self.dotted:
            self.first_row, self.example = rows_before + int(grouped.argmax()) + 1, texts[int(grouped.argmax())].as_py()
        self.dotted += int(grouped.sum())
        self.undotted += int(small.sum())

    @property
    def doubtful(self) -> bool:
        """Whether a person must say what the dots mean."""
        return self.possible and self.dotted > 0 and (self.undotted > 0 or self.semicolons)
