"""The prediction for ranks and machines as text.

Tests: `tests/bench/advice/test_sharing.py`.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.basics.formats import format_count, format_percent, format_seconds, interval_s
from bench.basics.names import FASTER, SLOWER, TIE
from bench.terminal.terminal import named, table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bench.advice.job import Job

WIDTH = 80
SAYS = {FASTER: "pays", SLOWER: "does not pay", TIE: "a tie", "": ""}


def answer(said: dict[str, Any], job: Job) -> Iterator[RenderableType]:
    """Yield a table of backends and parts, and from how many rows on a second part pays.

    Args:
        said: as `bench.cli.sharing.answered` gives it.
        job: what was asked.
    """
    parts = said["parts"]
    joined = f"{parts} joined by {said['engine']}" + (f" over {said['link']}" if said["link"] else "")
    yield f"Predicted: a step on {joined}."
    yield ""
    columns = [
        ("backend", "left"), (parts, "right"), ("step", "right"), ("95 %", "right"), ("speed-up", "right"),
        ("all-reduce", "right"), ("", "left"),
    ]  # fmt: skip
    yield table(columns, [_line(row) for row in said["rows"]])
    yield ""
    for row in said["rows"]:
        if row["parts"] == 2:
            yield textwrap.fill(f"{row['backend']}: {pays(row, parts)}", WIDTH)
    if missing := missing_threads(said):
        yield textwrap.fill(missing, WIDTH)
    if any(row["extrapolated"] for row in said["rows"]):
        yield f"More than two {parts} are extrapolated: the all-reduce was probed between two ranks here."
    if said["least_machines"] > 1:
        yield textwrap.fill(
            f"A batch of {format_count(job.rows)} rows does not fit this machine's free memory: it takes "
            f"{said['least_machines']} machines like it, a part on each.",
            WIDTH,
        )


def pays(row: dict[str, Any], parts: str) -> str:
    """Return from how many rows on a second part is faster."""
    one = parts.removesuffix("s")
    if math.isnan(row["pays_from"]):
        return f"a second {one} pays at no number of rows that was looked at."
    low, high = row["pays_from_low"], row["pays_from_high"]
    ends = f"{_rows(low)} .. {_rows(high)}"
    return f"a second {one} pays from {_rows(row['pays_from'])} rows on ({ends})."


def missing_threads(said: dict[str, Any]) -> str:
    """Return what to measure if parts with fewer threads are not known, '' if they are."""
    if len({row["parts"] for row in said["rows"]}) > 1 or said["parts"] == "machines":
        return ""
    return (
        "No step was measured with the threads that one of several ranks would have: "
        "python -m bench run --threads 1,2, or time them as they are: python -m bench scale"
    )


def _line(row: dict[str, Any]) -> list[Any]:
    several = row["parts"] > 1
    return [
        named(row["backend"]),
        str(row["parts"]),
        format_seconds(row["step_s"]),
        interval_s(row["low_s"], row["high_s"]),
        f"{row['speed_up']:.2f} x" if several else "",
        format_percent(row["sum_share"]) if several else "",
        SAYS.get(row["verdict"], "undecided"),
    ]


def _rows(value: float) -> str:
    if math.isnan(value):
        return "never"
    digits = max(0, len(str(int(value))) - 2)
    return format_count(round(int(value), -digits))
