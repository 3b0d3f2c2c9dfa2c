"""A first look at a run: the time of a step for each network, batch and backend, without any verdict.

Tests: `tests/bench/terminal/test_terminal.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.basics.formats import format_count, format_seconds

if TYPE_CHECKING:
    import pandas as pd

KEYS = ["network", "batch", "dtype", "device", "threads"]


def step_table(frame: pd.DataFrame) -> tuple[list[str | tuple[str, str]], list[list[str]]]:
    """Return headings and rows: a row a group, a column a backend; keys that never change are left out.

    Args:
        frame: as `bench.results.load` gives it.
    """
    phase = "step" if (frame["phase"] == "step").any() else "train"
    rows = frame[(frame["phase"] == phase) & (frame["status"] == "ok") & (frame["arm"] == "")]
    if rows.empty:
        return [], []
    keys = [key for key in KEYS if key in ("network", "batch") or rows[key].nunique() > 1]
    wide = rows.pivot_table("median_s", keys, "backend", aggfunc="median", sort=False)
    wide = wide.sort_index(level="batch", sort_remaining=False).sort_index(level="network", sort_remaining=False)
    columns: list[str | tuple[str, str]] = [(key, "left" if key == "network" else "right") for key in keys]
    columns += [(str(name), "right") for name in wide.columns]
    cells = []
    for position, times in wide.iterrows():
        labels = position if isinstance(position, tuple) else (position,)
        texts = [format_count(label) if isinstance(label, int) else str(label) for label in labels]
        cells.append([*texts, *(format_seconds(time) for time in times)])
    return columns, cells
