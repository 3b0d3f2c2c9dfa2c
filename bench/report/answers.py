"""The first screen: for each network a map of batch and steps to the backend, and a sentence. No statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from backends import Network
from bench.formats import counted, format_seconds
from bench.terminal.palette import look_of

Verdict = Literal["winner", "tie", "undecided", "none"]

SIGNS = {"tie": "=", "undecided": "?"}

MIDDLE_STEPS = 1_000
"""The number of steps that a card shows first."""


class Total(NamedTuple):
    """Total seconds of one backend for one batch and number of steps, with the ends of its 95% interval."""

    backend: str
    seconds: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Cell:
    """One answer of a map.

    Attributes:
        batch: rows.
        steps: how many.
        verdict: whether the first of ``leaders`` is proven fastest, they are proven equal, or neither.
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
        """What stands in the map, on one line or on three, told apart without colour."""
        if self.verdict == "none":
            return ["-"]
        about = "~" if self.estimated else ""
        first, *others = self.leaders
        if self.verdict == "winner":
            return [about + first]
        more = "+" if len(others) > 1 else ""
        return [about + first, SIGNS[self.verdict], others[0] + more]

    @property
    def sentence(self) -> str:
        """The answer in words, with the next best."""
        case = f"{counted(self.batch, 'row')}, {counted(self.steps, 'step')}"
        if self.verdict == "none":
            return f"{case}: nothing measured."
        basis = " Estimated from other batches." if self.estimated else ""
        if self.verdict == "winner":
            best, *others = self.totals
            rest = f", {others[0].seconds / best.seconds:.3g} times as fast as {others[0].backend}" if others else ""
            return f"{case}: {self.leaders[0]} is fastest with {format_seconds(best.seconds)} in all{rest}.{basis}"
        names = _listed(self.leaders)
        said = "tie within the margin" if self.verdict == "tie" else "cannot be told apart with what was measured"
        return f"{case}: {names} {said}.{basis}"


@dataclass(frozen=True)
class Card:
    """One map with its sentence: a run, network, precision, device and state of the compile cache."""

    run: str
    network: str
    dtype: str
    device: str
    threads: int
    cache: str
    sentence: str
    cells: tuple[Cell, ...]

    @property
    def about(self) -> str:
        """Size of the network in words."""
        try:
            network = Network.parse(self.network)
        except ValueError:
            return self.dtype
        hidden = len(network.sizes) - 2
        return f"{counted(hidden, 'hidden layer')}, {counted(network.parameter_count, 'parameter')}, {self.dtype}"

    @property
    def steps(self) -> list[int]:
        """The columns."""
        return sorted({cell.steps for cell in self.cells})

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The map, a row a batch, for the page."""
        made: dict[int, list[dict[str, Any]]] = {}
        for index, cell in enumerate(self.cells):
            looks = [look_of(name).colour for name in cell.leaders[:2]]
            made.setdefault(cell.batch, []).append(
                {
                    "index": index,
                    "verdict": cell.verdict,
                    "estimated": cell.estimated,
                    "lines": cell.lines,
                    "label": cell.sentence,
                    "colours": looks,
                }
            )
        return [{"batch": batch, "cells": cells} for batch, cells in sorted(made.items())]

    @property
    def first(self) -> int:
        """The cell that is shown first: the middle batch at `MIDDLE_STEPS`."""
        batches = sorted({cell.batch for cell in self.cells})
        wanted = (batches[len(batches) // 2], MIDDLE_STEPS)
        return next((k for k, cell in enumerate(self.cells) if (cell.batch, cell.steps) == wanted), 0)

    @property
    def payload(self) -> dict[str, Any]:
        """What the page needs beside the map itself."""
        cells = [
            {"sentence": cell.sentence, "totals": [total._asdict() for total in cell.totals]} for cell in self.cells
        ]
        return {"first": self.first, "cells": cells}


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
