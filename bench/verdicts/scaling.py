"""From the rows of ranks to times, speed-ups, efficiencies and verdicts. No files, no formatting.

Tests: `tests/bench/ranks/test_scale.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bench.basics.names import ALL_REDUCE, MARGIN
from bench.verdicts import statistics

if TYPE_CHECKING:
    import pandas as pd

ESTIMATE = "lower_quartile_s"
"""Ranks are timed one arm after the other, not side by side: what slows one of them down is left to the quartile."""


def scaling(frame: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """Return one row a backend, rows and way to share them, against one rank with all threads.

    Args:
        frame: as `bench.results.load` gives it, of a run that compares numbers of ranks.
        margin: of equivalence.

    Returns:
        ``backend``, ``arm``, ``rows``, ``ranks``, ``threads``, ``engine``, ``hosts``; ``step_s``, ``low_s``, ``high_s``
        (95 %); ``speed_up`` over one rank with all threads on as many rows, with ``speed_up_low``, ``speed_up_high``
        and ``verdict``; ``strong`` efficiency, of one rank on all rows with as many threads, over ranks times this
        time; ``weak`` efficiency, of one rank on its part of the rows, over this time; ``sum_share`` of a step that the
        all-reduce takes. NaN and '' if what it is compared with was not measured.
    """
    import pandas as pd

    frame = frame[frame["status"] == "ok"]
    steps = statistics.cell_estimates(frame[frame["phase"] == "train"], ESTIMATE)
    sums = statistics.cell_estimates(frame[frame["phase"] == ALL_REDUCE], ESTIMATE)
    known = frame.drop_duplicates(["backend", "arm", "batch", "phase"]).set_index(["backend", "arm", "batch", "phase"])
    rows: list[dict[str, Any]] = []
    for backend, cells in steps.groupby("backend", sort=False):
        base = cells[cells["arm"] == ""]
        for at in cells.index:
            cell = cells.loc[at]
            facts = known.loc[(backend, cell["arm"], cell["batch"], "train")]
            size, whole = int(facts["ranks"]), int(cell["batch"])
            same_batch = base[base["batch"] == whole]
            summed = sums[(sums["backend"] == backend) & (sums["arm"] == cell["arm"]) & (sums["batch"] == whole)]
            one = cells[_of_one_rank(cells) & (cells["threads"] == cell["threads"])]
            rows.append(
                {
                    "backend": backend, "arm": cell["arm"], "rows": whole, "ranks": size,
                    "threads": int(cell["threads"]), "engine": facts["engine"], "hosts": int(facts["hosts"]),
                    "step_s": cell["seconds"], "low_s": cell["low_s"], "high_s": cell["high_s"],
                    **_against(same_batch, cells.loc[[at]], margin),
                    "strong": _first(one[one["batch"] == whole]["seconds"]) / (size * cell["seconds"]),
                    "weak": _first(one[one["batch"] == whole // size]["seconds"]) / cell["seconds"],
                    "sum_share": _first(summed["seconds"]) / cell["seconds"] if size > 1 else 0.0,
                }
            )  # fmt: skip
    table = pd.DataFrame(rows)
    return table.sort_values(["backend", "rows", "ranks", "threads"], kind="stable", ignore_index=True)


def _of_one_rank(cells: pd.DataFrame) -> pd.Series[bool]:
    return (cells["arm"] == "") | cells["arm"].str.startswith("1 rank ")


def _against(base: pd.DataFrame, cell: pd.DataFrame, margin: float) -> dict[str, Any]:
    """Return the speed-up over the base with its interval and verdict."""
    unknown: dict[str, Any] = dict.fromkeys(("speed_up", "speed_up_low", "speed_up_high"), np.nan) | {"verdict": ""}
    if base.empty:
        return unknown
    if base.index[0] == cell.index[0]:
        return dict.fromkeys(("speed_up", "speed_up_low", "speed_up_high"), 1.0) | {"verdict": "base"}
    claims = statistics.ratios(base, cell, margin)
    said = statistics.verdicts(claims, together=False)[0]
    ends = (float(claims.ratio[0]), float(claims.high[0]), float(claims.low[0]))
    return dict(zip(("speed_up", "speed_up_low", "speed_up_high"), (1 / end for end in ends), strict=True)) | {
        "verdict": str(said)
    }


def _first(values: pd.Series[float]) -> float:
    return float(values.iloc[0]) if len(values) else float("nan")
