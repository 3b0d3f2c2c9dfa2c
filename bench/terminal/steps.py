"""The steps of stored runs as text: which cell, at which run and commit, from what to what.

Tests: `tests/bench/verdicts/test_history.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench.basics.formats import counted, format_ratio, format_seconds
from bench.terminal.terminal import table
from bench.terminal.wrapping import wrap

if TYPE_CHECKING:
    from rich.table import Table

    from bench.verdicts.history import Step


def history(steps: Sequence[Step], runs: int, cells: int, machine: str, several: int) -> Iterator[Table | str]:
    """Yield the parts of the answer.

    Args:
        steps: the steps to show.
        runs: how many runs of this machine there are.
        cells: how many cells they have together.
        machine: its id.
        several: cells that enough runs have for a step to show.
    """
    often = f"{several} of them timed in four runs or more"
    yield f"{counted(runs, 'run')} of {machine}, {counted(cells, 'cell')}, {often}."
    if not several:
        yield wrap(
            "A time that stepped can be told from chance once two runs before it and two after it timed the cell. "
            "Measure again later: python -m bench run --quick"
        )
        return
    if not steps:
        yield "No cell stepped by more than the margin, as far as is proven."
        return
    columns = [("cell", "left"), ("since run", "left"), ("commit", "left"), ("from", "right"), ("to", "right")]
    rows = [
        (
            str(step.name),
            step.run,
            step.commit[:9],
            format_seconds(step.before_s),
            f"{format_seconds(step.after_s)} ({format_ratio(step.ratio)})",
        )
        for step in sorted(steps, key=lambda step: -abs(step.ratio - 1))
    ]
    yield table(columns, rows)
