"""When a cell has been measured enough: the stopping rule of an adaptive campaign.

The rule looks at the data after each lap from the second on, so it must not stop on what the next lap would take back.
It asks for more than the final verdict does: error rates of 1 % a look (`RATE`) instead of 5 %. This is the way of
Haybittle and Peto: looks at a strict level leave the final level nearly as it is. `bench.verdicts.certify` tries it.
A cell whose fastest backend is known to be as good as any stays open, since more laps may prove it the fastest; but it
can wait.
Source: Peto et al., British Journal of Cancer 34 (1976) 585.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, log1p
from typing import TYPE_CHECKING, Any

from bench.basics.names import MARGIN, NONE_FASTER, SLOWER, UNDECIDED
from bench.measure.adaptive import Open, OpenCell
from bench.measure.cell import Cell
from bench.verdicts.estimates import CASE
from bench.verdicts.pairs import against_fastest, outcome
from bench.verdicts.statistics import cell_estimates
from bench.verdicts.thread_choice import CELL, choose, possible

if TYPE_CHECKING:
    import pandas as pd

RATE = 0.01
OPEN = (NONE_FASTER, UNDECIDED)
"""Outcomes that more laps may change."""


def open_cells(records: Sequence[Mapping[str, Any]], margin: float = MARGIN, rate: float = RATE) -> Open:
    """Return the cells that are not decided yet, each with what may still be the fastest.

    If several numbers of threads were measured, each backend takes part with its best. Of a backend that may be the
    fastest, every number that may be its best stays open.

    Args:
        records: of all cells with a time, as a run keeps them.
        margin: of equivalence.
        rate: of errors that one look may make.
    """
    return open_in(frame_of(records), margin, rate)


def frame_of(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return records that a campaign keeps as a table."""
    from bench import results

    return results.table({**record, "run": ""} for record in records)


def open_in(frame: pd.DataFrame, margin: float = MARGIN, rate: float = RATE) -> Open:
    """Return what `open_cells` does, from a table of the records."""
    open_: dict[Cell, OpenCell] = {}
    for _, of_phase in frame[frame["arm"] == ""].groupby("phase", sort=False):
        estimates = cell_estimates(of_phase)
        chosen = choose(estimates, margin)
        rows, _ = against_fastest(chosen, margin, rate)
        numbers = possible(estimates, chosen, margin, rate).groupby([*CELL, "backend"])["threads"].agg(set)
        for case, rivals in rows.groupby(CASE, sort=False):
            kind = str(outcome(rivals["backend"], rivals["verdict"])["outcome"])
            if kind in OPEN:
                where = dict(zip(CASE, case, strict=True))
                contenders = frozenset(
                    (str(backend), int(threads))
                    for backend in rivals["backend"][rivals["verdict"] != SLOWER]
                    for threads in numbers[(*(where[name] for name in CELL), backend)]
                )
                open_[Cell.of(where)] = open_cell(kind, contenders, rivals["to_fastest"].iloc[1], margin)
    return open_


def open_cell(kind: str, contenders: frozenset[tuple[str, int]], second: float, margin: float) -> OpenCell:
    """Return what is open of a cell.

    Args:
        kind: its outcome, ``none faster`` or ``undecided``.
        contenders: that may be the fastest.
        second: time of the second over that of the first.
        margin: of equivalence.
    """
    good = kind == NONE_FASTER
    return OpenCell(contenders, log(second) - (log1p(margin) if good else -log1p(margin)), good)
