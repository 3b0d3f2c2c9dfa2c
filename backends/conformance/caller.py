"""What a caller does with its memory: places arrays of any make, fills them anew, overwrites or keeps results.

Tests: `tests/backends/conformance/test_stateful.py`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from backends.base import Array
from backends.conformance.held import Owner, Wrong
from backends.layout import aligned_empty


class Caller:
    """The arrays of one caller: those that it placed, and those that it was given.

    Args:
        choose: decides what it does.
    """

    def __init__(self, choose: random.Random) -> None:
        self._choose = choose
        self._kept: list[tuple[str, Array, Array]] = []
        self._mine: list[tuple[Array, Array]] = []

    def check(self) -> None:
        """Raise `Wrong` if an array that was fetched and kept has changed, or one of the caller was written to."""
        for label, array, expected in self._kept:
            if not _same_bits(array, expected):
                raise Wrong(f"{label}, fetched before, changed in the caller's hands")
        for array, expected in self._mine:
            if not _same_bits(array, expected):
                raise Wrong("an array of the caller was written to")

    def keep_or_overwrite(self, label: str, arrays: list[Array]) -> None:
        """The caller may do as it likes with what it was given: overwrite it, or trust that it stays."""
        if self._choose.random() < 0.5:
            for array in arrays:
                if array.flags.writeable:
                    array.fill(math.nan)
        else:
            self._kept = [*self._kept[-40:], *((label, array, array.copy()) for array in arrays)]

    def arrays(self, owner: Owner, what: Any, values: list[Array]) -> list[Array]:
        """Return arrays of the caller that hold some values: new ones of any make, or earlier ones, filled anew."""
        if self._choose.random() < 0.5:
            arrays = [owner.reused.setdefault((what, k), np.empty_like(value)) for k, value in enumerate(values)]
            self._mine = [(mine, then) for mine, then in self._mine if not any(mine is array for array in arrays)]
        else:
            make = self._choose.choice(MAKES)
            arrays = [make(value) for value in values]
        for array, value in zip(arrays, values, strict=True):
            array[...] = value
        return arrays

    def after_placing(self, arrays: list[Array], values: list[Array]) -> None:
        """Fill the caller's arrays with something else, or remember what they have to be."""
        if self._choose.random() < 0.6:
            for array in arrays:
                array.fill(self._choose.choice((math.nan, 0.0, 7.0)))
        self._mine = [*self._mine[-40:], *((array, array.copy()) for array in arrays)]


def _plain(value: Array) -> Array:
    return np.empty_like(value)


def _aligned(value: Array) -> Array:
    return aligned_empty(value.shape, value.dtype)


def _column_major(value: Array) -> Array:
    return np.empty(value.shape, value.dtype, order="F")


def _part_of_larger(value: Array) -> Array:
    whole = np.zeros((len(value) + 2, *value.shape[1:]), value.dtype)
    return whole[1:-1]


def _same_bits(left: Array, right: Array) -> bool:
    return np.array_equal(left, right, equal_nan=True)


MAKES: tuple[Callable[[Array], Array], ...] = (_plain, _aligned, _column_major, _part_of_larger)
"""How a caller's array may lie in memory; each is writeable, so that it can be filled anew."""
