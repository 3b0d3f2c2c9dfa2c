"""Times on numbers of ranks as text.

Tests: `tests/bench/ranks/test_scale.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.basics.formats import format_count, format_percent, format_seconds, interval_beside
from bench.basics.names import FASTER, SLOWER, TIE
from bench.terminal.terminal import table

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType


def answer(rows: pd.DataFrame, network: str, dtype: str) -> Iterator[RenderableType]:
    """Yield a table for each backend, and for each a sentence that says what its ranks gain.

    Args:
        rows: as `bench.verdicts.scaling` gives them.
        network: its text.
        dtype: of the batch.
    """
    columns = [
        ("ranks", "left"), ("rows", "right"), ("step", "right"), ("95 %", "right"), ("speed-up", "right"),
        ("efficiency", "right"), ("sum", "right"), ("verdict", "left"),
    ]  # fmt: skip
    yield f"{network}, {dtype}: a step on ranks, against one rank with all threads."
    yield ""
    for backend, cells in rows.groupby("backend", sort=False):
        engine = "".join(f", ranks by {name}" for name in dict.fromkeys(cells["engine"]) if name)
        yield table(columns, [_line(cell) for cell in cells.to_dict("records")], title=f"{backend}{engine}")
        yield ""
    yield "ranks x threads of each. sum: share of a step that the all-reduce takes, timed alone."
    yield "efficiency against one rank with as many threads: strong (the same rows), weak (rows grow with ranks)."
    for backend, cells in rows.groupby("backend", sort=False):
        yield f"{backend}: {gain(cells)}"


def gain(cells: pd.DataFrame) -> str:
    """Return a sentence on the most ranks of one backend."""
    several = cells[(cells["ranks"] > 1) & (cells["verdict"] != "")]
    if several.empty:
        return "nothing was compared."
    best = several.sort_values("step_s").iloc[0]
    interval = f"{best['speed_up']:.2f} x"
    if best["speed_up_low"] == best["speed_up_low"]:  # one process alone has no interval
        interval += f" ({best['speed_up_low']:.2f} .. {best['speed_up_high']:.2f})"
    said = {
        FASTER: f"{interval} as fast as one rank with all threads",
        SLOWER: f"slower than one rank with all threads: {interval} as fast",
        TIE: f"a tie with one rank with all threads: {interval}",
    }
    return f"{best['arm']}: {said.get(best['verdict'], f'undecided against one rank with all threads: {interval}')}."


def _line(cell: dict[str, Any]) -> list[str]:
    return [
        f"{cell['ranks']} x {cell['threads']}",
        format_count(cell["rows"]),
        format_seconds(cell["step_s"]),
        interval_beside(cell["step_s"], cell["low_s"], cell["high_s"]),
        _ratio(cell["speed_up"]),
        _efficiency(cell["strong"], cell["weak"]) if cell["ranks"] > 1 else "",
        _share(cell["sum_share"]) if cell["ranks"] > 1 else "",
        cell["verdict"],
    ]


def _ratio(value: float) -> str:
    return "" if value != value else f"{value:.2f} x"


def _efficiency(strong: float, weak: float) -> str:
    return ", ".join(f"{100 * value:.0f} %" if value == value else "-" for value in (strong, weak))


def _share(value: float) -> str:
    return "" if value != value else format_percent(value)
