"""Intervals and verdicts by cell for the charts, phase by phase of each run, by `bench.verdicts`.

These are the rows that ``python -m bench compare --phases PHASE`` sees, so that page and command never differ. No
statistics of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.results import timed
from bench.verdicts import pairs, statistics
from bench.verdicts.statistics import CASE as CASE_OF_ONE_RUN

if TYPE_CHECKING:
    import pandas as pd

CASE = ["run", *CASE_OF_ONE_RUN]
"""What the backends of one comparison have in common."""

CELL = [*CASE, "backend"]

NUMPY, IDIOM = "numpy", "own idiom"
"""What a backend can be compared with."""


def phases(frame: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield run, machine and rows of each phase that was timed."""
    good = timed(frame)
    for (run, machine, _), own in good.groupby(["run", "machine", "phase"], sort=False):
        yield run, machine, own


def figures(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `bench.verdicts.statistics.cell_estimates` of each run and phase, with ``run`` and ``machine``."""
    import pandas as pd

    found = [statistics.cell_estimates(own).assign(run=run, machine=machine) for run, machine, own in phases(frame)]
    return pd.concat(found, ignore_index=True).rename(columns={"low_s": "low", "high_s": "high"})


def cells(frame: pd.DataFrame, every: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of the first arm with their rounds, and each one's verdict among the backends of its phase.

    That is the outcome of its case for the fastest, and what is proven of it against the fastest for any other.
    """
    import pandas as pd

    good = timed(frame, arm="")
    counts = good.groupby(CELL, as_index=False)[["rounds", "set_aside"]].sum()
    own = every[every["arm"] == ""]
    judged = [pairs.against_fastest(rows)[0] for _, rows in own.groupby(["run", "phase"], sort=False)]
    return framed(pd.concat(judged, ignore_index=True).merge(counts, on=CELL), "seconds")


def framed(rows: pd.DataFrame, value: str, apart: list[str] | None = None) -> pd.DataFrame:
    """Return rows with ``drawn_low`` and ``drawn_high``: the interval, cut off where it would dwarf all the values.

    An interval from two processes may span decades. The cut is at a third of the least value of the chart and at three
    times its greatest; ``low`` and ``high`` stay as they are.
    """
    chart = rows.groupby([name for name in CASE if name != "batch" and name in rows] + (apart or []))[value]
    low, high = rows["low"].clip(lower=chart.transform("min") / 3), rows["high"].clip(upper=chart.transform("max") * 3)
    return rows.assign(drawn_low=low, drawn_high=high)


def ratios(rows: pd.DataFrame) -> pd.DataFrame:
    """Return how many times as fast each cell is as numpy's, and as the idiom of its own framework."""
    import pandas as pd

    found = []
    for reference in (NUMPY, IDIOM):
        against = rows["backend"] + "-idiom" if reference == IDIOM else pd.Series(NUMPY, rows.index)
        base = rows[CASE].assign(backend=against).merge(rows, on=CELL, how="left")
        known = base["log_s"].notna().to_numpy()
        one, other = rows[known], base[known]
        ratio = statistics.ratios(one, other)
        made = one[CELL].assign(reference=reference, against=other["backend"].to_numpy())
        found.append(made.assign(ratio=ratio.ratio, low=ratio.low, high=ratio.high))
    return framed(pd.concat(found, ignore_index=True), "ratio", ["reference"])


def repeats(every: pd.DataFrame) -> pd.DataFrame:
    """Return the A/A arm: the copy's time over the first's, by cell, with the verdict of this comparison by itself."""
    first, copy = every[every["arm"] == ""], every[every["arm"] != ""]
    both = first[CELL].merge(copy[CELL])
    found = statistics.ratios(both.merge(first, on=CELL), both.merge(copy, on=CELL))
    made = both.assign(ratio=found.ratio, low=found.low, high=found.high)
    return made.assign(verdict=statistics.verdicts(found, together=False))
