"""The prediction for a batch in chunks as text.

Tests: `tests/bench/advice/test_chunking.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.basics.formats import (
    counted,
    format_bytes,
    format_count,
    format_percent,
    format_rate,
    format_seconds,
    interval_s,
)
from bench.terminal.terminal import named, table
from bench.terminal.wrapping import wrap

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bench.advice.job import Job


def answer(said: dict[str, Any], job: Job) -> Iterator[RenderableType]:
    """Yield what a step on chunks takes on each backend, and what that rests on.

    Args:
        said: as `bench.cli.chunking.answered` gives it.
        job: what was asked.
    """
    cut, reading = said["chunks"], said["reading"]
    pieces = f"{counted(cut['count'], 'chunk')} of {format_count(cut['rows'])} rows"
    yield wrap(f"Predicted: {job.rows:,} rows in {pieces}, {format_bytes(cut['memory_bytes'])} of memory at most.")
    yield ""
    steps = f"{format_count(job.steps)} steps"
    columns = [
        ("backend", "left"), ("step", "right"), ("95 %", "right"), ("reading", "right"), ("in memory", "right"),
        (steps, "right"),
    ]  # fmt: skip
    yield table(columns, [_line(row) for row in said["rows"]])
    yield ""
    rate = format_rate(reading["cached_bytes_per_s" if cut["cached"] else "disk_bytes_per_s"], "B/s")
    where = "which the system can keep in memory" if cut["cached"] else "more than the system can keep in memory"
    yield wrap(f"A step reads {format_bytes(cut['file_bytes'])}, {where}, at {rate} (probed in {reading['folder']}).")
    if said["lack"]:
        yield wrap(f"{said['lack']}: set TMPDIR to a folder with more room.", "Note: ")
    yield wrap("To train so: python -m bench train --chunks, or place_chunks in a program.")


def _line(row: dict[str, Any]) -> list[Any]:
    return [
        named(row["backend"]),
        format_seconds(row["step_s"]),
        interval_s(row["low_s"], row["high_s"]),
        format_percent(row["read_share"]),
        "does not fit" if math.isnan(row["memory_step_s"]) else format_seconds(row["memory_step_s"]),
        format_seconds(row["total_s"]),
    ]
