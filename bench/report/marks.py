"""What the charts share: the look of each backend, axes with units, and layers that recur. Vega-Lite by way of altair.

Rows come later, in the page or in a figure, from sources by name. Nothing that comes from data is put into an
expression: names reach a chart only as values of its rows and its scales.

Tests: `tests/bench/report/test_figures.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import altair as alt
from altair.utils.schemapi import debug_mode

from bench.terminal.palette import look_of

INK_LINE, INK_TEXT, SOFT_LINE, SOFT_TEXT, SOFT_AREA = "ink-line", "ink-text", "soft-line", "soft-text", "soft-area"
"""Styles whose colour the page gives, for dark and for light."""

DECADES = range(-12, 13)
"""Powers of ten of the values that a logarithmic axis can label."""

LEADING = {2.5: (1,), 0.6: (1, 2, 5), 0.0: (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)}
"""Leading digits of the values that an axis of more than this many decades labels."""


def seconds_text(value: str) -> str:
    """Return the Vega expression that writes the seconds of expression ``value`` with three digits and a unit."""
    text = f"format({value}, ',.3~r') + ' s'"
    for below, factor, unit in ((1.0, 1e3, "ms"), (1e-3, 1e6, "µs"), (1e-6, 1e9, "ns")):
        text = f"{value} < {below * 0.9995} ? format({value} * {factor:g}, ',.3~r') + ' {unit}' : {text}"
    return f"!isValid({value}) ? '-' : {value} == 0 ? '0' : ({text})"


SECONDS_LABEL = seconds_text("datum.value")
COUNT_LABEL = "datum.value < 10000 ? format(datum.value, ',') : format(datum.value, '.2~s')"
RATIO_LABEL = "format(datum.value, ',.3~r') + '\u00d7'"


@dataclass(frozen=True)
class Theme:
    """How the charts of one report look.

    Attributes:
        backends: every backend of the report, so that each keeps its look in each chart. The page explains the looks
            next to its charts; a figure gets its own legend.
    """

    backends: tuple[str, ...]

    @property
    def colour(self) -> alt.Color:
        """The backend's colour."""
        return alt.Color("backend:N", scale=self._scale(self._colours()), legend=None)

    @property
    def fill(self) -> alt.Fill:
        """The backend's colour as a filling; none for an open marker."""
        return alt.Fill("backend:N", scale=self._scale(self._colours("transparent")), legend=None)

    @property
    def shape(self) -> alt.Shape:
        """The backend's marker."""
        return alt.Shape("backend:N", scale=self._scale([look_of(x).marker for x in self.backends]), legend=None)

    @property
    def dash(self) -> alt.StrokeDash:
        """The backend's dash."""
        dashes = [list(look_of(name).dash) for name in self.backends]
        return alt.StrokeDash("backend:N", scale=self._scale(dashes), legend=None)

    def _colours(self, unfilled: str | None = None) -> list[str]:
        looks = [look_of(name) for name in self.backends]
        return [look.colour if look.filled or unfilled is None else unfilled for look in looks]

    def _scale(self, values: Sequence[Any]) -> alt.Scale:
        return alt.Scale(domain=list(self.backends), range=list(values))


def source(name: str) -> alt.Chart:
    """Return an empty chart over the rows called ``name``."""
    return alt.Chart(alt.NamedData(name))


def constant(**values: float) -> alt.Chart:
    """Return an empty chart over one row of constants."""
    return alt.Chart(alt.Data(values=[values]))  # type: ignore[no-untyped-call]


def batch_axis() -> alt.X:
    """Rows of a batch, logarithmic."""
    return alt.X(
        "batch:Q", title="rows in a batch", scale=alt.Scale(type="log", nice=False, padding=14), axis=_ticks("batch")
    )


def batch_bands() -> alt.X:
    """Rows of a batch, one band each."""
    axis = alt.Axis(labelExpr=COUNT_LABEL, labelAngle=0, labelOverlap=True)
    return alt.X("batch:O", title="rows in a batch", axis=axis)


def steps_axis() -> alt.X:
    """Number of calls, logarithmic."""
    return alt.X(
        "steps:Q", title="number of steps", scale=alt.Scale(type="log", nice=False, padding=14), axis=_ticks("steps")
    )


def seconds_axis(name: str, title: str) -> alt.Y:
    """Seconds, logarithmic, labelled with units."""
    return log_axis(name, title, SECONDS_LABEL)


def log_axis(name: str, title: str, label: str) -> alt.Y:
    """A logarithmic ordinate; ``label`` is the Vega expression that writes a value."""
    axis = alt.Axis(labelExpr=label, values=levels("y"), labelOverlap="greedy")
    return alt.Y(f"{name}:Q", title=title, scale=alt.Scale(type="log", nice=False, padding=12), axis=axis)


def levels(scale: str) -> alt.ExprRef:
    """Return the values that a logarithmic axis labels, as an expression over what the scale spans.

    Vega evaluates it for whatever rows are shown, and leaves out values beyond the axis.
    """
    decades = f"log(domain('{scale}')[1] / domain('{scale}')[0]) / LN10"
    lists = {more_than: [float(f"{digit}e{power}") for power in DECADES for digit in digits]
             for more_than, digits in LEADING.items()}  # fmt: skip
    *choices, finest = lists.items()
    choice = " : ".join(f"{decades} > {more_than} ? {values}" for more_than, values in choices)
    return alt.ExprRef(f"{choice} : {finest[1]}")


