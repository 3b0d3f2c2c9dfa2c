"""Whether the verdicts keep what they promise, tried on noise that was recorded on this machine.

`record` runs one backend in many fresh processes, all alike. `certify` draws from their blocks, again and again, two
arms that differ by nothing: an interval that misses the ratio 1 is wrong, a verdict faster or slower is a false
positive. Then it plants a slow-down, by multiplying the times of one arm, and sees how often it is found. Everything
else is what `bench.statistics` does for every comparison.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench import statistics
from bench.errors import UsageError
from bench.statistics import CASE, FIGURES, MARGIN

if TYPE_CHECKING:
    import pandas as pd

    from bench.campaign import Progress
    from bench.results import Run

Floats = NDArray[np.float64]

PLANTED = 1.10
MOST_FALSE, LEAST_FOUND, LEAST_COVERED = 0.05, 0.90, 0.90
LABEL = "certify"


class Noise(NamedTuple):
    """Blocks of one backend: ``[cells, blocks]`` of log block figures, and their variances within blocks."""

    backend: str
    logs: Floats
    within: Floats


class Trial(NamedTuple):
    """What one draw of two arms gave, a number a cell: true ratio 1, then the planted one."""

    covered: NDArray[np.bool_]
    different: NDArray[np.bool_]
    found: NDArray[np.bool_]
    found_together: NDArray[np.bool_]
    half_width: Floats


def record(
    backends: tuple[str, ...] = ("numpy",),
    blocks: int = 24,
    budget_s: float = 150.0,
    root: Path | None = None,
    report: Callable[[Progress], None] = lambda _: None,
) -> Run:
    """Measure the same few cells in many fresh processes; return the run."""
    from backends import Network
    from bench import budget, campaign, plan
    from bench.machine import free_bytes, physical_cores

    networks = [Network((3, 2, 1)), Network((8, 32, 1))]
    groups = plan.asked_groups(networks, (1, 1_024, 16_384), ("float32",), ("cpu",), free_bytes())
    made = plan.Plan(groups, ("step", "train"), backends, threads=(len(physical_cores()),), own_cache=False)
    made = budget.fit(made, budget_s, campaign.earlier_pace(root), blocks=blocks)
    run = campaign.create(made, [sys.argv[0], *sys.argv[1:]], LABEL, root)
    campaign.carry_out(run, report)
    return run


def certify(frame: pd.DataFrame, blocks: int, trials: int = 400, margin: float = MARGIN, seed: int = 0) -> pd.DataFrame:
    """Try every block figure of `FIGURES` on recorded noise.

    Args:
        frame: rows of backends of which at least one has twice as many blocks as ``blocks``, both arms together.
        blocks: in each arm of a trial.
        trials: draws of two arms.
        margin: of equivalence.
        seed: of the draws.

    Returns:
        One row a figure: ``figure``, ``blocks``, ``comparisons``, ``false_positives`` (share called different where
        nothing differs, each comparison by itself), ``covered`` (share of 95 % intervals that hold the truth),
        ``found`` (share of planted slow-downs called slower, each by itself), ``found_together`` (under Holm's method
        over the cells of one backend), ``half_width`` (median, as a share).

    Raises:
        UsageError: too few blocks.
    """
    import pandas as pd

    rows = []
    for figure in FIGURES:
        rng = np.random.default_rng(seed)
        noises = [noise for noise in recorded(frame, figure) if noise.logs.shape[1] >= 2 * blocks]
        if not noises:
            most = max((noise.logs.shape[1] for noise in recorded(frame, figure)), default=0)
            raise UsageError(
                f"two arms of {blocks} blocks need {2 * blocks} blocks of one backend, this run has {most}; "
                f"ask for fewer with --blocks, or record more: python -m bench certify"
            )
        tried = [trial for _ in range(trials) for trial in _draws(noises, blocks, margin, rng)]
        joined = Trial(*(np.concatenate(part) for part in zip(*tried, strict=True)))
        rows.append(
            {
                "figure": figure,
                "blocks": blocks,
                "comparisons": len(joined.covered),
                "false_positives": float(joined.different.mean()),
                "covered": float(joined.covered.mean()),
                "found": float(joined.found.mean()),
                "found_together": float(joined.found_together.mean()),
                "half_width": float(np.median(joined.half_width)),
            }
        )
    return pd.DataFrame(rows)


def recorded(frame: pd.DataFrame, figure: str) -> Iterator[Noise]:
    """Yield the noise of each backend: cells that every one of its blocks has, both arms taken as one."""
    good = frame[(frame["status"] == "ok") & (frame[figure] > 0)]
    for backend, own in good.groupby("backend", sort=False):
        blocks = own.groupby(["run", "arm", "block"], sort=False).ngroup()
        cells = [cell for _, cell in own.assign(number=blocks).groupby(CASE, sort=False)]
        whole = [cell.sort_values("number") for cell in cells if len(cell) == blocks.nunique()]
        if whole:
            logs = np.array([np.log(cell[figure].to_numpy(float)) for cell in whole])
            yield Noise(str(backend), logs, np.array([statistics.within_blocks(cell, figure) for cell in whole]))


def passed(row: pd.Series[float]) -> bool:
    """Return whether a row of `certify` keeps the promises."""
    return bool(
        row["false_positives"] <= MOST_FALSE and row["covered"] >= LEAST_COVERED and row["found"] >= LEAST_FOUND
    )


def blocks_needed(half_width: float, blocks: int, margin: float = MARGIN) -> int:
    """Return about how many blocks would find the planted slow-down in nine cases of ten, from those of one trial.

    The gap between slow-down and margin must hold the half-width of the interval and 1.28 standard errors besides.
    """
    room = math.log(PLANTED) - math.log1p(margin)
    wanted = room / (1 + 1.28 / 1.96)
    return max(2, math.ceil(blocks * (math.log1p(half_width) / wanted) ** 2))


def _draws(noises: list[Noise], blocks: int, margin: float, rng: np.random.Generator) -> Iterator[Trial]:
    """Draw two arms of each backend and yield what the comparison of one with the other gives."""
    arms = []
    for noise in noises:
        order = rng.permutation(noise.logs.shape[1])[: 2 * blocks]
        for half in (order[:blocks], order[blocks:]):
            arms.append((noise.logs[:, half], noise.within[:, half]))
    between = np.concatenate([logs.var(axis=1, ddof=1) for logs, _ in arms])
    within = np.concatenate([inside.mean(axis=1) for _, inside in arms])
    counts = np.full(len(between), float(blocks))
    variance, dof = statistics.variance_of_means(between, within, counts, float(len(arms) * (blocks - 1)))
    means = np.concatenate([logs.mean(axis=1) for logs, _ in arms])
    edges = np.cumsum([0, *(len(logs) for logs, _ in arms)])
    for k in range(0, len(arms), 2):
        one, two = slice(edges[k], edges[k + 1]), slice(edges[k + 1], edges[k + 2])
        error = np.sqrt(variance[one] + variance[two])
        freedom = (variance[one] + variance[two]) ** 2 / (variance[one] ** 2 / dof[one] + variance[two] ** 2 / dof[two])
        same = statistics.weigh(means[two] - means[one], error, freedom, margin)
        planted = statistics.weigh(means[two] - means[one] + math.log(PLANTED), error, freedom, margin)
        alone = statistics.verdicts(same, together=False)
        yield Trial(
            (same.low <= 1) & (same.high >= 1),
            (alone == statistics.FASTER) | (alone == statistics.SLOWER),
            statistics.verdicts(planted, together=False) == statistics.SLOWER,
            statistics.verdicts(planted) == statistics.SLOWER,
            np.sqrt(same.high / same.low) - 1,
        )
