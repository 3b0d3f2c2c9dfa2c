"""One self-contained HTML file from parts and answers. Text that comes from data is escaped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from bench.basics.formats import (
    format_bytes,
    format_count,
    format_number,
    format_percent,
    format_rate,
    format_seconds,
    json_ready,
)
from bench.report.answers import Card
from bench.report.exhibits import DIMENSIONS, LOCAL, Column, Exhibit, Format, Part
from bench.results import PHASES
from bench.terminal.palette import BACKEND_COLOURS, look_of

if TYPE_CHECKING:
    import pandas as pd

INSTALL = "pip install -U altair jinja2 vl-convert-python"
"""The command that installs what the report needs; `pyproject.toml` alone says from which versions on."""

SCRIPTS = ("state.js", "tables.js", "charts.js", "maps.js")

FORMATS: dict[Format, Callable[[Any], str]] = {
    "text": str,
    "yes": lambda value: "yes" if value else "no",
    "seconds": format_seconds,
    "count": format_count,
    "ratio": lambda value: f"{format_number(value)}\u00d7",
    "percent": format_percent,
    "bytes": format_bytes,
    "rate": lambda value: format_rate(value, ""),
    "number": format_number,
}
"""How a table writes the values of a column."""

HIDDEN = "<>&\u2028\u2029"


@dataclass(frozen=True)
class Page:
    """All that the file says.

    Attributes:
        runs: id, line of description, of each run.
        cards: the maps of the first screen.
        parts: the chapters.
        chosen: what is chosen at first, by dimension.
        unlike: conditions that differ between the runs.
        written: when, for people.
    """

    runs: Sequence[dict[str, str]]
    cards: Sequence[Card]
    parts: Sequence[Part]
    chosen: dict[str, Any]
    unlike: Sequence[str]
    written: str
    version: str

    @property
    def exhibits(self) -> list[Exhibit]:
        """All exhibits, in order."""
        return [exhibit for part in self.parts for exhibit in part.exhibits]


def rendered(page: Page, scripts: str) -> str:
    """Return the whole file as text; ``scripts`` are those of `bench.report.vega`."""
    import jinja2
    import markupsafe

    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["short"] = short_count
    template = environment.from_string(_asset("page.html"))
    trusted = markupsafe.Markup  # our own files, and JSON that `embedded` has made safe
    return template.render(
        runs=page.runs,
        cards=page.cards,
        parts=page.parts,
        unlike=page.unlike,
        written=page.written,
        version=page.version,
        local=LOCAL,
        estimated=any(cell.estimated for card in page.cards for cell in card.cells),
        css=trusted(_asset("page.css")),
        payload=trusted(embedded(payload(page))),
        vega=trusted(scripts),
        scripts=[trusted(_asset(name)) for name in SCRIPTS],
    )


def payload(page: Page) -> dict[str, Any]:
    """Return the data that the page's scripts read."""
    exhibits = page.exhibits
    backends = _backends(page)
    return {
        "runs": list(page.runs),
        "backends": backends,
        "looks": {name: look_of(name)._asdict() for name in backends},
        "choices": {name: choices(name, exhibits, page.cards) for name in DIMENSIONS},
        "chosen": page.chosen,
        "answers": [card.payload for card in page.cards],
        "exhibits": [_exhibit(exhibit) for exhibit in exhibits],
    }


def choices(dimension: str, exhibits: Iterable[Exhibit], cards: Iterable[Card]) -> list[Any]:
    """Return the values of a dimension in the order in which they first appear; numbers in their own order."""
    distinct: dict[Any, None] = {}
    for exhibit in exhibits:
        if dimension in exhibit.filters and dimension in exhibit.frame:
            distinct.update(dict.fromkeys(exhibit.frame[dimension].drop_duplicates().tolist()))
    for card in cards:
        if hasattr(card, dimension):
            distinct.setdefault(getattr(card, dimension))
    values = [value for value in distinct if value not in (None, "")]
    if dimension == "phase":
        return sorted(values, key=[*PHASES, *values].index)
    return sorted(values) if all(isinstance(value, int) for value in values) else values


def embedded(value: object) -> str:
    """Return ``value`` as JSON that can be inside a ``<script>``: no tag, comment, entity or line separator."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in HIDDEN:  # ten times as fast as `str.translate`
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def columnar(frame: pd.DataFrame, columns: Iterable[Column] = ()) -> dict[str, Any]:
    """Return rows by column, texts as positions in a list, with what is not finite as ``None``.

    ``shown`` has what the page writes for the values of each of ``columns`` that is not text.
    """
    shown = {
        column.name: _column([shown_as(value, column.format) for value in frame[column.name].tolist()])
        for column in columns
        if column.format != "text" and column.name in frame
    }
    return {"names": list(frame.columns), "columns": [_column(frame[name].tolist()) for name in frame], "shown": shown}


def shown_as(value: Any, style: Format) -> str:
    """Return a value as the page writes it: three digits and a unit, a dash for what is missing."""
    if value is None or value != value or value == "":
        return "\u2013"
    return FORMATS[style](value).replace(" us", " \u00b5s")


def short_count(count: int) -> str:
    """Return a count of at most four letters: ``256``, ``4.1k``, ``66k``, ``1M``."""
    if count < 1000:
        return str(count)
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= scale:
            value = count / scale
            return f"{value:.1f}".removesuffix(".0") + unit if value < 10 else f"{value:.0f}{unit}"
    return str(count)


def _exhibit(exhibit: Exhibit) -> dict[str, Any]:
    needed = [name for name in exhibit.frame if not str(name).startswith("receipt_")]
    sources = {"main": exhibit.frame[needed], **exhibit.sources}
    return {
        "id": exhibit.id,
        "title": exhibit.title,
        "filters": list(exhibit.filters),
        "columns": [column._asdict() for column in exhibit.columns],
        "sources": {name: columnar(rows, exhibit.columns if name == "main" else ()) for name, rows in sources.items()},
        "spec": exhibit.spec,
        "extent": list(exhibit.extent),
        "alternative": exhibit.alternative,
        "empty": exhibit.empty,
    }


def _backends(page: Page) -> list[str]:
    names: dict[str, None] = {}
    for exhibit in page.exhibits:
        if exhibit.spec is not None and "backend" in exhibit.frame:
            names.update(dict.fromkeys(exhibit.frame["backend"].drop_duplicates()))
    for card in page.cards:
        names.update(dict.fromkeys(total.backend for cell in card.cells for total in cell.totals))
    return in_order(names)


def in_order(backends: Iterable[str]) -> list[str]:
    """Return names in the palette's order, each followed by its idioms and variants; the others by name."""
    known = list(BACKEND_COLOURS)
    return sorted(backends, key=lambda name: ((*known, name.partition("-")[0]).index(name.partition("-")[0]), name))


def _column(values: Sequence[Any]) -> Any:
    plain = [_plain(value) for value in values]
    if not all(isinstance(value, str) for value in plain):
        return plain
    positions = {text: position for position, text in enumerate(dict.fromkeys(plain))}
    return {"texts": list(positions), "at": [positions[text] for text in plain]}


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold."""
    return json_ready(value) if isinstance(value, str | int | float) or value is None else str(value)


def _asset(name: str) -> str:
    return (resources.files("bench.report") / "assets" / name).read_text(encoding="utf-8")
