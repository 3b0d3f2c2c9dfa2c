"""The terminal's chart of ratios: marks where the numbers are, the report's colours, and never beyond 80 columns."""

import io
import sys

import pytest
from rich.console import Console

from bench.terminal import terminal
from bench.terminal.palette import colour_of
from bench.terminal.versus import LABEL, WIDTH, versus

RATIOS = {
    "numba": {1: 1.0, 256: 1.0, 65_536: 1.2},
    "torch": {1: 40.0, 256: 8.0, 65_536: 1.0},
}


@pytest.fixture
def stdout(monkeypatch):
    """What stdout is taken for: a terminal that shows Braille, unless asked for ASCII."""

    def taken_for(encoding, colour=True):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(stream, "isatty", lambda: colour, raising=False)
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.delenv("FORCE_COLOR", raising=False)

    return taken_for


def letters(chart, mark):
    """Return line and column of a mark in the drawing."""
    drawing = [line[LABEL + 2 :] for line in chart.plain.split("\n")[2:12]]
    return [(k, line.index(mark)) for k, line in enumerate(drawing) if mark in line]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_marks_stand_where_the_numbers_are(stdout, encoding):
    """The largest ratio is at the top, 1 at the bottom, the smallest batch at the left and the largest at the right."""
    stdout(encoding)
    chart = versus(RATIOS, "title")
    assert letters(chart, "x")[0] == (0, 0)
    assert letters(chart, "x")[-1] == (9, WIDTH - 1)
    assert letters(chart, "o")[-1] == (9, 0)
    assert max(map(len, chart.plain.split("\n"))) <= 80


def test_lines_are_braille_and_only_where_it_can_be_shown(stdout):
    """Where Braille can be shown, lines join the marks; elsewhere every letter is ASCII."""
    stdout("utf-8")
    assert any("\u2800" < letter <= "\u28ff" for letter in versus(RATIOS, "title").plain)
    stdout("ascii")
    assert versus(RATIOS, "title").plain.isascii()


def test_terminal_has_the_colours_of_the_page(stdout):
    """In a terminal, chart and tables write each backend in the colour that `palette` gives it to the page."""
    stdout("utf-8")
    out = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=80)
    out.print(versus(RATIOS, "title"))
    out.print(terminal.table(["backend"], [[terminal.named("jax")]]))
    codes = {name: ";".join(str(int(colour_of(name)[k : k + 2], 16)) for k in (1, 3, 5)) for name in (*RATIOS, "jax")}
    said = out.file.getvalue()
    assert {name: f"38;2;{code}m" in said for name, code in codes.items()} == dict.fromkeys(codes, True)
    assert said.count(codes["torch"]) > 10  # the line of the chart, beside its legend


def test_pipe_has_no_colours(stdout):
    """In a pipe the chart and the names have no code of a colour."""
    stdout("utf-8", colour=False)
    out = Console(file=io.StringIO(), width=80)
    out.print(versus(RATIOS, "title"), terminal.named("jax"))
    assert "x torch" in out.file.getvalue()
    assert "\x1b" not in out.file.getvalue()


def test_two_batches_are_no_chart():
    """Fewer than three batches are not drawn."""
    assert versus({"numba": {1: 1.0, 2: 1.0}}, "title") == ""
