"""Text for people in a terminal or a pipe: console, tables and progress, 80 columns at most.

`format_seconds` and its like, and `curve`, are offered here as well, so that a command needs this one import.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from bench.basics.formats import (
    format_bytes,
    format_count,
    format_number,
    format_percent,
    format_rate,
    format_ratio,
    format_seconds,
    printable,
    printable_lines,
)
from bench.terminal.curve import curve
from bench.terminal.palette import colour_of
from bench.terminal.wrapping import line_width, wrap

__all__ = [
    "Reporter",
    "console",
    "curve",
    "facts",
    "format_bytes",
    "format_count",
    "format_number",
    "format_percent",
    "format_rate",
    "format_ratio",
    "format_seconds",
    "named",
    "progress",
    "table",
]

NARROW = 60
NUMBER = re.compile(r"[<>~+-]?\d[\d,.]*(e[+-]?\d+)?( ?[A-Za-z/%]+)?|-|")
REDRAW_S = 0.2
PLAIN_LINE_S = 10.0

Cell = RenderableType | float | int | np.generic | None
Column = str | tuple[str, str]


def console(stderr: bool = False) -> Console:
    """Return a console at most 80 columns wide: no colour in a pipe or under ``NO_COLOR``, and ``[text]`` is text."""
    return _Console(stderr=stderr, width=line_width(), markup=False, highlight=False, emoji=False)


class _Console(Console):
    """A console for text from files and from other people's code: no escape sequence reaches the terminal."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does, control characters in plain strings written as escapes."""
        super().print(*(printable_lines(item) if isinstance(item, str) else item for item in objects), **options)

    def on_broken_pipe(self) -> None:
        """Leave it to the command line, where rich would end the program with status 1."""
        raise BrokenPipeError


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], title: str = "", caption: str = "") -> Table:
    """Return a table with a rule under its header, aligned in a terminal and in a pipe alike.

    Args:
        columns: a heading, or a heading and its side (``"left"``, ``"right"``, ``"center"``); without a side, columns
            of numbers go to the right.
        rows: one cell a column; a float is shown with three significant digits, an int exactly, ``None`` as ``-``.
        title: the line above, to the left.
        caption: the line below, to the left.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    title, caption = printable_lines(title), printable_lines(caption)
    headings = [printable(column if isinstance(column, str) else column[0]) for column in columns]
    widths, gap = _widths(headings, cells)
    if widths is None:
        return _stacked(headings, cells, title, caption)
    grid = _grid(title, caption, gap - 1, box=box.SIMPLE_HEAD, show_edge=False)
    for position, (heading, column) in enumerate(zip(headings, columns, strict=True)):
        side = column[1] if isinstance(column, tuple) else _side(row[position] for row in cells)
        if side not in ("left", "right", "center"):
            raise ValueError(f"column {heading!r} goes 'left', 'right' or 'center', got {side!r}")
        grid.add_column(heading, justify=side, overflow="fold", width=widths[position])  # type: ignore[arg-type]
    for row in cells:
        grid.add_row(*row)
    return grid


def _widths(headings: Sequence[str], rows: Sequence[Sequence[RenderableType]]) -> tuple[list[int | None] | None, int]:
    """Return the width of each column (``None``: its natural width) and the gap between two.

    A table that is too wide gets narrower gaps, and if that is not enough, columns that break between words; rich alone
    would cut words of the widest column. The widths are ``None`` if the words would not fit at all.
    """
    texts = [[heading, *(_plain(row[at]) for row in rows)] for at, heading in enumerate(headings)]
    wished = [max(cell_len(line) for text in column for line in text.split("\n")) for column in texts]
    least = [max((cell_len(word) for text in column for word in text.split()), default=0) for column in texts]
    natural: list[int | None] = [None] * len(headings)
    for gap in (2, 1):
        if sum(wished) + gap * (len(headings) - 1) <= line_width():
            return natural, gap
    free = line_width() - 2 * (len(headings) - 1)
    if sum(least) > free:
        return None if line_width() < NARROW and rows else natural, 2
    widths = list(wished)
    while sum(widths) > free:
        widest = max((at for at in range(len(widths)) if widths[at] > least[at]), key=widths.__getitem__)
        widths[widest] -= 1
    return list(widths), 2


def _stacked(headings: Sequence[str], rows: Sequence[Sequence[RenderableType]], title: str, caption: str) -> Table:
    """Return a table that shows each row as lines of heading and value."""
    grid = _grid(title, caption, gap=1, box=None, show_header=False)
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold")
    for number, row in enumerate(rows):
        if number:
            grid.add_row("", "")
        for heading, value in zip(headings, row, strict=True):
            grid.add_row(heading, value)
    return grid


def _grid(title: str, caption: str, gap: int, **style: Any) -> Table:
    """Return an empty table, its title above and its caption below to the left, with blanks after each column."""
    return Table(
        title=title or None,
        caption=caption or None,
        title_justify="left",
        caption_justify="left",
        title_style="bold",
        caption_style="",
        padding=(0, gap, 0, 0),
        pad_edge=False,
        **style,
    )


def _plain(cell: RenderableType) -> str:
    return cell.plain if isinstance(cell, Text) else str(cell)


def named(*backends: str) -> Text:
    """Return names of backends, each in the colour that it has everywhere."""
    return Text(", ").join(Text(name, colour_of(name)) for name in backends)


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return lines of ``name  text``, the texts aligned and wrapped next to their names; a path is never broken."""
    named = list(pairs)
    width = max(len(name) for name, _ in named) + 2
    return "\n".join(wrap(text, f"{name:<{width}}") for name, text in named)


