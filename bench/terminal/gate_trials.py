"""What trials of the gate came to, as text.

Tests: `tests/bench/verdicts/test_gate_trials.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench.basics.formats import format_percent
from bench.terminal.terminal import Column, table
from bench.terminal.wrapping import wrap
from bench.verdicts.gate_trials import CONDITIONS, FIVE, LEAST_FOUND, MOST_FALSE, SAME, TEN, Rates

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS: list[Column] = ["condition", ("gates", "right"), ("false alarms", "right"), ("10 % found", "right")]
COLUMNS += [("5 % found", "right"), ("5 % called faster", "right"), ("+-", "right")]


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
    )


def share(part: int, of: int) -> str:
    """Return ``1 of 200 (0.5 %)``."""
    return f"{part} of {of} ({format_percent(part / of)})" if of else "-"


def trials(every: Sequence[Rates]) -> Iterator[Table | str]:
    """Yield the verdict on the gate, then the rates of each condition."""
    kept = all(rates.passed for rates in every)
    gates = sum(sum(rates.counts.values()) for rates in every)
    yield f"{'passed' if kept else 'FAILED'}: {gates} gates of three cells each."
    wanted = ("wanted", "", f"<= {100 * MOST_FALSE:.0f} %", f">= {100 * LEAST_FOUND:.0f} %", "", "0", "")
    yield table(COLUMNS, [*map(line, every), wanted], caption="+-: half an interval of a ratio, median")
    for rates in every:
        yield wrap(f"{rates.condition}: {CONDITIONS[rates.condition]}.")
