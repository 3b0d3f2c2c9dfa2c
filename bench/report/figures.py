"""The charts as files: SVG and PNG for a README or a paper, drawn without a browser."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.basics.files import write_bytes, write_text
from bench.basics.formats import json_ready
from bench.basics.names import FASTEST, NONE_FASTER
from bench.report import charts
from bench.report.answers import Card
from bench.report.exhibits import Exhibit
from bench.report.html import Page, in_order
from bench.report.marks import Theme

if TYPE_CHECKING:
    import pandas as pd

WIDTH, WORDS_WIDTH = 720, 110
"""Pixels of a chart, and letters of a line above it."""

SCALE = 2.0
"""Pixels of a PNG for each of the SVG's."""

LEGEND = {"title": None, "orient": "top", "columns": 6, "symbolSize": 110, "symbolOpacity": 1}

INK, SOFT, LINE = "#1a1e23", "#59626d", "#dfe1e2"

CONFIG: dict[str, Any] = {
    "background": "#ffffff",
    "padding": 14,
    "font": "Helvetica, Arial, Liberation Sans, sans-serif",
    "view": {"stroke": None},
    "title": {
        "anchor": "start",
        "color": INK,
        "subtitleColor": SOFT,
        "fontSize": 16,
        "subtitleFontSize": 12,
        "offset": 12,
    },
    "axis": {
        "labelColor": SOFT,
        "titleColor": SOFT,
        "gridColor": LINE,
        "domainColor": LINE,
        "tickColor": LINE,
        "domain": False,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 9,
        "labelPadding": 5,
    },
    "legend": {"labelColor": INK, "labelFontSize": 12, "labelLimit": 200},
    "style": {
        "ink-line": {"color": INK},
        "ink-text": {"color": INK},
        "soft-line": {"color": SOFT},
        "soft-text": {"color": SOFT},
        "soft-area": {"color": SOFT},
        "bar": {"stroke": "#ffffff", "strokeWidth": 1.5},
    },
}


def write(page: Page, folder: Path) -> list[Path]:
    """Write every chart for each run and network as SVG and PNG; return the paths.

    Other choices (precision, phase, batch) are those that the page shows first. The folder is made if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [path for name, spec in figures(page) for path in draw(name, spec, folder)]


def draw(name: str, spec: dict[str, Any], folder: Path) -> tuple[Path, Path]:
    """Write one figure as SVG and PNG; return both paths."""
    import vl_convert

    text = json.dumps({**spec, "config": CONFIG})
    svg, png = folder / f"{name}.svg", folder / f"{name}.png"
    write_text(svg, vl_convert.vegalite_to_svg(text))
    write_bytes(png, vl_convert.vegalite_to_png(text, scale=SCALE))
    return svg, png


def figures(page: Page) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each figure's file name, without its ending, and its whole Vega-Lite chart."""
    runs = [run["id"] for run in page.runs]
    networks = list(dict.fromkeys(card.conditions.network for card in page.cards)) or [page.chosen["network"]]
    for run in runs:
        for network in networks:
            chosen = {**page.chosen, "network": network, "run": run}
            chosen["batch"] = nearest_batch(page, chosen)
            said = [f"{network}, {chosen['dtype']}, {chosen['device']}", *([run] if len(runs) > 1 else [])]
            stem = "-".join([network, *([run] if len(runs) > 1 else [])])
            for card in page.cards:
                if all(chosen[name] == value for name, value in card.conditions._asdict().items()):
                    yield named("map", stem), answer_map(card, ", ".join(said))
            for exhibit in page.exhibits:
                spec = filled(exhibit, chosen, WIDTH) if exhibit.spec is not None else None
                if spec is not None:
                    yield named(exhibit.id, stem), _titled(with_legend(spec), exhibit, chosen, said)


def nearest_batch(page: Page, chosen: dict[str, Any]) -> int:
    """Return the measured batch of a run and network that is nearest to the one chosen, as the page does."""
    batches = {
        cell.batch
        for card in page.cards
        if (card.conditions.run, card.conditions.network) == (chosen["run"], chosen["network"])
        for cell in card.cells
    }
    return min(batches, key=lambda batch: abs(math.log(batch / chosen["batch"])), default=int(chosen["batch"]))


