"""The colour, marker and dash of each backend: the same in every chart, in every file and in the terminal.

The four built-in backends carry colours of Okabe and Ito's set, distinct under every common colour blindness; each of
the colours here keeps a contrast of 3:1 or more against the report's light page and its dark one (tested). Colour is
never alone: a marker, a dash or the name in letters is next to it.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

BACKEND_COLOURS = {
    "numpy": "#0072b2",
    "numba": "#009e73",
    "jax": "#cc79a7",
    "torch": "#d55e00",
}
"""``#rrggbb`` of the backends that everyone meets."""

OTHER_COLOURS = ("#7570d0", "#a17a00", "#c0507f", "#2b8ea6", "#8c6d4f", "#6b8e23", "#a05acb", "#808080")
"""For any other name: chosen by a checksum of the name, so that it never changes."""

MARKERS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "triangle-right", "triangle-left")
"""Vega's names of the shapes."""

SOLID, DASHED = (1, 0), (6, 3)
VARIANT_DASHES = ((2, 2), (1, 4), (4, 1), (9, 2))
"""For the variants of a backend: chosen by a checksum of what the variant is called, so that it never changes."""


class Look(NamedTuple):
    """How one backend is drawn.

    Attributes:
        colour: ``#rrggbb``.
        marker: one of `MARKERS`.
        dash: lengths of strokes and gaps in pixels; solid for a backend at its best, dashed for its idiom or variant.
        filled: whether the marker is filled.
    """

    colour: str
    marker: str
    dash: tuple[int, int]
    filled: bool


def colour_of(name: str) -> str:
    """Return the ``#rrggbb`` of a backend, stable for any name; ``numpy-idiom`` is a greyer ``numpy``."""
    return look_of(name).colour


def look_of(name: str) -> Look:
    """Return colour, marker and dash of a backend; an idiom or variant ``<backend>-<what>`` looks like its backend."""
    family, _, what = name.partition("-")
    if family in BACKEND_COLOURS:
        colour = BACKEND_COLOURS[family]
        marker = MARKERS[list(BACKEND_COLOURS).index(family)]
        if not what:
            return Look(colour, marker, SOLID, True)
        return Look(_mixed(colour, "#808080", 0.4), marker, _dash(what), False)
    checksum = zlib.crc32(name.encode("utf-8", "surrogatepass"))
    colour = OTHER_COLOURS[checksum % len(OTHER_COLOURS)]
    return Look(colour, MARKERS[4 + checksum // len(OTHER_COLOURS) % 4], SOLID, True)


def _dash(what: str) -> tuple[int, int]:
    """Return the dash of an idiom or of a variant."""
    if what == "idiom":
        return DASHED
    return VARIANT_DASHES[zlib.crc32(what.encode("utf-8", "surrogatepass")) % len(VARIANT_DASHES)]


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _mixed(colour: str, other: str, share: float) -> str:
    """Return ``colour`` with ``share`` of ``other`` in it."""
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{round(a * (1 - share) + b * share):02x}" for a, b in pairs)
