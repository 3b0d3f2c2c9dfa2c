"""The gate's judgement as text: passed or failed first, then the cells.

Tests: `tests/bench/cli/test_decision_commands.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bench.terminal.comparing import changes_table, shift_note
from bench.verdicts.gate import Gate

if TYPE_CHECKING:
    from rich.table import Table

MOST_LINES = 20


def judgement(judged: Gate) -> Iterator[Table | str]:
    """Yield the parts of the judgement."""
    cells, margin = len(judged.cells), f"{100 * judged.margin:.3g} %"
    counts = judged.cells["verdict"].value_counts()
    said = f"{len(judged.slower)} of {cells} cells proven more than {margin} slower"
    if judged.lost:
        said += f", {len(judged.lost)} lost"
    yield f"{'passed' if judged.passed else 'FAILED'}: {said}."
    yield (
        f"{int(counts.get('faster', 0))} faster, {int(counts.get('tie', 0))} unchanged within {margin}, "
        f"{judged.undecided} undecided."
    )
    if len(judged.slower):
        yield ""
        yield changes_table(judged.slower.head(MOST_LINES), "slower")
        if len(judged.slower) > MOST_LINES:
            yield f"and {len(judged.slower) - MOST_LINES} more; all of them with --json"
    for line in judged.lost[:MOST_LINES]:
        yield f"LOST {line}"
    for line in judged.without_base[:MOST_LINES]:
        yield f"NOT COMPARED, the base could not be timed: {line}"
    if judged.undecided:
        half = float(np.median(np.sqrt(judged.cells["high"] / judged.cells["low"]))) - 1
        yield f"Half the intervals are wider than +-{100 * half:.2g} %; more --processes or a quieter machine help."
    if len(judged.cells) and (note := shift_note(judged.cells, judged.margin)):
        yield note
