"""What people see stays aligned, short and plain, in a terminal and in a pipe."""

from __future__ import annotations

import io
import math
import re
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.basics import formats
from bench.terminal import terminal
from bench.terminal.terminal import console, curve, facts, progress, table

POSITIVE = st.floats(1e-12, 1e15)


def significant_digits(text: str) -> int:
    """Count the digits from the first that is not zero, less the zeros that only mark the size of a whole number."""
    mantissa = re.sub(r"[^\d.]", "", text.split("e")[0].split(" ")[0])
    digits = mantissa.replace(".", "").lstrip("0")
    return len(digits if "." in mantissa else digits.rstrip("0"))


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (formats.format_seconds(1.234e-6), "1.23 us"),
        (formats.format_seconds(9.996e-7), "1.00 us"),
        (formats.format_seconds(0.0), "0 s"),
        (formats.format_seconds(90.0), "90.0 s"),
        (formats.format_seconds(700.0), "11.7 min"),
        (formats.format_seconds(4000.0), "66.7 min"),
        (formats.format_seconds(40_000.0), "11.1 h"),
        (formats.format_seconds(math.nan), "-"),
        (formats.format_bytes(1536), "1.50 KiB"),
        (formats.format_bytes(1023), "0.999 KiB"),
        (formats.format_bytes(10), "10 B"),
        (formats.format_count(65536), "65,536"),
        (formats.format_ratio(1.234), "1.23x"),
        (formats.format_percent(0.1234), "12.3 %"),
        (formats.format_rate(1.5e9, "FLOP/s"), "1.50 GFLOP/s"),
        (formats.format_number(None), "-"),
        (formats.format_number(1.234e-9), "1.23e-9"),
        (formats.format_number(-12345.0), "-12,300"),
        (formats.format_number(math.inf), "inf"),
    ],
)
def test_number_reads_as_a_person_would_write_it(made: str, expected: str) -> None:
    """Numbers have a fitting unit, three digits and thousands separated."""
    assert made == expected


@given(POSITIVE)
def test_number_has_three_significant_digits_and_its_value(value: float) -> None:
    """Every format shows three significant digits at most, and a number within half a unit of the third."""
    for text in (formats.format_number(value), formats.format_seconds(value), formats.format_rate(value, "B/s")):
        assert significant_digits(text) <= 3, text
    assert math.isclose(float(formats.format_number(value).replace(",", "")), value, rel_tol=0.00501)


def test_table_is_aligned_without_colour_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe a table has no escape codes, numbers end in one column, and brackets are text."""
    rows = [["torch [all]", 1.234, 65_536], ["numpy", np.float64(100.0), np.int64(1)], ["jax", None, True]]
    console().print(table(["backend", ("ratio", "right"), ("rows", "right")], rows, title="Title"))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "\x1b" not in "".join(lines)
    assert lines[0] == "Title"
    assert lines[3] == "torch [all]   1.23  65,536"
    assert lines[4] == "numpy          100       1"
    assert lines[5] == "jax              -     yes"


def test_table_that_is_a_little_too_wide_keeps_numbers_and_units_together(capsys: pytest.CaptureFixture[str]) -> None:
    """Narrower gaps come before a break between a number and its unit."""
    row = ["123 ms"] * 11
    console().print(table([f"h {n:2}" for n in range(11)], [row]))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].rstrip() == " ".join(row)
    assert len(lines) == 3


def test_table_refuses_an_unknown_side() -> None:
    """A side that is neither left, right nor center is named."""
    with pytest.raises(ValueError, match="'ratio' goes 'left', 'right' or 'center', got 'up'"):
        table([("ratio", "up")], [[1.0]])


def test_console_honours_no_colour_and_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR takes colour out of a terminal, and 80 columns are the most however wide it is."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", coloured := io.StringIO())
    console().print("text", style="red")
    assert "\x1b[31m" in coloured.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", plain := io.StringIO())
    console().print("text", style="red")
    assert "\x1b[31m" not in plain.getvalue()
    assert console().width == 80


def test_facts_wrap_beside_their_names() -> None:
    """A long text continues under itself, within 80 columns."""
    lines = facts([("a", "word " * 30), ("long name", "b")]).splitlines()
    assert lines[0].startswith("a          word")
    assert lines[1].startswith("           word")
    assert lines[-1] == "long name  b"
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    "values",
    [
        [3.0],
        [1.0, 1.0],
        [0.0, 0.0],
        [math.nan, 2.0, math.inf, 1.0],
        np.geomspace(1e3, 1e-12, 20_000),
        np.linspace(-5, 5, 7),
        np.full(50, 1e-300),
    ],
)
@pytest.mark.parametrize("log", [True, False])
def test_curve_fits_80_columns_for_any_values(values: list[float], log: bool) -> None:
    """Whatever the values, a chart comes out, with as many lines as asked for and no line too long."""
    lines = curve(values, "Title", "loss", log=log, height=8).splitlines()
    assert lines[0] == "Title"
    assert len(lines) == 12
    assert max(map(len, lines)) <= 80
    assert any("\u2801" <= dot <= "\u28ff" for line in lines[2:] for dot in line)


def test_curve_marks_decades_and_steps() -> None:
    """A fall over many decades is labelled with powers of ten and the number of steps."""
    text = curve(np.geomspace(700, 3e-9, 20_000), "Title", "loss", height=13)
    assert [line.split()[0] for line in text.splitlines()[2:15] if line[:9].strip()] == [
        "1,000", "10", "0.1", "0.001", "1e-5", "1e-7", "1e-9",
    ]  # fmt: skip
    assert text.splitlines()[-1].endswith("20,000 steps")


def test_curve_keeps_a_single_spike_among_many_values() -> None:
    """One value out of 100,000 that stands out is drawn, although a column stands for a thousand of them."""
    values = np.ones(100_000)
    values[61_234] = 100.0
    top = curve(values, "Title", "loss").splitlines()[2]
    assert any("\u2801" <= dot <= "\u28ff" for dot in top)


def test_curve_without_values_or_library_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing finite to draw is said in words, and so is a plotting library that is not installed."""
    assert "no finite value" in curve([math.nan], "Title", "loss")
    monkeypatch.setitem(sys.modules, "plotille", None)
    assert curve([2.0, 1.0], "Title", "loss") == "Title\nloss: 2.00 -> 1.00 (for the curve: pip install plotille)"


def test_curve_is_ascii_where_the_output_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the output cannot show Braille, the chart is plain ASCII."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert curve([3.0, 2.0, 1.0], "Title", "loss").isascii()


def test_progress_is_silent_in_a_pipe_but_for_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pipe nothing is written before ten seconds; then one line with the share done and the time left."""
    now_s = 100.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now_s)
    with progress("training") as shown:
        shown.update(0.1, "loss 2.0")
        assert capsys.readouterr().err == ""
        now_s += 20
        shown.update(0.25, "loss 1.0")
    assert capsys.readouterr() == ("", "training: 25%, 60.0 s left, loss 1.0\n")


def test_progress_draws_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a terminal the bar shows share, time left and note, and is removed at the end."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", shown_on := Terminal())
    monkeypatch.setattr(terminal, "REDRAW_S", 0.0)
    with progress("training") as shown:
        shown.update(0.5, "loss 1.0")
    assert "50%" in shown_on.getvalue()
    assert "loss 1.0" in shown_on.getvalue()
    assert shown_on.getvalue().endswith("\x1b[2K")
