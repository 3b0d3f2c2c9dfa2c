"""What trials of the gate came to, as text.

Tests: `tests/bench/verdicts/test_gate_trials.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.basics.formats import format_percent, format_ratio
from bench.terminal.terminal import Column, table
from bench.terminal.wrapping import wrap
from bench.verdicts.gate_trials import CONDITIONS, FIVE, LEAST_FOUND, MOST_FALSE, SAME, TEN, Rates

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS: list[Column] = ["condition", ("gates", "right"), ("false alarms", "right"), ("10 % found", "right")]
COLUMNS += [("5 % found", "right"), ("5 % called faster", "right"), ("+-", "right"), ("load", "right")]


def line(rates: Rates) -> tuple[str, ...]:
    """Return the rates of one condition as text, a share with what it is of."""
    return (
        rates.condition,
        str(rates.counts[SAME]),
        share(rates.failed[SAME], rates.counts[SAME]),
        share(rates.failed[TEN], rates.counts[TEN]),
        share(rates.failed[FIVE], rates.counts[FIVE]),
        share(rates.faster[FIVE], rates.counts[FIVE]),
        format_percent(rates.half_width) if rates.counts[SAME] else "-",
        f"{rates.load:.1f}" if rates.counts[SAME] else "-",
    )


def share(part: int, of: int) -> str:
    """Return ``1 of 200 (0.5 %)``."""
    return f"{part} of {of} ({format_percent(part / of)})" if of else "-"


def trials(every: Sequence[Rates]) -> Iterator[Table | str]:
    """Yield the verdict on the gate, then the rates of each condition."""
    kept = all(rates.passed for rates in every)
    gates = sum(sum(rates.counts.values()) for rates in every)
    yield f"{'passed' if kept else 'FAILED'}: {gates} gates of three cells each."
    wanted = ("wanted", "", f"<= {100 * MOST_FALSE:.0f} %", f">= {100 * LEAST_FOUND:.0f} %", "", "0", "", "")
    yield table(
        COLUMNS, [*map(line, every), wanted], caption="+-: half an interval of a ratio; load: of the machine; medians"
    )
    for rates in every:
        yield wrap(f"{rates.condition}: {CONDITIONS[rates.condition]}.")


COMMIT_COLUMNS: list[Column] = ["commit", "what it says", "backends", ("slower", "right"), ("faster", "right")]
COMMIT_COLUMNS += [("unchanged", "right"), ("undecided", "right"), "most changed"]


def commit_line(outcome: Mapping[str, Any]) -> tuple[str, ...]:
    """Return one commit as text: its cells by verdict, and the one whose time changed most."""
    head = outcome["commit"][:9], outcome["subject"], ", ".join(outcome["backends"])
    if outcome["fault"]:
        return (*head, "-", "-", "-", "-", f"not gated: {outcome['fault']}")
    most = max(outcome["changed"], key=lambda cell: max(cell["ratio"], 1 / cell["ratio"]), default=None)
    cell = f"{most['backend']} {most['network']} n={most['batch']}: {format_ratio(most['ratio'])}" if most else ""
    lost = f"{len(outcome['lost'])} lost" if outcome["lost"] else ""
    counts = (str(outcome[kind]) for kind in ("slower", "faster", "tie", "undecided"))
    return (*head, *counts, ", ".join(filter(None, (lost, cell))))


def commits(outcomes: Sequence[Mapping[str, Any]]) -> Iterator[Table | str]:
    """Yield a line for each commit that was gated against its parent, without what the commit says."""
    lines = [commit_line(outcome) for outcome in outcomes]
    yield table([COMMIT_COLUMNS[0], *COMMIT_COLUMNS[2:]], [(line[0], *line[2:]) for line in lines])
