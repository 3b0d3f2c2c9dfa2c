"""Backends side by side within one run, and one run against another. Rows in, rows out; no formatting, no files.

Every pair of backends of a case is compared, also where only the fastest is shown against the rest: which one is the
fastest was chosen by the same figures, and Holm's method over all pairs pays for that choice.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench import statistics
from bench.errors import UsageError
from bench.machine import SAME_CONDITIONS, SAME_EXPERIMENT
from bench.statistics import CASE, MARGIN, SLOWER, TIE, UNDECIDED

if TYPE_CHECKING:
    import pandas as pd

FASTEST = "fastest"
REFERENCE = "numpy"
LimitOf = Callable[[str, int, str, str, int], float | None]
"""Network, batch, dtype, phase, threads -> seconds below which the machine cannot go, ``None`` where unknown."""


@dataclass(frozen=True)
class Chance:
    """A run's own A/A arm: how often two copies of one backend were called different, each comparison by itself."""

    backend: str
    comparisons: int
    different: int

    @property
    def rate(self) -> float:
        """False positives per comparison; NaN where there was none."""
        return self.different / self.comparisons if self.comparisons else float("nan")


@dataclass(frozen=True)
class Comparison:
    """What one run says.

    Attributes:
        rows: one a case and backend: ``CASE``, ``backend``, ``seconds``, ``low_s``, ``high_s`` (95 %), ``blocks``,
            ``to_fastest``, ``to_fastest_low``, ``to_fastest_high``, ``to_numpy`` (ratios of times; NaN without numpy),
            ``verdict`` (fastest, tie, slower, undecided), ``limit_s``, ``share_of_limit`` (NaN where not measured).
        winners: one a case: ``CASE``, ``outcome`` (fastest, tie, undecided), ``backends`` (list; one where it is the
            fastest), ``compared`` (how many backends).
        failures: one line for each distinct cell without a time, and why.
        chance: the A/A arm; ``None`` where the run has none.
        margin: of equivalence.
        pairs: comparisons that Holm's method held together.
    """

    rows: pd.DataFrame
    winners: pd.DataFrame
    failures: tuple[str, ...]
    chance: Chance | None
    margin: float
    pairs: int


def compare(frame: pd.DataFrame, margin: float = MARGIN, limit_of: LimitOf | None = None) -> Comparison:
    """Compare the backends of one run.

    Args:
        frame: rows of one run, as `bench.results.load` gives them, of the phases wanted.
        margin: of equivalence.
        limit_of: the machine's limit, where it was measured.
    """
    import pandas as pd

    figures = statistics.cell_figures(frame)
    chance = a_against_a(figures, margin)
    main = figures[figures["arm"] == ""].reset_index(drop=True)
    pairs = _pairs(main)
    base, other = main.iloc[[i for i, _ in pairs]], main.iloc[[j for _, j in pairs]]
    found = statistics.ratios(base, other, margin)
    verdicts = statistics.verdicts(found)
    by_pair = {pair: k for k, pair in enumerate(pairs)}
    rows, winners = [], []
    for _, case in main.groupby(CASE, sort=False):
        order = case["log_s"].sort_values().index
        first = order[0]
        reference = case.loc[case["backend"] == REFERENCE, "seconds"]
        numpy_s = float(reference.iloc[0]) if len(reference) else float("nan")
        seen = {}
        for i in order:
            ratio, low, high, verdict = 1.0, 1.0, 1.0, FASTEST
            if i != first:
                k = by_pair[(first, i)]
                ratio, low, high = float(found.ratio[k]), float(found.low[k]), float(found.high[k])
                verdict = str(verdicts[k]) if verdicts[k] in (SLOWER, TIE) else UNDECIDED
            row = main.loc[i]
            seen[row["backend"]] = verdict
            limit_s = (
                limit_of(*(row[key] for key in ("network", "batch", "dtype", "phase", "threads"))) if limit_of else None
            )
            rows.append(
                {key: row[key] for key in [*CASE, "backend", "seconds", "low_s", "high_s", "blocks"]}
                | {"to_fastest": ratio, "to_fastest_low": low, "to_fastest_high": high}
                | {"to_numpy": row["seconds"] / numpy_s, "verdict": verdict}
                | {"limit_s": limit_s, "share_of_limit": limit_s / row["seconds"] if limit_s else None}
            )
        winners.append({key: case.iloc[0][key] for key in CASE} | outcome(seen))
        if winners[-1]["outcome"] != FASTEST:
            rows[-len(seen)]["verdict"] = winners[-1]["outcome"]
    made = pd.DataFrame(rows).astype({"limit_s": float, "share_of_limit": float}) if rows else main
    return Comparison(made, pd.DataFrame(winners), failures(frame), chance, margin, len(pairs))


