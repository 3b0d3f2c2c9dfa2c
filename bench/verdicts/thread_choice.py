"""Each backend with the number of threads that suits a cell best, so that backends are compared at their best.

The best number is chosen by the estimates, without proof. So the fastest is chosen among more candidates than there are
backends, which raises the rate of false verdicts a little; `tests/bench/verdicts/test_thread_choice.py` counts them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench.basics.names import MARGIN, SLOWER
from bench.verdicts import statistics
from bench.verdicts.estimates import CASE

if TYPE_CHECKING:
    import pandas as pd

CELL = [name for name in CASE if name != "threads"]
OF_BACKEND = [*CELL, "backend", "arm"]
"""What a backend's numbers of threads are chosen within."""


def choose(estimates: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """Return each backend of a cell with its best number of threads: the largest within the margin of the fastest.

    Args:
        estimates: rows of `bench.verdicts.statistics.cell_estimates`.
        margin: of equivalence.

    Returns:
        One row a cell and backend, with ``best_threads`` and ``tried_threads`` (list); its ``threads`` are the most of
        the table, so that the rows of a cell are one case.
    """
    rows = estimates.sort_values("threads", ascending=False, kind="stable")
    groups = rows.groupby(OF_BACKEND, sort=False)
    near = rows["log_s"] <= groups["log_s"].transform("min") + math.log1p(margin)
    best = rows[near].drop_duplicates(OF_BACKEND).sort_index()
    tried = {key: sorted(set(of_backend["threads"])) for key, of_backend in groups}
    keys = best[OF_BACKEND].itertuples(index=False, name=None)
    best = best.assign(best_threads=best["threads"], tried_threads=[tried[key] for key in keys])
    if len(best):
        best["threads"] = int(estimates["threads"].max())
    return best


def possible(
    estimates: pd.DataFrame, chosen: pd.DataFrame, margin: float = MARGIN, rate: float = statistics.RATE
) -> pd.DataFrame:
    """Return the rows of all numbers of threads that may be the best of their backend: not proven slower than that.

    Args:
        estimates: rows of `bench.verdicts.statistics.cell_estimates`.
        chosen: what `choose` returns for them.
        margin: of equivalence.
        rate: of errors.
    """
    best = chosen.set_index(OF_BACKEND)
    theirs = best.loc[list(estimates[OF_BACKEND].itertuples(index=False, name=None))].reset_index()
    itself = estimates["threads"].to_numpy() == theirs["best_threads"].to_numpy()
    others = estimates[~itself]
    slower = statistics.verdicts(statistics.ratios(theirs[~itself], others, margin), rate=rate) == SLOWER
    return estimates.drop(index=others.index[slower])
