"""Each backend of a case against the fastest of it, the whole grid weighed together. No files, no formatting.

These are multiple comparisons with the best: of the K backends of a case, K - 1 pairs are weighed. Which backend is the
fastest was chosen by the estimates that are then compared, and that choice needs no further pairs. A verdict *slower*
is false only if the true ratio of a pair is within the margin, and its error rate is largest on the edge. With `a` of K
backends on the fast side of that edge and `K - a` on the other, at most `a (K - a)` pairs can be called slower by
chance, in one direction each; two-sided p-values that count `K - 1` pairs pay for `2 (K - 1)`, which is as many for up
to seven backends. Source: Hsu, Annals of Statistics 12 (1984) 1136; Holm's method, with its directions, Shaffer,
Annals of Statistics 8 (1980) 1342.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.basics.names import FASTEST, MARGIN, NONE_FASTER, NOT_FASTER, SLOWER, TIE, UNDECIDED
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
        ``to_fastest_high`` (ratios of times, 95 %) and ``verdict``: that of `behind_fastest`, and for the first of a
        case its `outcome`; the number.
    """
    case = estimates.groupby(CASE, sort=False).ngroup()
    rows = estimates.assign(case=case).sort_values(["case", "log_s"], ignore_index=True)
    first = (~rows["case"].duplicated()).to_numpy()
    starts = np.flatnonzero(first)
    behind = np.flatnonzero(~first)
    fastest = starts[np.cumsum(first) - 1][behind]
    ratios = statistics.ratios_side_by_side(rows, fastest, behind, margin)
    to_fastest, verdict = np.ones((3, len(rows))), np.full(len(rows), FASTEST, object)
    to_fastest[:, behind] = ratios.ratio, ratios.low, ratios.high
    verdict[behind] = behind_fastest(ratios, rate)
    for start, end in zip(starts, np.append(starts, len(rows))[1:], strict=True):
        verdict[start] = outcome(rows["backend"].iloc[start:end], verdict[start:end])["outcome"]
    rows["to_fastest"], rows["to_fastest_low"], rows["to_fastest_high"] = to_fastest
    return rows.assign(verdict=verdict), len(behind)


def behind_fastest(ratios: statistics.Ratios, rate: float = statistics.RATE) -> NDArray[np.str_]:
    """Return what is proven of backends by their ratios to the fastest: slower, tie, not faster or undecided.

    A backend that is truly slower than another by more than the margin is called as good as any only if it passes
    against that one too, by the bad luck of half the rate (an intersection-union test; Berger, Technometrics 24 (1982)
    295). Several such backends are several chances: with three of four on the edge, where chances are largest, 3 % of
    cases are wrong by trial, of the 5 % that may be.
    """
    judged = statistics.verdicts(ratios, rate=rate)
    not_faster = np.nan_to_num(ratios.p_not_faster, nan=1.0) <= rate
    return np.where(np.isin(judged, (SLOWER, TIE)), judged, np.where(not_faster, NOT_FASTER, UNDECIDED))


def outcome(backends: Iterable[str], verdicts: Iterable[str]) -> dict[str, object]:
    """Return who won a case, from the verdict of each backend against the fastest, which comes first.

    It is ``fastest`` if every other is proven slower, ``tie`` if all the rest are proven equal, ``none faster`` if they
    are at least proven not to be faster, and ``undecided`` otherwise. ``backends`` are all but those that are slower.
    """
    (fastest, _), *others = zip(backends, verdicts, strict=True)
    rivals = {backend: verdict for backend, verdict in others if verdict != SLOWER}
    proven = set(rivals.values())
    kind = UNDECIDED if UNDECIDED in proven else NONE_FASTER if NOT_FASTER in proven else TIE if proven else FASTEST
    return {"outcome": kind, "backends": [fastest, *rivals], "compared": 1 + len(others)}
