"""Whether a candidate run is slower than a baseline, proven: the question that continuous integration asks.

Only a proven slow-down fails: the ratio lies beyond the margin, with Holm's method holding the error rate for the whole
grid at 5 %. What is undecided is counted, not failed; more processes decide it. A cell that the baseline timed and the
candidate could not is named as well, and fails: a backend that broke is no faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.names import MARGIN, SLOWER, UNDECIDED
from bench.verdicts import compare, conditions
from bench.verdicts.statistics import CASE

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Gate:
    """What the gate saw.

    Attributes:
        cells: every cell that both runs timed, as `bench.verdicts.compare.between` gives them.
        slower: those of them that are proven slower, the worst first.
        lost: one line for each cell that only the baseline timed, and why.
        undecided: how many could not be decided.
        margin: ratios within it are no slow-down.
    """

    cells: pd.DataFrame
    slower: pd.DataFrame
    lost: tuple[str, ...]
    undecided: int
    margin: float

    @property
    def passed(self) -> bool:
        """Whether nothing is proven slower and nothing was lost."""
        return self.slower.empty and not self.lost


def judge(baseline: pd.DataFrame, candidate: pd.DataFrame, margin: float = MARGIN, force: bool = False) -> Gate:
    """Hold a candidate run against a baseline.

    Raises:
        UsageError: unlike conditions, unless forced; or no cell in common.
    """
    conditions.refuse(conditions.unlike_between(baseline, candidate), force)
    cells = compare.between(baseline, candidate, margin)
    if cells.empty:
        raise UsageError(
            "the two runs have no timed cell in common; give the candidate the baseline's networks, batches, dtypes "
            "and threads: python -m bench run --networks ... --batches ..."
        )
    slower = cells[cells["verdict"] == SLOWER].sort_values("ratio", ascending=False)
    undecided = int((cells["verdict"] == UNDECIDED).sum())
    return Gate(cells, slower, _lost(baseline, candidate), undecided, margin)


def _lost(baseline: pd.DataFrame, candidate: pd.DataFrame) -> tuple[str, ...]:
    """Return the cells that the baseline timed, and the candidate tried in vain."""
    keys = [*CASE, "backend"]
    timed, again = (set(one.loc[one["status"] == "ok", keys].itertuples(index=False)) for one in (baseline, candidate))
    broken = candidate[[cell in timed - again for cell in candidate[keys].itertuples(index=False)]]
    return compare.failures(broken)
