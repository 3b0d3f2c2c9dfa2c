"""A curve drawn with characters, at most 80 columns wide. No colour, so that it reads the same in a pipe.

Tests: `tests/bench/terminal/test_terminal.py`.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Sequence

import numpy as np

from bench.basics.formats import format_count, format_number
from bench.terminal.wrapping import line_width, wrap

LABEL_WIDTH = 9


def curve(
    values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.floating]],
    title: str,
    ylabel: str,
    log: bool = True,
    height: int = 12,
    xlabel: str = "step",
    every: int = 1,
) -> str:
    """Return a chart of ``values`` over their index, made of Braille dots if the terminal can show them.

    Args:
        values: one number a point; those that are not finite, or not positive on a log scale, are left out.
        title: the line above the chart.
        ylabel: what the values are, with their unit.
        log: whether the vertical axis is logarithmic; it falls back to linear when nothing is positive.
        height: lines of the drawing itself.
        xlabel: what the index counts.
        every: the index distance between two neighbouring values, for values already thinned.
    """
    y = np.asarray(values, dtype=float)
    log = log and bool(np.any(y[np.isfinite(y)] > 0))
    shown = np.isfinite(y) & (y > 0) if log else np.isfinite(y)
    if not shown.any():
        return f"{title}\n(no finite value to draw)"
    x = np.flatnonzero(shown)
    y = np.log10(y[shown]) if log else y[shown]
    try:
        from plotille import Canvas
    except ImportError:  # a machine where nothing can be installed
        first, last = (format_number(10.0**end if log else end) for end in (float(y[0]), float(y[-1])))
        return f"{title}\n{ylabel}: {first} -> {last} (for the curve: pip install plotille)"
    low, high = _limits(y, log)
    width = _width()
    right = max(1, len(values) - 1)
    canvas = Canvas(width, height, 0, low, right, high)
    for (x0, y0), (x1, y1) in _segments(x, y, 2 * width):
        canvas.line(x0, y0, x1, y1)
    return _framed(canvas.plot().splitlines(), (low, high), len(values) * every, title, ylabel, xlabel, log)


def _width() -> int:
    """Return the columns of the drawing itself, without its labels."""
    return line_width() - 2 - LABEL_WIDTH - 2


def _limits(y: np.ndarray[tuple[int], np.dtype[np.floating]], log: bool) -> tuple[float, float]:
    """Return the ends of the vertical axis: whole decades if the values span two, else the values themselves."""
    low, high = float(y.min()), float(y.max())
    if log and high - low > 2:
        return float(math.floor(low)), float(math.ceil(high))
    if high > low:
        return low, high
    margin = 0.05 * abs(high) or 0.5
    return low - margin, high + margin


def _segments(
    x: np.ndarray[tuple[int], np.dtype[np.intp]], y: np.ndarray[tuple[int], np.dtype[np.floating]], columns: int
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the lines to draw; if points outnumber dots, each column of dots keeps its first, extremes and last."""
    if len(x) > 4 * columns:
        edges = np.unique(np.linspace(0, len(x), columns + 1).astype(int))
        kept = {
            position
            for start, end in itertools.pairwise(edges)
            for position in (start, start + y[start:end].argmin(), start + y[start:end].argmax(), end - 1)
        }
        order = np.array(sorted(int(position) for position in kept))
        x, y = x[order], y[order]
    points = [(float(a), float(b)) for a, b in zip(x, y, strict=True)]
    return list(itertools.pairwise(points)) or [(points[0], points[0])]


def _framed(
    rows: list[str], limits: tuple[float, float], right: int, title: str, ylabel: str, xlabel: str, log: bool
) -> str:
    """Return the drawing with its title, axis labels and ticks."""
    low, high = limits
    bar, corner, line = "│", "└", "─"
    ascii_only = not (getattr(sys.stdout, "encoding", "") or "").lower().startswith("utf")
    if ascii_only:
        bar, corner, line = "|", "+", "-"
        rows = ["".join(" " if dot in " \u2800" else "*" for dot in row) for row in rows]
    labels = _labels(low, high, len(rows), log)
    text = [wrap(title), f"{ylabel}{' (log scale)' if log else ''}"]
    for position, row in enumerate(rows):
        label = labels.get(position, "")
        text.append(f"{label:>{LABEL_WIDTH}} {bar}{row.replace(chr(0x2800), ' ')}".rstrip())
    width = _width()
    text.append(" " * (LABEL_WIDTH + 1) + corner + line * width)
    end = f"{format_count(right)} {xlabel}{'' if xlabel.endswith('s') or right == 1 else 's'}"
    text.append(" " * (LABEL_WIDTH + 2) + "0" + end.rjust(width - 1))
    return "\n".join(text)


def _labels(low: float, high: float, rows: int, log: bool) -> dict[int, str]:
    """Return the labels of the vertical axis by row: whole decades if `_limits` ends on them, else even steps."""
    if log and low.is_integer() and high.is_integer():
        decades = range(int(high), int(low) - 1, -max(1, -(-int(high - low) * 2 // rows)))
        return {round((high - decade) / (high - low) * (rows - 1)): _tick(10.0**decade) for decade in decades}
    spacing = max(2, rows // 4)
    positions = {*range(0, rows - spacing // 2, spacing), rows - 1}
    values = {position: high - (high - low) * position / max(1, rows - 1) for position in positions}
    return {position: _tick(10.0**value if log else value) for position, value in values.items()}


def _tick(value: float) -> str:
    """Return an axis label: as `format_number`, less its trailing zeros."""
    mantissa, e, exponent = format_number(value).partition("e")
    return (mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa) + e + exponent
