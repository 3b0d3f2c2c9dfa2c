"""A target column that names classes: read as class numbers, in the same order for every file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.basics.errors import UsageError
from bench.basics.formats import format_count
from bench.training.files import TableFile
from bench.training.number_text import PLAIN, Floats, NumberText
from bench.training.storage import plain

MOST_CLASSES = 1000
"""More different values are a column of names or numbers, not of classes."""

LOOKED_AT = 1000
"""Rows by which a column is judged to hold words or numbers."""


@dataclass
class Classes:
    """The classes of one column.

    Attributes:
        column: its name.
        names: of the classes, in the order of their numbers; while a table is read, in the order of appearance.
        fixed: whether other names are unknown, as they are to a trained network, rather than new classes.
    """

    column: str
    names: list[str]
    fixed: bool = False
    _numbers: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._numbers = {name: number for number, name in enumerate(self.names)}

    def numbers(self, column: pa.Array, reader: NumberText) -> Floats:
        """Return the class number of each row, NaN if it has none or one that is not known.

        Raises:
            UsageError: more classes than a network of this kind is for.
        """
        coded = pc.cast(plain(column), pa.string()).dictionary_encode()
        codes = [self._number(text, reader) for text in coded.dictionary.to_pylist()] + [math.nan]
        numbers: Floats = np.array(codes)[coded.indices.fill_null(len(codes) - 1).to_numpy(zero_copy_only=False)]
        return numbers

    def _number(self, text: str, reader: NumberText) -> float:
        if reader.is_missing(text):
            return math.nan
        name = canonical(text)
        if name not in self._numbers:
            if self.fixed:
                return math.nan
            if len(self.names) == MOST_CLASSES:
                raise UsageError(
                    f"target {self.column!r} has more than {format_count(MOST_CLASSES)} different values, "
                    f"{', '.join(map(repr, self.names[:3]))} and so on, too many for classes; choose a column with few "
                    "values, or write it as numbers and train with --loss mse"
                )
            self._numbers[name] = len(self.names)
            self.names.append(name)
        return float(self._numbers[name])

    def in_order(self) -> tuple[Classes, Floats]:
        """Return the classes sorted, numbers by size, and the new number of each old one.

        Raises:
            UsageError: one class alone, from which nothing can be learnt.
        """
        if len(self.names) < 2:
            raise UsageError(
                f"target {self.column!r} is constant: {', '.join(map(repr, self.names)) or 'no value'} in every row; "
                "there is nothing to learn, choose another --target"
            )
        as_numbers = all(PLAIN.fullmatch(name) for name in self.names)
        names = sorted(self.names, key=float if as_numbers else str)
        place = {name: float(number) for number, name in enumerate(names)}
        return Classes(self.column, names, fixed=True), np.array([place[name] for name in self.names])


def canonical(text: str) -> str:
    """Return the name of a class: ``1.0`` and `` 1`` are the class ``1``."""
    name = text.strip()
    if PLAIN.fullmatch(name):
        value = float(name)
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return name


def one_hot(numbers: Floats, classes: int) -> Floats:
    """Return class numbers ``[n]`` as probabilities ``[n, classes]``."""
    probabilities = np.zeros((len(numbers), classes))
    probabilities[np.arange(len(numbers)), numbers.astype(np.intp)] = 1.0
    return probabilities


def is_text(table: TableFile, column: str) -> bool:
    """Return whether a column holds words rather than numbers, judged by its first rows."""
    reader = NumberText(table.form)
    batch: Any = next(islice(table.blocks([column]), 1), None)
    values = plain(batch.column(0)[:LOOKED_AT]) if batch is not None else pa.array([], pa.string())
    if not pa.types.is_string(values.type):
        return False
    texts = [text for text in values.drop_null().to_pylist() if not reader.is_missing(text)]
    words = [text for text in texts if reader.number(text) is None and reader.kind(text) is None]
    return len(words) > len(texts) / 2
