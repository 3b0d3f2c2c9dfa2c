"""The first screen: for each network a map of rows and steps to the backend, with its sentence and its totals.

What each answer is comes from `bench.report.outlook`, the sentence of a map from `bench.report.sentences`.

Tests: `tests/bench/report/test_answers.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bench.basics.formats import counted, format_seconds, interval_s
from bench.terminal.palette import look_of
from bench.workload import Workload

Verdict = Literal["fastest", "tie", "none faster", "undecided", "none"]

SIGNS = {"tie": "=", "none faster": "≤", "undecided": "?"}

SAID = {
    "tie": "tie within the margin",
    "undecided": "cannot be told apart with what was measured",
}

MIDDLE_STEPS = 1_000
"""The number of steps that a card shows first."""


class Total(NamedTuple):
    """Total seconds of one backend for one batch and number of steps, with the ends of its 95% interval."""

    backend: str
    total_s: float
    low_s: float | None
    high_s: float | None

    @property
    def text(self) -> str:
        """The total with its interval: ``100 ms [90.0 to 110 ms]``."""
        if self.low_s is None or self.high_s is None:
            return format_seconds(self.total_s)
        return f"{format_seconds(self.total_s)} [{interval_s(self.low_s, self.high_s).replace('..', ' to ')}]"


@dataclass(frozen=True)
class Cell:
    """One answer of a map.

    Attributes:
        batch: rows.
        steps: how many.
        verdict: whether the first of ``leaders`` is proven fastest, they are proven equal, none is faster than the
            first by more than the margin, or nothing of it is proven.
        leaders: the backends between which the answer lies, fastest first.
        totals: every backend, fastest first.
        estimated: whether any of it was not measured for this very batch.
    """

    batch: int
    steps: int
    verdict: Verdict
    leaders: tuple[str, ...]
    totals: tuple[Total, ...]
    estimated: bool = False

    @property
    def lines(self) -> list[str]:
        """What the map shows, on one line or on two, distinct without colour."""
        if self.verdict == "none":
            return ["-"]
        about = "~" if self.estimated else ""
        first, *others = self.leaders
        if self.verdict == "fastest":
            return [about + first]
        other = others[0] if len(others) == 1 else f"{len(others)} more"
        return [about + first, f"{SIGNS[self.verdict]} {other}"]

    @property
    def sentence(self) -> str:
        """The answer in words, with the next best."""
        case = f"{counted(self.batch, 'row')}, {counted(self.steps, 'step')}"
        if self.verdict == "none":
            return f"{case}: nothing measured."
        basis = " Estimated from other batches." if self.estimated else ""
        if self.verdict == "fastest":
            best, *others = self.totals
            rest = f", {others[0].total_s / best.total_s:.3g} times as fast as {others[0].backend}" if others else ""
            return f"{case}: {self.leaders[0]} is fastest with {format_seconds(best.total_s)} in all{rest}.{basis}"
        if self.verdict == "none faster":
            first, *near = self.leaders
            said = f"{'are' if near[1:] else 'is'} not faster than {first} by more than the margin"
            return f"{case}: {_listed(near)} {said}.{basis}"
        return f"{case}: {_listed(self.leaders)} {SAID[self.verdict]}.{basis}"


class Conditions(NamedTuple):
    """What the answers of one map have in common."""

    run: str
    network: str
    dtype: str
    device: str
    threads: int
    cache: str


@dataclass(frozen=True)
class Card:
    """One map with its sentence."""

    conditions: Conditions
    sentence: str
    cells: tuple[Cell, ...]

    @property
    def about(self) -> str:
        """Size of the network in words."""
        try:
            network = Workload.parse(self.conditions.network).network
        except ValueError:
            return self.conditions.dtype
        hidden = counted(len(network.sizes) - 2, "hidden layer")
        return f"{hidden}, {counted(network.parameter_count, 'parameter')}, {self.conditions.dtype}"

    @property
    def steps(self) -> list[int]:
        """The columns."""
        return sorted({cell.steps for cell in self.cells})

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The map, a row a batch, for the page."""
        by_batch: dict[int, list[dict[str, Any]]] = {}
        for index, cell in enumerate(self.cells):
            looks = [look_of(name).colour for name in cell.leaders[:2]]
            by_batch.setdefault(cell.batch, []).append(
                {
                    "index": index,
                    "verdict": cell.verdict,
                    "estimated": cell.estimated,
                    "lines": cell.lines,
                    "label": cell.sentence,
                    "colours": looks,
                }
            )
        return [{"batch": batch, "cells": cells} for batch, cells in sorted(by_batch.items())]

    @property
    def first(self) -> int:
        """The cell that is shown first: the middle batch at `MIDDLE_STEPS`."""
        batches = sorted({cell.batch for cell in self.cells})
        wanted = (batches[len(batches) // 2], MIDDLE_STEPS)
        return next((k for k, cell in enumerate(self.cells) if (cell.batch, cell.steps) == wanted), 0)

    @property
    def payload(self) -> dict[str, Any]:
        """What the page needs in addition to the map itself."""
        cells = [
            {"sentence": cell.sentence, "totals": [{**total._asdict(), "text": total.text} for total in cell.totals]}
            for cell in self.cells
        ]
        return {"first": self.first, "cells": cells}


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