def outcome(verdicts: dict[str, str]) -> dict[str, object]:
    """Return who won a case, from the verdict of each backend against the fastest.

    It is ``fastest`` where every other is proven slower, ``tie`` where the rest of those are proven equal, and
    ``undecided`` where one is neither; ``backends`` are those that may be the best.
    """
    candidates = [name for name, verdict in verdicts.items() if verdict != SLOWER]
    kind = FASTEST if len(candidates) == 1 else TIE
    if any(verdict == UNDECIDED for verdict in verdicts.values()):
        kind = UNDECIDED
    return {"outcome": kind, "backends": candidates, "compared": len(verdicts)}


def between(before: pd.DataFrame, after: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """Compare two runs cell by cell.

    Returns:
        One row a cell that both have: ``CASE``, ``backend``, ``before_s``, ``after_s``, ``ratio``, ``low``, ``high``
        (after / before, 95 %), ``p_value`` (of a difference, after Holm), ``verdict`` (faster, slower,
        tie, undecided).
    """
    keys = [*CASE, "backend"]
    one, two = (
        figures[figures["arm"] == ""].set_index(keys)
        for figures in (statistics.cell_figures(before), statistics.cell_figures(after))
    )
    both = one.index.intersection(two.index, sort=False)
    one, two = one.loc[both], two.loc[both]
    found = statistics.ratios(one, two, margin)
    made = both.to_frame(index=False)
    made["before_s"], made["after_s"] = one["seconds"].to_numpy(), two["seconds"].to_numpy()
    made["ratio"], made["low"], made["high"] = found.ratio, found.low, found.high
    made["p_value"] = statistics.holm(found.p_difference)
    made["verdict"] = statistics.verdicts(found)
    return made


def a_against_a(figures: pd.DataFrame, margin: float = MARGIN) -> Chance | None:
    """Return how often the two arms of one backend were called different."""
    twin = figures[figures["arm"] != ""]
    if twin.empty:
        return None
    keys = [*CASE, "backend"]
    second = twin.set_index(keys)
    first = figures[figures["arm"] == ""].set_index(keys)
    both = second.index.intersection(first.index)
    found = statistics.verdicts(statistics.ratios(first.loc[both], second.loc[both], margin), together=False)
    different = int(np.isin(found, (statistics.FASTER, SLOWER)).sum())
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


def unlike_within(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Return the conditions in which backends of one run differ, with the values of each."""
    return _unlike(frame, [], SAME_CONDITIONS)


def unlike_between(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, list[str]]:
    """Return the conditions in which two runs differ for one backend, with the values of each."""
    import pandas as pd

    return _unlike(pd.concat([before, after], ignore_index=True), ["backend"], SAME_EXPERIMENT)


def refuse(unlike: dict[str, list[str]], force: bool) -> None:
    """Refuse a comparison across unlike conditions, naming the first field that differs.

    Raises:
        UsageError: they differ, and it was not forced.
    """
    if unlike and not force:
        fields = "; ".join(
            f"{name.removeprefix('receipt_')}: {' against '.join(map(repr, values))}" for name, values in unlike.items()
        )
        raise UsageError(f"unlike conditions, so no fair comparison: {fields}; compare all the same with --force")


def _unlike(frame: pd.DataFrame, inside: list[str], fields: Iterable[str]) -> dict[str, list[str]]:
    """Return fields with several values among good rows that agree in ``inside``, device and number of threads.

    A field that a row does not have says nothing.
    """
    good = frame[frame["status"] == "ok"]
    groups = [*inside, "device", "threads"]
    found: dict[str, list[str]] = {}
    for name in fields:
        if name not in good or name in groups:
            continue
        texts = good[name].dropna().astype(str)
        for _, values in texts.groupby([good.loc[texts.index, key] for key in groups], sort=False):
            if values.nunique() > 1:
                found.setdefault(name, list(map(str, values.unique())))
    return found


def _pairs(main: pd.DataFrame) -> Sequence[tuple[int, int]]:
    """Return positions of every two backends of a case, the faster first."""
    pairs = []
    for _, case in main.groupby(CASE, sort=False):
        pairs += list(itertools.combinations(case["log_s"].sort_values().index, 2))
    return pairs