def line(theme: Theme, x: alt.X, y: alt.Y, tooltip: Sequence[alt.Tooltip], seconds: str = "seconds") -> list[alt.Chart]:
    """Return a line and its markers for each backend. The tooltip may use ``time``, ``time_from``, ``time_to``."""
    drawn = source("main").mark_line(strokeWidth=2.2, aria=False)
    marked = (
        source("main")
        .transform_calculate(
            time=seconds_text(f"datum.{seconds}"),
            time_from=seconds_text("datum.low_s"),
            time_to=seconds_text("datum.high_s"),
        )
        .mark_point(size=60, filled=False, strokeWidth=1.8, opacity=1)
    )
    look = {"color": theme.colour, "fill": theme.fill, "shape": theme.shape}
    return [
        drawn.encode(x=x, y=y, color=theme.colour, strokeDash=theme.dash),
        marked.encode(x=x, y=y, tooltip=[alt.Tooltip("backend:N"), *tooltip], **look),
    ]


def interval(theme: Theme, x: alt.X) -> list[alt.Chart]:
    """Return the band and the whiskers from ``drawn_low`` to ``drawn_high`` for each backend."""
    span = {"x": x, "y": alt.Y("drawn_low:Q"), "y2": alt.Y2("drawn_high:Q"), "color": theme.colour}
    return [
        source("main").mark_area(opacity=0.16, aria=False).encode(**span),
        source("main").mark_rule(strokeWidth=1.4, aria=False).encode(**span),
    ]


def crossing(name: str, x: str) -> list[alt.Chart]:
    """Return, for each row of source ``name``, its interval as a grey band, its place as a rule, and its ``label``.

    The band is drawn from ``band_low`` to ``band_high``, which are inside the chart even if the interval is open.
    Labels are one below the other, on the side of their rule that has more room.
    """
    rows = source(name)
    where = {"x": alt.X(f"{x}:Q")}
    behind = f"scale('x', datum.{x}) > width / 2"
    written = rows.transform_window(rank="row_number()", sort=[alt.SortField(x)]).mark_text(
        style=INK_TEXT,
        align=alt.ExprRef(f"{behind} ? 'right' : 'left'"),
        dx=alt.ExprRef(f"{behind} ? -5 : 5"),
        dy=alt.ExprRef("14 * ((datum.rank - 1) % 5)"),
        baseline="top",
        fontSize=11,
    )
    return [
        rows.mark_rect(style=SOFT_AREA, opacity=0.14, aria=False).encode(x=alt.X("band_low:Q"), x2="band_high:Q"),
        rows.mark_rule(style=INK_LINE, strokeDash=[2, 3], opacity=0.7, aria=False).encode(**where),
        written.encode(**where, y=alt.value(4), text="label:N"),
    ]


def level(value: float) -> alt.Chart:
    """Return a horizontal line at ``value``."""
    drawn: alt.Chart = constant(level=value).mark_rule(style=INK_LINE, strokeWidth=1.2, aria=False)
    return drawn.encode(y=alt.Y("level:Q"))


def extent(x: str = "", y: str = "") -> alt.Chart:
    """Return unseen points that stretch the scales over what the other runs show."""
    unseen: alt.Chart = source("extent").mark_point(opacity=0, aria=False, tooltip=None)
    if x:
        unseen = unseen.encode(x=alt.X(f"{x}:Q"))
    if y:
        unseen = unseen.encode(y=alt.Y(f"{y}:Q"))
    return unseen


def room_behind(x: str, pixels: int) -> list[alt.Chart]:
    """Return unseen points that leave ``pixels`` behind the largest ``x``, of this run and of all, for a text."""
    further = f"datum.{x} * width / max(width - {pixels}, {pixels})"
    unseen = [source(name).transform_calculate(room=further) for name in ("main", "extent")]
    return [chart.mark_point(opacity=0, aria=False, tooltip=None).encode(x=alt.X("room:Q")) for chart in unseen]


class Lines(NamedTuple):
    """A height that depends on the rows: ``step`` pixels for each combination of values in ``columns``."""

    step: int
    columns: tuple[str, ...]


def finished(*layers: alt.Chart, height: int | Lines) -> dict[str, Any]:
    """Return the layers as one chart that is as wide as its container, without what altair adds.

    A height in `Lines` travels as ``usermeta`` until the rows are known. Vega-Lite has steps for that, but not
    in a chart that is as wide as its container.
    """
    spec: dict[str, Any] = alt.layer(*layers).properties(width="container").to_dict(validate=False)
    kept = {key: value for key, value in spec.items() if key not in ("$schema", "config", "datasets")}
    autosize = {"type": "fit-x", "contains": "padding"}
    if isinstance(height, Lines):
        return {**kept, "autosize": autosize, "usermeta": {"step": height.step, "columns": list(height.columns)}}
    return {**kept, "autosize": autosize, "height": height}


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """Make charts without asking altair's schema about every part of them: they are ours, and the tests ask it."""
    with debug_mode(False):
        yield


def _ticks(column: str) -> alt.Axis:
    """An axis of counts, labelled where something was measured."""
    measured = alt.ExprRef(f"pluck(data('main'), '{column}')")
    return alt.Axis(labelExpr=COUNT_LABEL, labelOverlap="greedy", values=measured, grid=False)
