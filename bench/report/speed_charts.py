"""Charts of speed: time against batch, ratio to a reference, share of the machine's limit, and costs. Pictures only."""

from __future__ import annotations

from typing import Any

import altair as alt

from bench.report.marks import (
    INK_TEXT,
    RATIO_LABEL,
    SECONDS_LABEL,
    SOFT_LINE,
    SOFT_TEXT,
    Lines,
    Theme,
    batch_axis,
    crossing,
    extent,
    finished,
    interval,
    level,
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
        alt.Tooltip("time_from:N", title="95% from"),
        alt.Tooltip("time_to:N", title="95% to"),
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
        alt.Tooltip("low:Q", title="95% from", format=",.3~r"),
        alt.Tooltip("high:Q", title="95% to", format=",.3~r"),
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
    """What a process pays beside its steps: a bar a backend, the parts in shades of its colour."""
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
            x=alt.X("cost_s:Q", title="time beside the steps", axis=axis, stack="zero"),
            y=y,
            color=theme.colour,
            opacity=alt.Opacity("part:O", scale=shades, legend=None),
            order=alt.Order("order:Q"),
            tooltip=[alt.Tooltip("backend:N"), alt.Tooltip("part:N"), alt.Tooltip("cost:N", title="time")],
        )
    )
    note = source("main").transform_calculate(text=seconds_text("datum.fixed_s"))
    note = note.mark_text(style=INK_TEXT, align="left", dx=6).encode(x=alt.X("fixed_s:Q"), y=y, text="text:N")
    return finished(bars, note, *room_behind("fixed_s", 60), height=Lines(36, ("backend",)))


def totals(theme: Theme) -> dict[str, Any]:
    """Total time against the number of steps, with the break-even points."""
    tooltip = [
        alt.Tooltip("steps:Q", title="steps", format=","),
        alt.Tooltip("time:N", title="in all"),
        alt.Tooltip("time_from:N", title="95% from"),
        alt.Tooltip("time_to:N", title="95% to"),
    ]
    return finished(
        *crossing("break_even", "steps"),
        *interval(theme, steps_axis()),
        *line(theme, steps_axis(), seconds_axis("seconds", "time in all"), tooltip),
        extent(x="steps", y="seconds"),
        height=360,
    )
