"""Whether a change is slower than its base, proven: the question that continuous integration asks.

The two sides are arms of one run, whose processes took turns, or two runs, which share no turns. Only a proven
slow-down fails: the ratio lies beyond the margin, and Holm's method holds the error rate for the whole grid at 5 %.
Undecided cells are counted and do not fail, unless asked for; more processes decide them. A cell that the base timed
and the change could not fails as well: a backend that broke is no faster.
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench import results
from bench.basics.errors import UsageError
from bench.basics.names import AA, BASE, GATE, MARGIN, OK, SLOWER, UNDECIDED
from bench.machine import machine_id
from bench.verdicts import compare, conditions
from bench.verdicts.certify import recorded
from bench.verdicts.estimates import CASE, ESTIMATE
from bench.verdicts.student import quantile

if TYPE_CHECKING:
    import pandas as pd


NEWEST = 5
"""Runs of this machine that are looked through for its noise."""


@dataclass(frozen=True)
class Gate:
    """What the gate saw.

    Attributes:
        cells: every cell that both runs timed, as `bench.verdicts.compare.between` gives them.
        slower: those of them that are proven slower, the worst first.
        lost: one line for each cell that only the baseline timed, and why.
        undecided: how many could not be decided.
        margin: ratios within it are no slow-down.
        failing: verdicts that fail.
        without_base: one line for each cell that only the change timed, and why; they do not fail.
    """

    cells: pd.DataFrame
    slower: pd.DataFrame
    lost: tuple[str, ...]
    undecided: int
    margin: float
    failing: tuple[str, ...] = (SLOWER,)
    without_base: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no cell has a verdict that fails and none was lost."""
        return not (self.lost or self.cells["verdict"].isin(self.failing).any())

    @property
    def detectable(self) -> float:
        """The slow-down that is found in nine of ten cells, as a share: from the median of their intervals."""
        return detectable(float(np.median(np.log(self.cells["high"] / self.cells["low"]))) / 2, self.margin)


def baseline(text: str, root: Path | None = None) -> results.Run:
    """Return the newest run that was saved as a baseline of this name, else the run that the text means.

    Raises:
        UsageError: there is neither.
    """
    named = [run for run in results.runs(root) if run.manifest.get("purpose") == GATE and run.label == text]
    saved = [run for run in named if not run.manifest["plan"].get("against")]
    if saved:
        return saved[-1]
    try:
        return results.resolve(text, root)
    except UsageError as error:
        if text == "latest":
            raise
        raise UsageError(f"{error}; save one: python -m bench gate --save-baseline {shlex.quote(text)}") from None


def detectable(half_width: float, margin: float = MARGIN) -> float:
    """Return the slow-down that nine of ten comparisons find, as a share.

    Args:
        half_width: of the 95 % interval of a log ratio, which is about two standard errors.
        margin: a slow-down must lie beyond it with the whole interval.
    """
    return math.exp(math.log1p(margin) + half_width * (1 + 1.2816 / 1.96)) - 1


def expected(processes: int, margin: float = MARGIN, root: Path | None = None) -> float | None:
    """Return the slow-down that ``processes`` on each side should find in nine of ten cells, as a share.

    From how, lap by lap, a backend scattered against its own copy, or against its base, in the newest run of this
    machine that has either; ``None`` if there is no such run.
    """
    here = [run for run in results.runs(root) if run.machine == machine_id()]
    for run in reversed(here[-NEWEST:]):
        frame = results.load(run, root=root)
        scatters = [
            noise.differences.var(axis=1, ddof=1)
            for twin in (AA, BASE)
            for noise in recorded(frame, ESTIMATE, twin)
            if noise.differences.shape[1] > 1
        ]
        if scatters:
            error = math.sqrt(float(np.mean(np.concatenate(scatters))) / processes)
            return detectable(float(quantile(0.975, max(processes - 1, 1))) * error, margin)
    return None


def judge(
    baseline: pd.DataFrame,
    candidate: pd.DataFrame,
    margin: float = MARGIN,
    force: bool = False,
    failing: tuple[str, ...] = (SLOWER,),
) -> Gate:
    """Hold a candidate run against a baseline run.

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
    return _gate(cells, (baseline, candidate), margin, failing)


def judge_arms(
    frame: pd.DataFrame, base: str, margin: float = MARGIN, failing: tuple[str, ...] = (SLOWER,), change: str = ""
) -> Gate:
    """Hold the arm ``change`` of a run, the ordinary one by default, against the arm called ``base``.

    Raises:
        UsageError: the base could not be measured at all.
    """
    sides = {arm: frame[frame["arm"] == arm].assign(arm="") for arm in (base, change)}
    cells = compare.between_arms(frame, base, margin, change)
    if cells.empty and not (sides[base]["status"] == OK).any():
        why = next(iter(compare.failures(sides[base])), "it has no rows")
        raise UsageError(f"the base could not be measured: {why}; give another with --against or --python-base")
    return _gate(cells, (sides[base], sides[change]), margin, failing)


def _gate(
    cells: pd.DataFrame, sides: tuple[pd.DataFrame, pd.DataFrame], margin: float, failing: tuple[str, ...]
) -> Gate:
    before, after = sides
    slower = cells[cells["verdict"] == SLOWER].sort_values("ratio", ascending=False)
    undecided = int((cells["verdict"] == UNDECIDED).sum())
    return Gate(cells, slower, _lost(before, after), undecided, margin, failing, _lost(after, before))


def _lost(timing: pd.DataFrame, other: pd.DataFrame) -> tuple[str, ...]:
    """Return the cells that one side timed, and the other tried in vain."""
    keys = [*CASE, "backend"]
    timed, again = (set(side.loc[side["status"] == "ok", keys].itertuples(index=False)) for side in (timing, other))
    broken = other[[cell in timed - again for cell in other[keys].itertuples(index=False)]]
    return compare.failures(broken)
