"""The time of each cell over the stored runs of one machine, with its steps: rows, chart and exhibit.

The rows of all runs of a machine belong to one picture, which is shown under the newest of its runs on the page.

Tests: `tests/bench/report/test_over_time.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from bench.basics.formats import format_number
from bench.limits.peers import short_name
from bench.report.exhibits import CASE_COLUMNS, GRID, INTERVAL, Column, Exhibit
from bench.report.marks import INK_LINE, INK_TEXT, Theme, finished, interval, line, seconds_axis, source
from bench.verdicts import history
from bench.verdicts.estimates import CASE

if TYPE_CHECKING:
    import pandas as pd

ANGLE = -35
"""Of the labels below the chart, in degrees."""


def rows(levels: pd.DataFrame, frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of the picture and of its steps, for the cells that the page has.

    Args:
        levels: of `bench.verdicts.history.levels`, with ``machine``; runs of several machines are kept apart.
        frame: rows of the runs on the page.
    """
    import pandas as pd

    newest = frame.sort_values("created").groupby("machine")["run"].last()
    levels = levels[levels["machine"].isin(newest.index)].assign(backend=levels["backend"].map(short_name))
    levels = levels.merge(frame[[*CASE, "backend"]].drop_duplicates(), on=[*CASE, "backend"])
    counts = levels.groupby(["machine", *history.CELL])["run"].transform("size")
    levels = levels[counts > 1].sort_values("created", kind="stable")
    main = levels.assign(
        measured=levels["run"],
        run=levels["machine"].map(newest),
        at=[
            f"{when:%m-%d %H:%M} {commit[:7]}" for when, commit in zip(levels["created"], levels["commit"], strict=True)
        ],
        drawn_low=levels["low_s"],
        drawn_high=levels["high_s"],
    )
    found = [
        dict(zip(history.CELL, step.cell, strict=True))
        | {"run": newest[machine], "measured": step.run, "step": f"{format_number(step.ratio)}\u00d7"}
        for machine, own in levels.groupby("machine", sort=False)
        for step in history.steps(own)
    ]
    steps = pd.DataFrame(found, columns=[*history.CELL, "run", "measured", "step"])
    keys = [*history.CELL, "run", "measured"]
    main = main.merge(steps, how="left", on=keys)
    main["step"] = main["step"].fillna("")
    kept = [
        "run",
        *history.CELL,
        "measured",
        "at",
        "commit",
        "seconds",
        "low_s",
        "high_s",
        "drawn_low",
        "drawn_high",
        "step",
    ]
    main = main[kept]
    return {"main": main, "steps": main[main["step"] != ""]}


def chart(theme: Theme) -> dict[str, Any]:
    """Seconds against the runs in order, a line for each backend, a rule at each step."""
    x = alt.X("at:N", sort=None, title="run, and its commit", axis=alt.Axis(labelAngle=ANGLE, labelOverlap=True))
    tooltip = [
        alt.Tooltip("at:N", title="run"),
        alt.Tooltip("time:N", title="time"),
        alt.Tooltip("time_from:N", title="95 % from"),
        alt.Tooltip("time_to:N", title="95 % to"),
        alt.Tooltip("step:N", title="step"),
    ]
    where = {"x": alt.X("at:N", sort=None)}
    rule = source("steps").mark_rule(style=INK_LINE, strokeDash=[2, 3], opacity=0.7, aria=False)
    label = source("steps").mark_text(style=INK_TEXT, align="left", dx=6, dy=-8, fontSize=11)
    return finished(
        *line(theme, x, seconds_axis("seconds", "time"), tooltip),
        *interval(theme, x)[1:],
        rule.encode(**where),
        label.encode(**where, y=alt.Y("seconds:Q"), text="step:N"),
        height=320,
    )


def exhibit(theme: Theme, made: dict[str, pd.DataFrame]) -> Exhibit:
    """Return the picture with its table."""
    return Exhibit(
        id="over-time",
        title="Over time",
        lead="One cell in the stored runs of a machine, oldest first. A dotted line is a step beyond the margin and "
        "beyond chance, with the time after it over the time before. Runs do not take turns: a step may be one of the "
        "machine. python -m bench history --bisect names the commit.",
        frame=made["main"],
        columns=(
            CASE_COLUMNS[0],
            Column("measured", "measured in run"),
            Column("commit", "commit"),
            *CASE_COLUMNS[1:],
            Column("seconds", "time", "seconds"),
            *INTERVAL,
            Column("step", "step"),
        ),
        filters=(*GRID, "batch"),
        spec=chart(theme),
        sources={"steps": made["steps"]},
        alternative=("backend", "at", "seconds"),
        empty="This cell was measured in one run alone.",
        wide=True,
    )
