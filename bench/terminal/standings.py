"""Standings against limit, idiom and peers as tables for a terminal, 80 columns.

Tests: `tests/bench/limits/test_limits.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from rich.table import Table

from bench.limits.corrections import Correction
from bench.limits.placing import Placing
from bench.limits.standings import SHORTEST_LIMIT_S, Standing
from bench.terminal import terminal

LIMITS = "python -m bench limits"
OWN_ROLES = ("best", "plugin")


def tables(standings: Sequence[Standing], everyone: bool = False) -> Iterator[Table]:
    """Yield a table for each case: time, share of the limit, ratio to the idiom and to the best peer."""
    for _, group in groupby(standings, key=lambda standing: (standing.dtype, standing.case)):
        yield _table(list(group), everyone)


def _table(standings: Sequence[Standing], everyone: bool) -> Table:
    case, dtype, limit, peer = standings[0].case, standings[0].dtype, standings[0].limit, standings[0].peer
    title = f"{case.network}, {terminal.format_count(case.batch)} rows, {dtype}, {case.phase}"
    if standings[0].device != "cpu":
        title += f" on {standings[0].device}"
    if limit is not None:
        title += f": limit {terminal.format_seconds(limit.seconds)} ({limit.binds})"
    shown = [standing for standing in standings if everyone or standing.role in OWN_ROLES or standing.seconds is None]
    rows = [
        (
            terminal.named(standing.backend),
            terminal.format_seconds(standing.seconds) if standing.seconds is not None else "failed",
            _percent(standing.share),
            terminal.format_seconds(standing.idiom_s),
            terminal.format_ratio(standing.times_idiom),
            terminal.format_ratio(standing.times_peer) if standing.role in OWN_ROLES else "-",
        )
        for standing in shown
    ]
    names = ("time", "of limit", "idiom", "vs idiom", "vs best peer")
    columns = [("backend", "left"), *((name, "right") for name in names)]
    caption = f"best peer: {peer[0]}, {terminal.format_seconds(peer[1])}" if peer else ""
    return terminal.table(columns, rows, title=title, caption=caption)


def remarks(standings: Sequence[Standing], known: bool, corrections: Sequence[Correction]) -> Iterator[str]:
    """Yield what a reader must know: failures, limits that were beaten, limits that are not known.

    Args:
        standings: those shown.
        known: whether ceilings were measured.
        corrections: the limits that a time has beaten.
    """
    told = set()
    for standing in standings:
        if standing.seconds is None and (line := f"{standing.backend}: {standing.reason}") not in told:
            told.add(line)
            yield f"FAILED {line}"
    yield from map(str, corrections)
    if not known:
        yield f"limits are not known: no ceilings were measured with this run; measure again: {LIMITS}"
    elif any(standing.limit and standing.limit.seconds < SHORTEST_LIMIT_S for standing in standings):
        shortest = terminal.format_seconds(SHORTEST_LIMIT_S)
        yield f"no share of a limit below {shortest}: a call's own cost is all there is to see"
    yield "idiom: the same framework as its documentation writes it; 2x: twice as fast"


def placings(placings: Sequence[Placing]) -> Table:
    """Return a table of what placing took, relative to copies of the same arrays."""
    columns = [("network", "left"), ("dtype", "left"), ("backend", "left")]
    columns += [(name, "right") for name in ("time", "vs fresh copy", "vs mapped copy")]
    rows = [
        (
            placing.network,
            placing.dtype,
            placing.backend,
            terminal.format_seconds(placing.seconds),
            terminal.format_ratio(placing.times_fresh),
            terminal.format_ratio(placing.times_mapped),
        )
        for placing in placings
    ]
    count = terminal.format_count(placings[0].rows)
    return terminal.table(columns, rows, title=f"placing {count} rows, next to a copy into fresh and mapped memory")


def targets(standings: Sequence[Standing]) -> Iterator[Table]:
    """Yield a table for each dtype of what was set and what was reached; a case is named once."""
    from bench.limits.targets import judge

    for dtype, of_dtype in groupby(judge(standings), key=attrgetter("dtype")):
        rows: list[tuple[str, ...]] = []
        named = ""
        for verdict in of_dtype:
            case = "" if verdict.case == named else verdict.case
            rows.append((case, verdict.backend, verdict.goal, verdict.reached, verdict.verdict))
            named = verdict.case
        title = f"targets, {dtype}"
        yield terminal.table(["case", "backend", "target", ("reached", "right"), "met"], rows, title=title)


def targets_out_of_reach(standings: Sequence[Standing]) -> Iterator[str]:
    """Yield a line for each target that is below what this machine allows."""
    from bench.limits.targets import judge

    for verdict in judge(standings):
        if verdict.out_of_reach:
            least = terminal.format_seconds(verdict.least)
            yield f"out of reach here: {verdict.case}, {verdict.goal}: the machine's limit is {least}"


def targets_elsewhere(standings: Sequence[Standing]) -> str:
    """Return a line for the targets of a GPU if none of these was measured on one, else ''."""
    from bench.limits.targets import TARGETS

    count = sum(target.device == "cuda" for target in TARGETS)
    if any(standing.device == "cuda" for standing in standings):
        return ""
    return f"{count} more targets are for a GPU, and not yet measured; on a machine with one: python -m bench gpu"


def _percent(share: float | None) -> str:
    return terminal.format_percent(share)
