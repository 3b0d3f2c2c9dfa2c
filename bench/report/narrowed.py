"""What a chart needs once its rows are chosen: labelled values, a height. The page's ``drawing.js`` does the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bench.formats import json_ready
from bench.report.marks import LEVELS, TICKS

if TYPE_CHECKING:
    import pandas as pd

    from bench.report.exhibits import Exhibit


LEADING = ((2.5, (1,)), (0.6, (1, 2, 5)), (-1, (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)))
"""Leading digits of the labelled values on an axis of more than so many decades."""


def narrowed(rows: pd.DataFrame, filters: Iterable[str], chosen: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows that fit what is chosen, by the filters whose column they have."""
    for name in filters:
        if name in rows and name in chosen:
            rows = rows[rows[name] == chosen[name]]
    return rows


def filled(exhibit: Exhibit, chosen: Mapping[str, Any], width: int) -> dict[str, Any] | None:
    """Return an exhibit's chart with its rows in it, or ``None`` where there is nothing to draw.

    Args:
        exhibit: one with a chart.
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
    meta = exhibit.spec["usermeta"]
    height = exhibit.spec.get("height") or meta["step"] * math.prod(main[name].nunique() for name in meta["rows"])
    ticks = sorted(main[exhibit.alternative[1]].unique().tolist()) if exhibit.alternative else []
    named = (*exhibit.extent, "drawn_low", "drawn_high", "limit_s")
    values = [value for rows in sources.values() for name in named if name in rows for value in rows[name].tolist()]
    return {
        **exhibit.spec,
        "layer": layers,
        "width": width,
        "height": height,
        "params": [{"name": TICKS, "value": ticks}, {"name": LEVELS, "value": levels(values)}],
        "datasets": {name: json_ready(rows) for name, rows in sources.items()},
    }


def levels(values: Iterable[float]) -> list[float]:
    """Return values to label on a logarithmic axis: decades where they are many, else 1, 2 and 5 of each."""
    kept = [value for value in values if math.isfinite(value) and value > 0]
    if not kept:
        return []
    low, high = min(kept), max(kept)
    decades = math.log10(high / low)
    leading = next(digits for more_than, digits in LEADING if decades > more_than)
    stride = max(1, round(decades / 7))
    powers = [p for p in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) if p % stride == 0]
    found = [float(f"{digit}e{power}") for power in powers for digit in leading]
    return [level for level in found if low * 0.999 <= level <= high * 1.001]


def _is_empty(layer: Mapping[str, Any], sources: Mapping[str, pd.DataFrame]) -> bool:
    name = layer.get("data", {}).get("name")
    return name is not None and (name not in sources or sources[name].empty)
