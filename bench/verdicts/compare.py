"""Backends side by side within one run, and one run against another. Rows in, rows out; no formatting, no files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.basics.names import FASTER, MARGIN, SLOWER
from bench.verdicts import statistics
from bench.verdicts.estimates import CASE
from bench.verdicts.pairs import against_fastest, outcome
from bench.verdicts.thread_choice import choose

if TYPE_CHECKING:
    import pandas as pd

REFERENCE = "numpy"
LimitOf = Callable[[str, int, str, str, int, str], float | None]
"""Network, batch, dtype, phase, threads -> seconds below which the machine cannot go, ``None`` if unknown."""


@dataclass(frozen=True)
class Chance:
    """A run's own A/A arm: how often two copies of one backend were called different, each comparison by itself."""

    backend: str
    comparisons: int
    different: int

    @property
    def rate(self) -> float:
        """False positives per comparison; NaN if there was none."""
        return self.different / self.comparisons if self.comparisons else float("nan")


@dataclass(frozen=True)
class Comparison:
    """What one run says.

    Attributes:
        rows: one a case and backend, the fastest first: those of `bench.verdicts.statistics.cell_estimates`, and
            ``to_fastest``, ``to_fastest_low``, ``to_fastest_high``, ``to_numpy`` (ratios of times; NaN without numpy),
            ``verdict`` (as in `bench.verdicts.pairs.against_fastest`), ``limit_s``, ``share_of_limit`` (NaN if not
            measured).
        winners: one a case: ``CASE`` and what `bench.verdicts.pairs.outcome` says of it: ``outcome``, ``backends``
            (list; one if it is the fastest), ``compared`` (how many backends).
        failures: one line for each distinct cell without a time, and why.
        chance: the A/A arm; ``None`` if the run has none.
        margin: of equivalence.
        pairs: comparisons that Holm's method held together.
        best: as ``winners``, but each backend with its best number of threads: one a cell, with ``best_threads`` (dict,
            by backend) and ``tried_threads`` (list). Empty if one number of threads was measured.
    """

    rows: pd.DataFrame
    winners: pd.DataFrame
    failures: tuple[str, ...]
    chance: Chance | None
    margin: float
    pairs: int
    best: pd.DataFrame


def compare(frame: pd.DataFrame, margin: float = MARGIN, limit_of: LimitOf | None = None) -> Comparison:
    """Compare the backends of one run.

    Args:
        frame: rows of one run, as `bench.results.load` gives them, of the phases wanted.
        margin: of equivalence.
        limit_of: the machine's limit, if it was measured.
    """
    import pandas as pd

    estimates = statistics.cell_estimates(frame)
    main, pairs = against_fastest(estimates[estimates["arm"] == ""], margin)
    fastest = []
    for _, case in main.groupby(CASE, sort=False):
        won = outcome(case["backend"], case["verdict"])
        fastest.append({key: case.iloc[0][key] for key in CASE} | won)
        numpy_s = case.loc[case["backend"] == REFERENCE, "seconds"].mean()
        main.loc[case.index, "to_numpy"] = case["seconds"] / numpy_s
    main["limit_s"] = [_limit_s(row, limit_of) for _, row in main.iterrows()]
    main["share_of_limit"] = main["limit_s"] / main["seconds"]
    chance = a_against_a(estimates, margin)
    rows = main.drop(columns=statistics.OF_PROCESSES)
    best = with_best_threads(estimates[estimates["arm"] == ""], margin)
    return Comparison(rows, pd.DataFrame(fastest), failures(frame), chance, margin, pairs, best)


def with_best_threads(estimates: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """Return `Comparison.best`, from rows of `bench.verdicts.statistics.cell_estimates` without an A/A arm."""
    import pandas as pd

    if estimates["threads"].nunique() < 2:
        return pd.DataFrame()
    rows, _ = against_fastest(choose(estimates, margin), margin)
    cells = []
    for key, case in rows.groupby(CASE, sort=False):
        threads = {
            "best_threads": dict(zip(case["backend"], map(int, case["best_threads"]), strict=True)),
            "tried_threads": sorted(set().union(*case["tried_threads"])),
        }
        cells.append(dict(zip(CASE, key, strict=True)) | outcome(case["backend"], case["verdict"]) | threads)
    return pd.DataFrame(cells)


def between(before: pd.DataFrame, after: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """Compare two runs cell by cell.

    Returns:
        One row a cell that both have: ``CASE``, ``backend``, ``before_s``, ``after_s``, ``ratio``, ``low``, ``high``
        (after / before, 95 %), ``p_value`` (of a difference, after Holm), ``verdict`` (faster, slower,
        tie, undecided).
    """
    sides = (statistics.cell_estimates(before), statistics.cell_estimates(after))
    earlier, later = (side[side["arm"] == ""] for side in sides)
    return _between(earlier, later, margin)


def between_arms(frame: pd.DataFrame, base: str, margin: float = MARGIN, change: str = "") -> pd.DataFrame:
    """Compare two arms of one run cell by cell: ``change``, the ordinary one by default, with the one called ``base``.

    Their processes took turns, so that a slow spell of the machine hit both alike.

    Returns:
        As `between`, the base first.
    """
    estimates = statistics.cell_estimates(frame)
    return _between(estimates[estimates["arm"] == base], estimates[estimates["arm"] == change], margin)


def _between(before: pd.DataFrame, after: pd.DataFrame, margin: float) -> pd.DataFrame:
    """Compare the cells that two tables of estimates have in common."""
    keys = [*CASE, "backend"]
    first, second = (side.set_index(keys, drop=False) for side in (before, after))
    both = first.index.intersection(second.index, sort=False)
    first, second = first.loc[both], second.loc[both]
    changes = statistics.ratios(first, second, margin)
    rows = both.to_frame(index=False)
    rows["before_s"], rows["after_s"] = first["seconds"].to_numpy(), second["seconds"].to_numpy()
    rows["ratio"], rows["low"], rows["high"] = changes.ratio, changes.low, changes.high
    rows["p_value"] = statistics.holm(changes.p_difference)
    rows["verdict"] = statistics.verdicts(changes)
    return rows


def a_against_a(estimates: pd.DataFrame, margin: float = MARGIN) -> Chance | None:
    """Return how often the two arms of one backend were called different."""
    twin = estimates[estimates["arm"] != ""]
    if twin.empty:
        return None
    keys = [*CASE, "backend"]
    second = twin.set_index(keys, drop=False)
    first = estimates[estimates["arm"] == ""].set_index(keys, drop=False)
    both = second.index.intersection(first.index)
    verdicts = statistics.verdicts(statistics.ratios(first.loc[both], second.loc[both], margin), together=False)
    different = int(np.isin(verdicts, (FASTER, SLOWER)).sum())
    return Chance(str(twin["backend"].iloc[0]), len(both), different)


def failures(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return one line for each distinct cell without a time, with its status and reason."""
    bad = frame[frame["status"] != "ok"]
    lines = (
        f"{row.backend}{' ' + row.arm if row.arm else ''}, {row.network} n={row.batch} {row.dtype} {row.phase}: "
        f"{row.status}{': ' + row.reason if row.reason else ''}"
        for row in bad.itertuples()
    )
    return tuple(dict.fromkeys(lines))


def _limit_s(row: pd.Series[float], limit_of: LimitOf | None) -> float:
    if limit_of is None:
        return float("nan")
    limit_s = limit_of(*(row[key] for key in ("network", "batch", "dtype", "phase", "threads", "device")))
    return float("nan") if limit_s is None else limit_s