class Reporter:
    """Shows how far a piece of work has come, and the time left, on stderr."""

    def __init__(self, description: str) -> None:
        """Begin the clock; draw an empty bar in a terminal."""
        self._description = description
        self._console = console(stderr=True)
        self._begun_s = time.monotonic()
        self._shown_s = self._begun_s
        self._bar: Progress | None = None
        if self._console.is_terminal:
            # Redrawn by `update` alone: a thread that redraws would disturb whatever is being timed.
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[text]}"),
                console=self._console,
                transient=True,
                auto_refresh=False,
            )
            self._bar.add_task(description, total=1.0, text="")
            self._bar.start()
            self._bar.refresh()

    def update(self, fraction: float, text: str = "") -> None:
        """Say that ``fraction`` of the work is done (0 to 1), with a short note such as the current loss."""
        now_s = time.monotonic()
        if now_s - self._shown_s < (REDRAW_S if self._bar else PLAIN_LINE_S):
            return
        self._shown_s = now_s
        state = ", ".join(part for part in (f"{fraction:.0%}", self._time_left(fraction, now_s), text) if part)
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=fraction, text=state)
            self._bar.refresh()
        elif fraction < 1:
            self._console.print(f"{self._description}: {state}")

    def close(self) -> None:
        """Remove the bar."""
        if self._bar:
            self._bar.stop()

    def _time_left(self, fraction: float, now_s: float) -> str:
        if fraction <= 0:
            return ""
        left_s = (now_s - self._begun_s) * (1 - fraction) / fraction
        return f"{format_seconds(left_s) if left_s >= 1 else '0 s'} left"


@contextmanager
def progress(description: str) -> Iterator[Reporter]:
    """Give a `Reporter`; in a pipe it writes one plain line every ten seconds instead of a bar."""
    reporter = Reporter(description)
    try:
        yield reporter
    finally:
        reporter.close()


def _cell(given: Cell) -> RenderableType:
    value: RenderableType | float | int | None = given.item() if isinstance(given, np.generic) else given
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return format_count(value)
    if isinstance(value, str):
        return printable_lines(value)
    return format_number(value) if value is None or isinstance(value, float) else value


def _side(cells: Iterable[RenderableType]) -> str:
    """Return ``"right"`` if every cell is a number, with or without a unit."""
    texts = [cell.plain if isinstance(cell, Text) else cell for cell in cells]
    return "right" if all(isinstance(text, str) and NUMBER.fullmatch(text) for text in texts) else "left"
