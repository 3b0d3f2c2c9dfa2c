"""What `bench.verdicts.compare` found, as tables and sentences for a terminal.

Tests: `tests/bench/cli/test_decision_commands.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.text import Text

from bench.basics.formats import (
    counted,
    format_count,
    format_number,
    format_percent,
    format_ratio,
    format_seconds,
)
from bench.basics.names import FASTEST, NONE_FASTER, NOT_FASTER
from bench.terminal.terminal import Column, named, table
from bench.terminal.versus import versus
from bench.verdicts.compare import Comparison

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

WHERE = ["dtype", "device", "threads", "phase"]


def one_run(
    comparison: Comparison, jobs: pd.DataFrame | None = None, brief: bool = False, wide: bool = True
) -> Iterator[Table | Text | str]:
    """Yield the map from rows to backend for a step, that for whole jobs, then for each network its table and chart.

    Args:
        comparison: the comparison.
        jobs: who ends whole jobs first, as `bench.advice.overview.fastest_for_jobs` returns it.
        brief: only the maps.
        wide: whether the terminal has room for charts.
    """
    steps = comparison.best if len(comparison.best) else comparison.winners
    for fastest in (steps, jobs):
        if fastest is not None and len(fastest):
            for where, of_network in fastest.groupby(WHERE, sort=False):
                yield batch_map(of_network, where)
                yield ""
    if len(comparison.best):
        yield "Each backend with its best number of threads, which is given if it is not the most that was tried."
        yield ""
    for where, _ in () if brief else comparison.winners.groupby(WHERE, sort=False):
        rows = comparison.rows[(comparison.rows[WHERE] == list(where)).all(axis=1)]
        for network, of_network in rows.groupby("network", sort=False):
            yield _network_table(str(network), of_network, where)
            yield ""
            if wide and of_network["batch"].nunique() > 2:
                lines = {
                    str(name): dict(zip(line["batch"], line["to_fastest"], strict=True))
                    for name, line in of_network.groupby("backend", sort=False)
                }
                yield versus(lines, f"{network}: {_call(where)}, ratio to the fastest, by batch (log scales)")
                yield ""


def batch_map(fastest: pd.DataFrame, where: Any) -> Table:
    """Return the short map: for each network, the backend of each range of batches."""
    rows = []
    for network, of_network in fastest.groupby("network", sort=False):
        name = str(network)
        for first, last, text in _ranges(of_network.sort_values("batch")):
            span = format_count(first) if first == last else f"{format_count(first)} to {format_count(last)}"
            rows.append((name, span, text))
            name = ""
    return table(
        ["network", ("rows of a batch", "right"), "fastest backend"],
        rows,
        title=f"{_call(where)}, {_on(where, _tried(fastest))}",
    )


def trust(comparison: Comparison) -> str:
    """Return how far to trust the verdicts: margin, number of comparisons, the run's A/A rate; then cells without a
    time.
    """
    lines = [
        f"tie: within {100 * comparison.margin:.3g} %; not faster: not by more than that. Both hold at 95 % each, as",
        f"intervals do; differences at 95 % for all {comparison.pairs} comparisons together (Holm).",
        _precision(comparison.rows),
    ]
    if (chance := comparison.chance) is None:
        lines.append("No A/A arm timed these cells, so chance was not measured; see run --aa BACKEND.")
    else:
        lines.append(
            f"A/A: {chance.backend} against itself was called different in {chance.different} of "
            f"{chance.comparisons} comparisons ({format_percent(chance.rate)})."
        )
    lines += [f"FAILED {line}" for line in comparison.failures]
    return "\n".join(lines)


def _precision(rows: pd.DataFrame) -> str:
    """Return the precision of times and of ratios: half the interval of the median cell."""
    if rows["processes"].max() == 1:
        phases = ",".join(rows["phase"].unique())
        command = f"python -m bench run --phases {phases}"
        return f"One process of each shows no scatter, so nothing is decided. To decide: {command}"
    behind = rows[rows["to_fastest_high"] > rows["to_fastest_low"]]
    times = float(np.sqrt(rows["high_s"] / rows["low_s"]).median() - 1)
    ratios = float(np.sqrt(behind["to_fastest_high"] / behind["to_fastest_low"]).median() - 1)
    return f"Times are sure to {format_percent(times)}, ratios to {format_percent(ratios)} (half an interval, median)."


def two_runs(changed: pd.DataFrame, margin: float) -> Iterator[Table | str]:
    """Yield what became slower, what became faster, and how many cells did neither."""
    counts = changed["verdict"].value_counts()
    said = [f"{int(counts.get(name, 0))} {name}" for name in ("slower", "faster")]
    yield (
        f"{', '.join(said)}, {int(counts.get('tie', 0))} unchanged within {100 * margin:.3g} %, "
        f"{int(counts.get('undecided', 0))} undecided, of {len(changed)} cells"
    )
    for verdict in ("slower", "faster"):
        rows = changed[changed["verdict"] == verdict].sort_values("ratio", ascending=verdict == "faster")
        if len(rows):
            yield ""
            yield changes_table(rows, verdict)
    yield ""
    if note := shift_note(changed, margin):
        yield note


def shift_note(changed: pd.DataFrame, margin: float) -> str:
    """Return a warning if all cells together became slower or faster, '' if they did not."""
    shift = float(np.exp(np.median(np.log(changed["ratio"]))))
    if len(changed) < 5 or abs(np.log(shift)) <= np.log1p(margin) / 2:
        return ""
    return (
        f"Over all cells the time changed by {format_ratio(shift)} (median): a shift of everything\n"
        "suggests the machine rather than the code. Measure both again, close together."
    )


def changes_table(rows: pd.DataFrame, title: str) -> Table:
    """Return cells with time before and after, their ratio and its interval."""
    several = [key for key in ("dtype", "device", "threads") if rows[key].nunique() > 1]
    columns: list[Column] = ["backend", "network", ("batch", "right"), "phase", *several]
    columns += [("before", "right"), ("after", "right")]
    return table(
        [*columns, ("ratio", "right"), ("95 %", "right")],
        [
            (
                named(row.backend),
                row.network,
                format_count(row.batch),
                row.phase,
                *(str(getattr(row, key)) for key in several),
                format_seconds(row.before_s),
                format_seconds(row.after_s),
                format_ratio(row.ratio),
                interval(row.low, row.high),
            )
            for row in rows.itertuples()
        ],
        title=title,
    )


def interval(low: float, high: float) -> str:
    """Return an interval of ratios: ``1.02..1.10``."""
    return f"{format_number(low)}..{format_number(high)}"


def _network_table(network: str, rows: pd.DataFrame, where: Any) -> Table:
    limits = rows["share_of_limit"].notna().any()
    columns: list[Column] = [("batch", "right"), "backend", ("time", "right"), ("/fastest", "right"), ("95 %", "right")]
    columns += [("/numpy", "right"), "verdict", *([("limit", "right")] if limits else [])]
    cells, last = [], None
    for row in rows.sort_values(["batch", "seconds"]).itertuples():
        share = [format_percent(row.share_of_limit)] if limits else []
        cells.append(
            (
                format_count(row.batch) if row.batch != last else "",
                named(row.backend),
                format_seconds(row.seconds),
                format_number(row.to_fastest),
                interval(row.to_fastest_low, row.to_fastest_high) if row.to_fastest_high > 1 else "",
                format_number(row.to_numpy),
                row.verdict,
                *share,
            )
        )
        last = row.batch
    return table(columns, cells, title=f"{network}, {_call(where)}, {_on(where)}")


def _ranges(fastest: pd.DataFrame) -> Iterator[tuple[int, int, Text]]:
    """Yield first and last batch of each stretch with one outcome, and the outcome in words."""
    stretch: list[Any] = []
    for row in fastest.itertuples():
        first, *others = names = [_with_threads(name, row) for name in row.backends]
        text = first if row.outcome == FASTEST else Text.assemble(f"{row.outcome}: ", Text(", ").join(names))
        if row.outcome == NONE_FASTER:
            text = Text.assemble(first, f" ({NOT_FASTER}: ", Text(", ").join(others), ")")
        if row.compared == 1:
            text = Text.assemble(_with_threads(row.backends[0], row), " (alone)")
        if stretch and stretch[2] == text:
            stretch[1] = row.batch
            continue
        if stretch:
            yield tuple(stretch)
        stretch = [row.batch, row.batch, text]
    if stretch:
        yield tuple(stretch)


def _with_threads(backend: str, row: Any) -> Text:
    """Return a backend's name, with the number of threads that it is fastest with if that is not the most tried."""
    best = getattr(row, "best_threads", {}).get(backend)
    if best is None or best == max(row.tried_threads):
        return named(backend)
    return Text.assemble(named(backend), f" with {counted(best, 'thread')}")


def _tried(fastest: pd.DataFrame) -> list[int]:
    """Return the numbers of threads that were tried in any of some cells."""
    return sorted(set().union(*fastest["tried_threads"])) if "tried_threads" in fastest else []


def _call(where: Any) -> str:
    phase = where[WHERE.index("phase")]
    return {"step": "one step", "train": "one step inside train"}.get(str(phase), str(phase))


def _on(where: Any, tried: Sequence[int] = ()) -> str:
    dtype, device, threads, _ = where
    if len(tried) > 1:
        return f"{dtype}, {device}, {' or '.join(map(str, tried))} threads"
    return f"{dtype}, {device}, {counted(threads, 'thread')}"
