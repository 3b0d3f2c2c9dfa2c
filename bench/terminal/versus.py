"""Ratio to the fastest against batch, a line and a mark for each backend, at most 80 columns wide.

Lines are Braille dots in the colours of `bench.terminal.palette`. In a pipe there are no colours, and if a terminal
cannot show Braille there are no lines: the marks then say all.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Mapping, Sequence

from rich.text import Text

from bench.basics.formats import format_count
from bench.terminal.palette import colour_of

MARKS = "ox+*#@%&"
WIDTH, LABEL = 68, 8


def versus(ratios: Mapping[str, Mapping[int, float]], title: str, height: int = 10) -> Text | str:
    """Return a chart of each backend's ratio to the fastest over the batch; '' for fewer than three batches.

    Where several backends fall on one place, the first of ``ratios`` is seen.

    Args:
        ratios: time / time of the fastest, by backend, by rows of the batch.
        title: the line above.
        height: lines of the drawing.
    """
    batches = sorted({batch for line in ratios.values() for batch in line})
    if len(batches) < 3:
        return ""
    try:
        from plotille import Canvas
    except ImportError:  # a machine where nothing can be installed
        return f"{title}\n(for the chart: pip install plotille)"
    high = max(math.log10(max(ratio for line in ratios.values() for ratio in line.values())), 0.05)
    canvas = Canvas(WIDTH, height, 0, 0, WIDTH, height, mode="rgb")
    marks = dict(zip(ratios, itertools.cycle(MARKS), strict=False))
    lines = [
        (name, [(_column(batch, batches) + 0.5, _row(line[batch], high, height) + 0.5) for batch in sorted(line)])
        for name, line in reversed(list(ratios.items()))
    ]
    for name, points in lines:
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            canvas.line(x0, y0, x1, y1, color=colour_of(name)[1:])
    for name, points in lines:
        for x, y in points:
            canvas.text(x, y, marks[name], color=colour_of(name)[1:])
    legend = [part for name, mark in marks.items() for part in ((f"{mark} {name}", colour_of(name)), "   ")]
    drawing = canvas.plot("\n").replace("\u2800", " ")
    return Text("\n").join([Text(title), Text.assemble(*legend[:-1]), *_framed(drawing, high, batches)])


def _framed(drawing: str, high: float, batches: Sequence[int]) -> list[Text]:
    """Return the lines of a drawing, ratios up to ``10**high``, with their labels and the axis below."""
    bar, corner, line = "│", "└", "─"
    rows = [Text.from_ansi(row) for row in drawing.split("\n")]
    if not (sys.stdout.encoding or "").lower().startswith("utf"):
        bar, corner, line = "|", "+", "-"
        rows = [Text("".join(letter if letter.isascii() else " " for letter in row.plain)) for row in rows]
    labels = _labels(high, len(rows))
    framed = [Text.assemble(f"{labels.get(k, ''):>{LABEL}} {bar}", row) for k, row in enumerate(rows)]
    for row_of_text in framed:
        row_of_text.rstrip()
    return [*framed, Text(" " * (LABEL + 1) + corner + line * WIDTH), Text(f"{'rows':>{LABEL}}  {_axis(batches)}")]


def _labels(high: float, height: int) -> dict[int, str]:
    """Return round ratios by line of the drawing, from 1 up, at least two lines apart."""
    digits = (1.0,) if high > 2.5 else (1.0, 2.0, 5.0) if high > 0.5 else (1.0, 1.1, 1.2, 1.5, 2.0, 3.0)
    labels = {height - 1: "1x"}
    for value in (digit * 10**power for power in range(math.floor(high) + 1) for digit in digits):
        row = height - 1 - round(_row(value, high, height))
        if 0 <= row <= min(labels) - 2:
            labels[row] = f"{value:,g}x"
    return labels


def _row(ratio: float, high: float, height: int) -> float:
    """Return how many lines above the lowest one a ratio is drawn."""
    return (height - 1) * math.log10(ratio) / high


def _column(batch: int, batches: Sequence[int]) -> int:
    """Return the letter of a line below or above which a batch is drawn."""
    span = math.log(batches[-1]) - math.log(batches[0])
    return round((math.log(batch) - math.log(batches[0])) / span * (WIDTH - 1))


def _axis(batches: Sequence[int]) -> str:
    """Return the batches under their marks, as many as fit, the last one always."""
    line, free = [" "] * WIDTH, WIDTH
    for batch in reversed(batches):
        label = format_count(batch)
        start = min(max(0, _column(batch, batches) - len(label) // 2), WIDTH - len(label))
        if start + len(label) <= free:
            line[start : start + len(label)] = label
            free = start - 1
    return "".join(line).rstrip()
