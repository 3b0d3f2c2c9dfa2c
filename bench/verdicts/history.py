"""Every stored run of one machine in the order of time: at which run did the time of a cell step?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.basics.names import MARGIN
from bench.verdicts import statistics
from bench.verdicts.cell_name import CellName
from bench.verdicts.estimates import CASE, Floats
from bench.verdicts.student import upper_tail

if TYPE_CHECKING:
    import pandas as pd

CELL = [*CASE, "backend"]
LEAST_SIDE = 2
"""Runs on each side of a step: the level of a single run may be that run's luck."""
ERROR_RATE = 0.05
LEAST_NOISE = 0.01
"""Of a log time from run to run, where runs are too few or too much alike to tell."""
EFFICIENCY = 0.37
"""Of a median absolute deviation: it knows a spread as well as a standard deviation of this share of the values."""


class Step(NamedTuple):
    """A step of one cell: the first run after it with its commit, the levels on both sides, the commit before it."""

    cell: tuple[str | int, ...]
    run: str
    commit: str
    before_s: float
    after_s: float
    commit_before: str = ""

    @property
    def name(self) -> CellName:
        """The cell as it is printed."""
        network, rows, dtype, _, threads, phase, backend = self.cell
        return CellName(str(backend), str(network), int(rows), str(phase), str(dtype), int(threads))

    @property
    def ratio(self) -> float:
        """Time after the step over time before it."""
        return self.after_s / self.before_s


def levels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the estimate of each cell in each run, the oldest first.

    Args:
        frame: rows of several runs, as `bench.results.load` gives them.

    Returns:
        `CELL`, ``run``, ``machine``, ``created``, ``commit``, ``seconds``, ``low_s``, ``high_s`` (95 %), ``log_s``.
    """
    import pandas as pd

    tables = []
    for run, rows in frame.groupby("run", sort=False):
        estimates = statistics.cell_estimates(rows)
        commit = next((text for text in rows.get("receipt_commit", ()) if isinstance(text, str) and text), "")
        facts = {name: rows[name].iloc[0] for name in ("machine", "created")} | {"run": run, "commit": commit}
        kept = [*CELL, "seconds", "low_s", "high_s", "log_s"]
        tables.append(estimates.loc[estimates["arm"] == "", kept].assign(**facts))
    return pd.concat(tables, ignore_index=True).sort_values("created", kind="stable")


def steps(table: pd.DataFrame, margin: float = MARGIN) -> Iterator[Step]:
    """Yield every proven step of every cell, cell by cell, the earliest first.

    Args:
        table: of `levels`.
        margin: a step must be larger.
    """
    for cell, rows in table.groupby(CELL, sort=False):
        logs = rows["log_s"].to_numpy(float)
        edges = [0, *change_points(logs, margin), len(logs)]
        means = [float(logs[a:b].mean()) for a, b in itertools.pairwise(edges)]
        for at, before, after in zip(edges[1:-1], means[:-1], means[1:], strict=True):
            row = rows.iloc[at]
            facts = str(row["run"]), str(row["commit"]), math.exp(before), math.exp(after)
            yield Step(tuple(cell), *facts, str(rows.iloc[at - 1]["commit"]))


def change_points(logs: Sequence[float] | Floats, margin: float = MARGIN) -> list[int]:
    """Return the positions at which a series of log times steps to another level, in order.

    Binary segmentation: the split whose two means differ most is kept if the difference is beyond the margin and beyond
    chance for all splits together, and each side is searched again. Noise is judged from run to run, so that a step
    does not count as noise.
    """
    series = np.asarray(logs, float)
    if len(series) < 2 * LEAST_SIDE:
        return []
    differences = np.diff(series)
    noise = max(float(np.median(np.abs(differences))) / (0.6745 * math.sqrt(2)), LEAST_NOISE)
    return _segmented(series, 0, noise, EFFICIENCY * len(differences), math.log1p(margin))


def _segmented(series: Floats, offset: int, noise: float, dof: float, edge: float) -> list[int]:
    """Return the steps of one stretch, as positions in the whole series."""
    n = len(series)
    places = range(LEAST_SIDE, n - LEAST_SIDE + 1)
    if not places:
        return []
    best, gap, error = 0, 0.0, 1.0
    for place in places:
        difference = float(series[place:].mean() - series[:place].mean())
        spread = noise * math.sqrt(1 / place + 1 / (n - place))
        if abs(difference) / spread > abs(gap) / error:
            best, gap, error = place, difference, spread
    p = 2 * float(upper_tail(abs(gap) / error, dof)) * len(places)
    if p > ERROR_RATE or abs(gap) <= edge:
        return []
    left = _segmented(series[:best], offset, noise, dof, edge)
    return [*left, offset + best, *_segmented(series[best:], offset + best, noise, dof, edge)]
