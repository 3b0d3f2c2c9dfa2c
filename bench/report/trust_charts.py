"""Charts of trust: conformance, the A/A arm, rounds set aside; and the map of answers as a figure. Pictures only."""

from __future__ import annotations

from typing import Any

import altair as alt

from bench.report.marks import (
    COUNT_LABEL,
    INK_LINE,
    INK_TEXT,
    LEVELS,
    SOFT_AREA,
    Lines,
    Theme,
    batch_bands,
    constant,
    extent,
    finished,
    source,
)


def conformance(theme: Theme) -> dict[str, Any]:
    """Worst error over its proven bound, claim by claim; beyond 1 a claim is broken."""
    label = "format(datum.value, datum.value < 1e4 ? '~g' : '.0e')"
    axis = alt.Axis(labelExpr=label, values=alt.ExprRef(LEVELS), labelOverlap="greedy", labelSeparation=4)
    one = constant(shown=1).mark_rule(style=INK_LINE, strokeWidth=1.5, aria=False)
    points = source("main").mark_point(size=80, filled=False, strokeWidth=2, opacity=1)
    x = alt.X("shown:Q", title="worst error / bound", scale=alt.Scale(type="log", nice=False, padding=14), axis=axis)
    return finished(
        one.encode(x=alt.X("shown:Q")),
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
    one = constant(ratio=1).mark_rule(style=INK_LINE, aria=False)
    tooltip = [
        alt.Tooltip("backend:N"),
        alt.Tooltip("batch:Q", title="rows", format=","),
        alt.Tooltip("ratio:Q", title="copy / first", format=".4~g"),
        alt.Tooltip("low:Q", title="95% from", format=".4~g"),
        alt.Tooltip("high:Q", title="95% to", format=".4~g"),
        alt.Tooltip("verdict:N"),
    ]
    return finished(
        source("margin").mark_rect(style=SOFT_AREA, opacity=0.14, aria=False).encode(x=alt.X("low:Q"), x2="high:Q"),
        one.encode(x=alt.X("ratio:Q")),
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
    fill = alt.condition("datum.verdict == 'winner'", theme.colour, alt.value("#8a8f98"))
    opacity = alt.condition("datum.verdict == 'undecided'", alt.value(0.08), alt.value(0.32))
    return finished(
        cells.encode(x=steps, y=rows, color=fill, opacity=opacity),
        source("main")
        .mark_text(style=INK_TEXT, fontSize=12, lineBreak="\n", lineHeight=14, limit=92, dy=alt.ExprRef(CENTRED))
        .encode(x=steps, y=rows, text="text:N"),
        height=Lines(34, ("batch",)),
    )