def answer_map(card: Card, said: str) -> dict[str, Any]:
    """Return a card's map as a chart."""
    rows = [
        {
            "batch": cell.batch,
            "steps": cell.steps,
            "verdict": cell.verdict,
            "backend": cell.leaders[0] if cell.leaders else "",
            "text": "\n".join((cell.lines[0], " ".join(cell.lines[1:])) if len(cell.lines) > 1 else cell.lines),
        }
        for cell in card.cells
    ]
    backends = tuple(in_order({cell.leaders[0] for cell in card.cells if cell.verdict in (FASTEST, NONE_FASTER)}))
    spec = charts.answers(Theme(backends))
    subtitle = [said, *textwrap.wrap(card.sentence, WORDS_WIDTH)]
    title = {"text": "Which backend, by batch and number of steps", "subtitle": subtitle}
    height = _height(spec, {"batch": [row["batch"] for row in rows]})
    return {**spec, **height, "width": WIDTH, "autosize": "pad", "datasets": {"main": rows}, "title": title}


def with_legend(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a chart that explains by itself how its backends look; the page does so next to its charts."""
    present = {row.get("backend") for row in spec["datasets"]["main"]}
    return {**spec, "layer": [_explained(layer, present) for layer in spec["layer"]]}


def _explained(layer: dict[str, Any], present: set[Any]) -> dict[str, Any]:
    encoding = dict(layer.get("encoding", {}))
    for channel, value in encoding.items():
        if isinstance(value, dict) and value.get("field") == "backend" and "legend" in value:
            scale, legend = value["scale"], LEGEND if channel != "fill" else None
            pairs = [pair for pair in zip(scale["domain"], scale["range"], strict=True) if pair[0] in present]
            narrow = {"domain": [name for name, _ in pairs], "range": [look for _, look in pairs]}
            encoding[channel] = {**value, "scale": {**scale, **narrow}, "legend": legend}
        elif channel == "opacity" and isinstance(value, dict) and "legend" in value:
            encoding[channel] = {**value, "legend": {"title": None, "orient": "bottom"}}
    return {**layer, "encoding": encoding}


def _titled(spec: dict[str, Any], exhibit: Exhibit, chosen: dict[str, Any], said: list[str]) -> dict[str, Any]:
    more = [
        f"{name} {chosen[name]:,}" if name == "batch" else f"{name} {chosen[name]}"
        for name in ("phase", "batch", "cache", "reference")
        if name in exhibit.filters
    ]
    return {**spec, "autosize": "pad", "title": {"text": exhibit.title, "subtitle": ", ".join([*said, *more])}}


def named(what: str, stem: str) -> str:
    """Return a file name out of what data say: letters, digits, dots and dashes only."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", f"{what}-{stem}")[:120]


def narrowed(rows: pd.DataFrame, filters: Iterable[str], chosen: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows that fit what is chosen, by the filters whose column they have."""
    for name in filters:
        if name in rows and name in chosen:
            rows = rows[rows[name] == chosen[name]]
    return rows


def filled(exhibit: Exhibit, chosen: Mapping[str, Any], width: int) -> dict[str, Any] | None:
    """Return an exhibit's chart with its rows in it, or ``None`` if there is nothing to draw.

    Args:
        exhibit: an exhibit with a chart.
        chosen: a value for each dimension, and for ``run``.
        width: pixels.
    """
    assert exhibit.spec is not None
    by = (*exhibit.filters, "run")
    main = narrowed(exhibit.frame, by, chosen)
    if main.empty:
        return None
    sources = {"main": main} | {name: narrowed(rows, by, chosen) for name, rows in exhibit.sources.items()}
    layers = [layer for layer in exhibit.spec["layer"] if not _is_empty(layer, sources)]
    return {
        **exhibit.spec,
        **_height(exhibit.spec, main.to_dict("list")),
        "layer": layers,
        "width": width,
        "datasets": {name: json_ready(rows) for name, rows in sources.items()},
    }


def _height(spec: Mapping[str, Any], columns: Mapping[Any, Sequence[Any]]) -> dict[str, Any]:
    """Return the height of a chart whose lines depend on its rows, by column."""
    if "height" in spec:
        return {}
    lines = math.prod(len(set(columns[name])) for name in spec["usermeta"]["columns"])
    return {"height": spec["usermeta"]["step"] * lines}


def _is_empty(layer: Mapping[str, Any], sources: Mapping[str, pd.DataFrame]) -> bool:
    name = layer.get("data", {}).get("name")
    return name is not None and (name not in sources or sources[name].empty)
