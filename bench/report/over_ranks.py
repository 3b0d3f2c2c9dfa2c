"""The time of a step by number of ranks, of runs that compare them: rows, chart and exhibit.

Tests: `tests/bench/report/test_over_ranks_chart.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from bench.report.exhibits import INTERVAL, Column, Exhibit
from bench.report.marks import Theme, finished, interval, line, seconds_axis
from bench.verdicts.scaling import scaling

if TYPE_CHECKING:
    import pandas as pd

WORK = ["run", "network", "dtype", "device"]


def rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what `bench.verdicts.scaling` says of each run that has several ranks, on its largest batch; else none."""
    import pandas as pd

    if "ranks" not in frame:
        return pd.DataFrame()
    good = frame[frame["status"] == "ok"]
    made = []
    for key, of_run in good.groupby(WORK, sort=False, observed=True):
        if (of_run["ranks"] > 1).any():
            whole = scaling(of_run)
            made.append(whole[whole["rows"] == whole["rows"].max()].assign(**dict(zip(WORK, key, strict=True))))
    if not made:
        return pd.DataFrame()
    table = pd.concat(made, ignore_index=True)
    table["ways"] = [f"{ranks} x {threads}" for ranks, threads in zip(table["ranks"], table["threads"], strict=True)]
    return table.rename(columns={"step_s": "seconds", "rows": "batch"}).assign(
        drawn_low=table["low_s"], drawn_high=table["high_s"]
    )


def chart(theme: Theme) -> dict[str, Any]:
    """Seconds of a step against ranks and their threads, a line for each backend."""
    x = alt.X("ways:N", sort=None, title="ranks x threads of each", axis=alt.Axis(labelAngle=0))
    tooltip = [
        alt.Tooltip("arm:N", title="ranks"),
        alt.Tooltip("time:N", title="time"),
        alt.Tooltip("time_from:N", title="95 % from"),
        alt.Tooltip("time_to:N", title="95 % to"),
        alt.Tooltip("verdict:N", title="against one rank with all threads"),
    ]
    return finished(
        *line(theme, x, seconds_axis("seconds", "time of a step"), tooltip), *interval(theme, x)[1:], height=320
    )


def exhibit(theme: Theme, made: pd.DataFrame) -> Exhibit:
    """Return the picture with its table."""
    return Exhibit(
        id="over-ranks",
        title="Ranks",
        lead="A step of one batch, shared out among ranks, by python -m bench scale. Verdicts are against one rank "
        "with all threads, without an engine.",
        frame=made,
        columns=(
            Column("backend", "backend"),
            Column("ways", "ranks x threads"),
            Column("engine", "engine"),
            Column("hosts", "hosts", "count"),
            Column("batch", "rows", "count"),
            Column("seconds", "a step", "seconds"),
            *INTERVAL,
            Column("speed_up", "speed-up", "ratio"),
            Column("sum_share", "all-reduce", "percent"),
            Column("verdict", "verdict"),
        ),
        filters=("network", "dtype", "device"),
        spec=chart(theme),
        alternative=("backend", "ways", "seconds"),
        empty="No ranks were compared here.",
        wide=True,
    )
