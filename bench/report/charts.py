"""Every chart of the report, over rows that come later: speed, cost, trust, and the map of answers. Pictures only.

Tests: `tests/bench/report/test_figures.py`.
"""

from __future__ import annotations

from typing import Any

import altair as alt

from bench.report.marks import (
    COUNT_LABEL,
    INK_LINE,
    INK_TEXT,
    RATIO_LABEL,
    SECONDS_LABEL,
    SOFT_AREA,
    SOFT_LINE,
    SOFT_TEXT,
    Lines,
    Theme,
    batch_axis,
    batch_bands,
    constant,
    crossing,
    extent,
    finished,
    interval,
    level,
    levels,
    line,
    log_axis,
    room_behind,
    seconds_axis,
    seconds_text,
    source,
    steps_axis,
)


def times(theme: Theme) -> dict[str, Any]:
    """Seconds against batch with intervals, the machine's limit and the crossovers."""
    x = batch_axis()
    limit = source("limit").mark_line(style=SOFT_LINE, strokeWidth=2.5, strokeDash=[8, 3, 2, 3], aria=False)
    limit_name = (
        source("limit").transform_filter("isValid(datum.label)").mark_text(style=SOFT_TEXT, align="left", dx=9, dy=9)
    )
    where = {"x": x, "y": alt.Y("limit_s:Q")}
    tooltip = [
        alt.Tooltip("batch:Q", title="rows", format=","),
        alt.Tooltip("time:N", title="time"),
        alt.Tooltip("time_from:N", title="95 % from"),
        alt.Tooltip("time_to:N", title="95 % to"),
        alt.Tooltip("verdict:N", title="against the fastest"),
    ]
    return finished(
        *crossing("crossovers", "batch"),
        limit.encode(**where),
        *interval(theme, x),
        *line(theme, x, seconds_axis("seconds", "time"), tooltip),
        limit_name.encode(**where, text="label:N"),
        extent(x="batch", y="seconds"),
        height=430,
    )


def ratios(theme: Theme) -> dict[str, Any]:
    """How many times as fast as the reference, against batch."""
    x = batch_axis()
    tooltip = [
        alt.Tooltip("batch:Q", title="rows", format=","),
        alt.Tooltip("ratio:Q", title="times as fast", format=",.3~r"),
        alt.Tooltip("low:Q", title="95 % from", format=",.3~r"),
        alt.Tooltip("high:Q", title="95 % to", format=",.3~r"),
        alt.Tooltip("against:N", title="as"),
    ]
    y = log_axis("ratio", "times as fast", RATIO_LABEL)
    return finished(
        level(1), *interval(theme, x), *line(theme, x, y, tooltip), extent(x="batch", y="ratio"), height=320
    )


def shares(theme: Theme) -> dict[str, Any]:
    """Share of the machine's limit against batch."""
    axis = alt.Axis(format=".0%", tickCount=5)
    y = alt.Y("share:Q", title="share of the limit", scale=alt.Scale(domainMin=0, nice=True), axis=axis)
    tooltip = [
        alt.Tooltip("batch:Q", title="rows", format=","),
        alt.Tooltip("share:Q", title="share of the limit", format=".3~p"),
        alt.Tooltip("time:N", title="time"),
        alt.Tooltip("binds:N", title="bound by"),
    ]
    return finished(level(1), *line(theme, batch_axis(), y, tooltip), extent(x="batch", y="share"), height=320)


def fixed_costs(theme: Theme) -> dict[str, Any]:
    """What a process pays in addition to its steps: a bar a backend, the parts in shades of its colour."""
    axis = alt.Axis(labelExpr=SECONDS_LABEL, tickCount=5, labelOverlap="greedy")
    shades = alt.Scale(type="ordinal", domain=["import", "compile", "place", "call"], range=[1.0, 0.6, 0.35, 0.15])
    y = alt.Y("backend:N", title=None, sort=None)
    bars = (
        source("main")
        .transform_fold(["import_s", "compile_s", "place_s", "call_s"], as_=["column", "cost_s"])
        .transform_calculate(part="replace(datum.column, '_s', '')", cost=seconds_text("datum.cost_s"))
        .transform_calculate(order="indexof(['import', 'compile', 'place', 'call'], datum.part)")
        .mark_bar(style="bar")
        .encode(
            x=alt.X("cost_s:Q", title="time in addition to the steps", axis=axis, stack="zero"),
            y=y,
            color=theme.colour,
            opacity=alt.Opacity("part:O", scale=shades, legend=None),
            order=alt.Order("order:Q"),
            tooltip=[alt.Tooltip("backend:N"), alt.Tooltip("part:N"), alt.Tooltip("cost:N", title="time")],
        )
    )
    note = source("main").transform_calculate(text=seconds_text("datum.fixed_s"))
    note = note.mark_text(style=INK_TEXT, align="left", dx=6).encode(x=alt.X("fixed_s:Q"), y=y, text="text:N")
    return finished(bars, note, *room_behind("fixed_s", 60), height=Lines(64, ("backend",)))


def totals(theme: Theme) -> dict[str, Any]:
    """Total time against the number of steps, with the break-even points."""
    tooltip = [
        alt.Tooltip("steps:Q", title="steps", format=","),
        alt.Tooltip("time:N", title="in all"),
        alt.Tooltip("time_from:N", title="95 % from"),
        alt.Tooltip("time_to:N", title="95 % to"),
    ]
    return finished(
        *crossing("break_even", "steps"),
        *interval(theme, steps_axis()),
        *line(theme, steps_axis(), seconds_axis("total_s", "time in all"), tooltip, "total_s"),
        extent(x="steps", y="total_s"),
        height=360,
    )


