"""Each backend with the number of threads that suits a cell best, so that backends are compared at their best.

Tests: `tests/bench/verdicts/test_thread_choice.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.basics.names import FASTER, MARGIN, SLOWER, TIE
from bench.verdicts import statistics
from bench.verdicts.estimates import CASE

if TYPE_CHECKING:
    import pandas as pd

CELL = [name for name in CASE if name != "threads"]
OF_BACKEND = [*CELL, "backend", "arm"]
"""What a backend's numbers of threads are chosen within."""


def choose(
    estimates: pd.DataFrame, margin: float = MARGIN, rate: float = statistics.RATE
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return each backend of a cell with its best number of threads, and with every number that may be the best.

    The best number is the largest that was measured, unless a smaller one is proven faster.

    Args:
        estimates: rows of `bench.verdicts.statistics.cell_estimates`.
        margin: of equivalence.
        rate: of errors.

    Returns:
        One row a cell and backend, with ``best_threads`` and ``tried_threads`` (list); its ``threads`` are the most of
        the table, so that the rows of a cell are one case. Then the rows of all numbers that are not proven slower.
    """
    rows = estimates.sort_values("threads", ascending=False, kind="stable")
    groups = rows.groupby(OF_BACKEND, sort=False)
    largest = rows.loc[groups["threads"].transform("idxmax")]
    fewer = rows["threads"].to_numpy() < largest["threads"].to_numpy()
    verdict = np.full(len(rows), TIE, object)
    if fewer.any():
        verdict[fewer] = statistics.verdicts(statistics.ratios(largest[fewer], rows[fewer], margin), rate=rate)
    rows = rows.assign(verdict_of_threads=verdict)
    beaten = ~fewer & (rows["verdict_of_threads"] == FASTER).groupby([rows[key] for key in OF_BACKEND]).transform("any")
    possible = rows[(verdict != SLOWER) & ~beaten]
    ahead = possible[(possible["verdict_of_threads"] == FASTER) | ~fewer[(verdict != SLOWER) & ~beaten]]
    best = ahead.sort_values("log_s", kind="stable").drop_duplicates(OF_BACKEND).sort_index()
    tried = {key: sorted(set(of_backend["threads"])) for key, of_backend in groups}
    keys = best[OF_BACKEND].itertuples(index=False, name=None)
    best = best.assign(best_threads=best["threads"], tried_threads=[tried[key] for key in keys])
    if len(best):
        best["threads"] = int(estimates["threads"].max())
    return best.drop(columns="verdict_of_threads"), possible.drop(columns="verdict_of_threads").sort_index()
