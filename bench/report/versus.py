"""Ratio to the fastest against batch, one mark a backend, drawn with characters, at most 80 columns wide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bench.report.formats import format_count, format_ratio

MARKS = "ox+*#@%&"
WIDTH, LABEL = 68, 8


def versus(ratios: Mapping[str, Mapping[int, float]], title: str, height: int = 9) -> str:
    """Return a chart of each backend's ratio to the fastest over the batch; '' for fewer than three batches.

    Where several backends fall on one place, the first of ``ratios`` is seen.

    Args:
        ratios: time / time of the fastest, by backend, by rows of the batch.
        title: the line above.
        height: lines of the drawing.
    """
    batches = sorted({batch for line in ratios.values() for batch in line})
    if len(batches) < 3:
        return ""
    high = max(math.log10(max(ratio for line in ratios.values() for ratio in line.values())), 0.05)
    marks = [MARKS[k % len(MARKS)] for k in range(len(ratios))]
    canvas = [[" "] * WIDTH for _ in range(height)]
    for mark, line in reversed(list(zip(marks, ratios.values(), strict=True))):
        for batch, ratio in line.items():
            canvas[round((height - 1) * (1 - math.log10(ratio) / high))][_column(batch, batches)] = mark
    labels = {k: format_ratio(10 ** (high * (1 - k / (height - 1)))) for k in (0, height // 2, height - 1)}
    text = [title, "   ".join(f"{mark} {name}" for mark, name in zip(marks, ratios, strict=True))]
    text += [f"{labels.get(k, ''):>{LABEL}} |{''.join(row)}".rstrip() for k, row in enumerate(canvas)]
    text += [" " * (LABEL + 1) + "+" + "-" * WIDTH, f"{'rows':>{LABEL}}  {_axis(batches)}"]
    return "\n".join(text)


def _column(batch: int, batches: Sequence[int]) -> int:
    span = math.log(batches[-1]) - math.log(batches[0])
    return round((math.log(batch) - math.log(batches[0])) / span * (WIDTH - 1))


def _axis(batches: Sequence[int]) -> str:
    """Return the batches under their marks, as many as fit, the last one always."""
    line, free = [" "] * WIDTH, WIDTH
    for batch in reversed(batches):
        label = format_count(batch)
        start = min(max(0, _column(batch, batches) - len(label) // 2), WIDTH - len(label))
        if start + len(label) <= free:
            line[start : start + len(label)] = label
            free = start - 1
    return "".join(line).rstrip()