def conformance(theme: Theme) -> dict[str, Any]:
    """Worst error over its proven bound, claim by claim; beyond 1 a claim is broken."""
    label = "format(datum.value, datum.value < 1e4 ? '~g' : '.0e')"
    axis = alt.Axis(labelExpr=label, values=levels("x"), labelOverlap="greedy", labelSeparation=4)
    bound = constant(shown=1).mark_rule(style=INK_LINE, strokeWidth=1.5, aria=False)
    points = source("main").mark_point(size=80, filled=False, strokeWidth=2, opacity=1)
    x = alt.X("shown:Q", title="worst error / bound", scale=alt.Scale(type="log", nice=False, padding=14), axis=axis)
    return finished(
        bound.encode(x=alt.X("shown:Q")),
        points.encode(
            x=x,
            y=alt.Y("claim:N", title=None, sort=None, axis=alt.Axis(grid=True, labelLimit=130)),
            yOffset=alt.YOffset("backend:N"),
            color=theme.colour,
            fill=theme.fill,
            shape=theme.shape,
            tooltip=[
                alt.Tooltip("backend:N"),
                alt.Tooltip("claim:N"),
                alt.Tooltip("ratio:Q", title="error / bound", format=".3~g"),
            ],
        ),
        extent(x="shown"),
        height=Lines(13, ("claim", "backend")),
    )


def repeats(theme: Theme) -> dict[str, Any]:
    """The A/A arm: one backend against its own copy; an interval should hold 1 and stay inside the margin."""
    title = "time of the copy / time of the first"
    x = alt.X("low:Q", title=title, scale=alt.Scale(zero=False, padding=10), axis=alt.Axis(tickCount=6, format=".3~g"))
    axis = alt.Axis(labelExpr=COUNT_LABEL, titleAngle=0, titleAlign="right", titleAnchor="end", titleX=-8, titleY=-5)
    y = alt.Y("batch:O", title="rows", axis=axis)
    equality = constant(ratio=1).mark_rule(style=INK_LINE, aria=False)
    tooltip = [
        alt.Tooltip("backend:N"),
        alt.Tooltip("batch:Q", title="rows", format=","),
        alt.Tooltip("ratio:Q", title="copy / first", format=".4~g"),
        alt.Tooltip("low:Q", title="95 % from", format=".4~g"),
        alt.Tooltip("high:Q", title="95 % to", format=".4~g"),
        alt.Tooltip("verdict:N"),
    ]
    return finished(
        source("margin").mark_rect(style=SOFT_AREA, opacity=0.14, aria=False).encode(x=alt.X("low:Q"), x2="high:Q"),
        equality.encode(x=alt.X("ratio:Q")),
        source("main").mark_rule(strokeWidth=2, aria=False).encode(x=x, x2="high:Q", y=y, color=theme.colour),
        source("main")
        .mark_point(size=70, filled=False, strokeWidth=2, opacity=1)
        .encode(x=alt.X("ratio:Q"), y=y, color=theme.colour, fill=theme.fill, shape=theme.shape, tooltip=tooltip),
        extent(x="ratio"),
        height=Lines(28, ("batch",)),
    )


def set_aside(theme: Theme) -> dict[str, Any]:
    """Share of rounds that the machine spoiled, by batch."""
    y = alt.Y("share:Q", title="rounds set aside", axis=alt.Axis(format=".2~%", tickCount=4))
    tooltip = [
        alt.Tooltip("backend:N"),
        alt.Tooltip("batch:O", title="rows", format=","),
        alt.Tooltip("set_aside:Q", title="set aside"),
        alt.Tooltip("rounds:Q", title="kept"),
        alt.Tooltip("share:Q", format=".3~p"),
    ]
    bars = (
        source("main")
        .mark_bar(strokeWidth=0)
        .encode(x=batch_bands(), xOffset=alt.XOffset("backend:N"), y=y, color=theme.colour, tooltip=tooltip)
    )
    return finished(bars, extent(y="share"), height=220)


CENTRED = "indexof(datum.text, '\\n') < 0 ? 0 : -7"
"""How far a text of two lines is moved up, as an expression over its row."""


def answers(theme: Theme) -> dict[str, Any]:
    """The map of batch and number of steps to the backend, as the page shows it in a table."""
    steps = alt.X("steps:O", title="number of steps", axis=alt.Axis(labelExpr=COUNT_LABEL, labelAngle=0, orient="top"))
    rows = alt.Y("batch:O", title="rows in a batch", axis=alt.Axis(labelExpr=COUNT_LABEL))
    cells = source("main").mark_rect(stroke="white", strokeWidth=2)
    fill = alt.condition(
        "datum.verdict == 'fastest' || datum.verdict == 'none faster'", theme.colour, alt.value("#8a8f98")
    )
    opacity = alt.condition("datum.verdict == 'undecided'", alt.value(0.08), alt.value(0.32))
    return finished(
        cells.encode(x=steps, y=rows, color=fill, opacity=opacity),
        source("main")
        .mark_text(style=INK_TEXT, fontSize=12, lineBreak="\n", lineHeight=14, limit=92, dy=alt.ExprRef(CENTRED))
        .encode(x=steps, y=rows, text="text:N"),
        height=Lines(42, ("batch",)),
    )
