"""Each backend of a case against the fastest of it, every pair of the grid weighed together. No files, no formatting.

Which backend is the fastest was chosen by the estimates that are then compared; Holm's method over all pairs, also
those without the fastest, pays for that choice.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from bench.basics.names import FASTEST, MARGIN, SLOWER, TIE, UNDECIDED
from bench.verdicts import statistics
from bench.verdicts.estimates import CASE

if TYPE_CHECKING:
    import pandas as pd


def against_fastest(
    estimates: pd.DataFrame, margin: float = MARGIN, rate: float = statistics.RATE
) -> tuple[pd.DataFrame, int]:
    """Return each cell together with the fastest of its case, and how many pairs were weighed together.

    Args:
        estimates: rows of `bench.verdicts.statistics.cell_estimates`, one a case and backend.
        margin: of equivalence.
        rate: of errors.

    Returns:
        The rows, case by case, the fastest first, with ``case`` (its number), ``to_fastest``, ``to_fastest_low``,
        ``to_fastest_high`` (ratios of times, 95 %) and ``verdict``: slower, tie or undecided, and for the first of a
        case its `outcome`; the number.
    """
    case = estimates.groupby(CASE, sort=False).ngroup()
    rows = estimates.assign(case=case).sort_values(["case", "log_s"], ignore_index=True)
    first = (~rows["case"].duplicated()).to_numpy()
    spans = list(itertools.pairwise([*np.flatnonzero(first).tolist(), len(rows)]))
    pairs = [pair for span in spans for pair in itertools.combinations(range(*span), 2)]
    base, other = np.array(pairs, int).reshape(-1, 2).T
    ratios = statistics.ratios(rows.iloc[base], rows.iloc[other], margin)
    judged = statistics.verdicts(ratios, rate=rate)
    lead = first[base]
    behind = other[lead]
    to_fastest, verdict = np.ones((3, len(rows))), np.full(len(rows), FASTEST, object)
    to_fastest[:, behind] = ratios.ratio[lead], ratios.low[lead], ratios.high[lead]
    verdict[behind] = np.where(np.isin(judged, (SLOWER, TIE)), judged, UNDECIDED)[lead]
    for start, end in spans:
        verdict[start] = outcome(dict(zip(rows["backend"].iloc[start:end], verdict[start:end], strict=True)))["outcome"]
    rows["to_fastest"], rows["to_fastest_low"], rows["to_fastest_high"] = to_fastest
    return rows.assign(verdict=verdict), len(pairs)


def outcome(verdicts: dict[str, str]) -> dict[str, object]:
    """Return who won a case, from the verdict of each backend against the fastest.

    It is ``fastest`` if every other is proven slower, ``tie`` if the rest of those are proven equal, and
    ``undecided`` if one is neither; ``backends`` are those that may be the best.
    """
    candidates = [name for name, verdict in verdicts.items() if verdict != SLOWER]
    kind = FASTEST if len(candidates) == 1 else TIE
    if any(verdict == UNDECIDED for verdict in verdicts.values()):
        kind = UNDECIDED
    return {"outcome": kind, "backends": candidates, "compared": len(verdicts)}
