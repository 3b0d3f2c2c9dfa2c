"""What a map of answers says in words: along the batch, along the steps, and how sure.

Tests: `tests/bench/report/test_sentences.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from bench.advice.crossover import Change
from bench.basics.formats import counted, format_count
from bench.report.answers import MIDDLE_STEPS, Cell
from bench.report.outlook import Outlook


def sentence(outlook: Outlook) -> str:
    """Return two or three sentences: along the batch, along the steps, and how sure."""
    parts = [along_batch(outlook), along_steps(outlook), proven(outlook.cells)]
    return " ".join(part for part in parts if part)


def along_batch(outlook: Outlook) -> str:
    """Return which backend ends `MIDDLE_STEPS` steps first, from batch to batch."""
    case = f"For {format_count(MIDDLE_STEPS)} steps"
    changes = outlook.batch_changes
    if not changes:
        return f"{case}, {_unchanged([cell for cell in outlook.cells if cell.steps == MIDDLE_STEPS])}."
    stretches = [
        f"{change.before} up to {interval(change)}{' rows' if not k else ''}" for k, change in enumerate(changes)
    ]
    return f"{case}, the best is {', '.join(stretches)}, then {changes[-1].after}."


def _unchanged(cells: Sequence[Cell]) -> str:
    """Return what is said of cells along which no backend comes ahead of the first cell's best by more than the margin.

    Within the margin others may be ahead of it; the map names the one that is ahead in each cell.
    """
    ahead = list(dict.fromkeys(cell.totals[0].backend for cell in sorted(cells, key=lambda cell: cell.batch)))
    if len(ahead) > 1:
        return f"{ahead[0]} leads or is within the margin of the leader {_span(cells)}"
    sure = all(cell.verdict == "fastest" for cell in cells)
    return f"{ahead[0]} {'is fastest' if sure else 'leads'} {_span(cells)}"


def along_steps(outlook: Outlook) -> str:
    """Return which backends overtake others as the steps grow, at the middle batch."""
    batches = sorted(outlook.step_changes)
    batch = batches[len(batches) // 2]
    changes = [change for change in outlook.step_changes[batch] if change.at > 1]
    if not changes:
        return ""
    said = [f"{change.after} overtakes {change.before} after {interval(change)} steps" for change in changes]
    return f"At {counted(batch, 'row')}, {'; '.join(said)}."


def proven(cells: Sequence[Cell]) -> str:
    """Return how many answers of the map are proven, and in which way, and how many are open."""
    counts = Counter(str(cell.verdict) for cell in cells)
    if counts["fastest"] == len(cells):
        return (
            "The answer on the map is proven."
            if len(cells) == 1
            else f"All {len(cells)} answers on the map are proven."
        )
    kinds = (
        ("fastest", "proven fastest"),
        ("tie", "proven equal"),
        ("none faster", "proven as good as any"),
        ("undecided", "undecided"),
    )
    said = ", ".join(f"{counts[kind]} {words}" for kind, words in kinds if counts[kind])
    return f"{counted(len(cells), 'answer')} on the map: {said}."


def interval(change: Change) -> str:
    """Return the place of a change with its 95 % interval, of three digits: ``1,030 [694 to 2,000]``."""
    low = _whole(change.low) if change.low > 0 else "below"
    high = _whole(change.high) if math.isfinite(change.high) else "beyond"
    return f"{_whole(change.at)} [{low} to {high}]"


def _whole(count: float) -> str:
    """Return a count without a fraction, of three digits at most: nobody has a tenth of a row."""
    return format_count(round(float(f"{count:.2e}")))


def _span(cells: Sequence[Cell]) -> str:
    batches = sorted(cell.batch for cell in cells)
    if len(batches) == 1:
        return f"at {counted(batches[0], 'row')}"
    return f"at every batch from {format_count(batches[0])} to {format_count(batches[-1])} rows"
