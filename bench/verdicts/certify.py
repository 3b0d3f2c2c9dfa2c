"""Whether the verdicts keep what they promise, tried on noise that was recorded on this machine.

`record` runs one backend and its own copy side by side in many laps, each of two fresh processes. `certify` draws some
of the laps, again and again, and in each lap swaps the two arms at random, so that their true ratio is 1. An interval
that does not contain 1 is wrong, and a verdict faster or slower is a false positive. Then it plants a slow-down by
multiplying the times of one arm, and counts how often that is found. Everything else is what
`bench.verdicts.statistics` does for every comparison. `certify_rule` does the same under the stopping rule of an
adaptive campaign: the rule is applied after each lap, and a cell that is decided gets no more laps.

Swapping at random would hide an arm that is always slower; `compare.a_against_a` of the same laps would show it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.basics.errors import UsageError
from bench.basics.names import AA, CERTIFICATE, FASTER, MARGIN, SLOWER, UNDECIDED
from bench.results import timed
from bench.verdicts import statistics, stopping
from bench.verdicts.estimates import CASE, ESTIMATE, ESTIMATES, estimates_and_noises, mean_noise
from bench.verdicts.moderation import means

if TYPE_CHECKING:
    import pandas as pd

    from bench.measure.campaign import Progress
    from bench.results import Run

Floats = NDArray[np.float64]

PLANTED = 1.10
MOST_FALSE, LEAST_FOUND, LEAST_COVERED = 0.05, 0.90, 0.90
LAPS = 24
"""That are recorded at least."""


class Noise(NamedTuple):
    """Differences of log process estimates between a backend and its copy, ``[cells, laps]``.

    ``by_turns`` are the variances of these differences by the scatter of the turns, NaN if that is not known.
    """

    backend: str
    differences: Floats
    by_turns: Floats


class Trial(NamedTuple):
    """What one draw of two arms gave, a number a cell: true ratio 1, then the planted one."""

    covered: NDArray[np.bool_]
    different: NDArray[np.bool_]
    found: NDArray[np.bool_]
    found_together: NDArray[np.bool_]
    half_width: Floats


def record(
    backend: str = "numpy",
    processes: int = 5,
    budget_s: float = 150.0,
    root: Path | None = None,
    command: Sequence[str] = (),
    report: Callable[[Progress], None] | None = None,
) -> Run:
    """Measure the same few cells in laps of two fresh processes, enough to draw ``processes`` of them; return the run.

    Raises:
        UsageError: no such backend.
    """
    from backends import Network
    from bench.machine import default_threads
    from bench.measure import campaign, contenders, plan

    contenders.named([backend], ["float32"], ["cpu"])
    networks = [Network((3, 2, 1)), Network((8, 32, 1))]
    groups = plan.asked_groups(networks, (1, 1_024, 16_384), ("float32",), ("cpu",), arms=2)
    cores = (default_threads(),)
    asked = plan.Plan(groups, ("step", "train"), (backend,), aa=backend, threads=cores, own_cache=False)
    return campaign.measure(
        asked,
        CERTIFICATE,
        budget_s=budget_s,
        processes=max(LAPS, 2 * processes),
        command=command,
        root=root,
        report=report or campaign.silent,
    )


def check(processes: int, margin: float) -> None:
    """Refuse a number of processes or a margin with which a trial could find nothing.

    Raises:
        UsageError: says what is needed.
    """
    if processes < 2:
        raise UsageError(f"--processes {processes}: two or more are needed to see how processes scatter")
    if margin >= 0.9 * (PLANTED - 1):
        raise UsageError(
            f"--margin {margin:.0%}: a planted slow-down of {PLANTED - 1:.0%} is no slow-down beyond it; "
            "ask for less, such as 5%"
        )


def certify(
    frame: pd.DataFrame, processes: int, trials: int = 400, margin: float = MARGIN, seed: int = 0
) -> pd.DataFrame:
    """Try every process estimate of `ESTIMATES` on recorded noise.

    Args:
        frame: rows of a run whose A/A arm has at least twice as many laps as ``processes``.
        processes: in each arm of a trial.
        trials: draws of two arms.
        margin: of equivalence.
        seed: of the draws.

    Returns:
        One row an estimate: ``estimate``, ``processes``, ``comparisons``, ``false_positives`` (share called different
        where nothing differs, each comparison by itself), ``covered`` (share of 95 % intervals that hold the truth),
        ``found`` (share of planted slow-downs called slower, each by itself), ``found_together`` (under Holm's method
        over the cells of one backend), ``half_width`` (median, as a share).

    Raises:
        UsageError: too few laps.
    """
    import pandas as pd

    rows = []
    for estimate in ESTIMATES:
        rng = np.random.default_rng(seed)
        recordings = list(recorded(frame, estimate))
        noises = [noise for noise in recordings if noise.differences.shape[1] >= 2 * processes]
        if not noises:
            most = max((noise.differences.shape[1] for noise in recordings), default=0)
            raise UsageError(
                f"draws of {processes} laps need {2 * processes} laps of one backend and its copy, this run has "
                f"{most}; ask for fewer with --processes, or record again: "
                f"python -m bench certify --processes {processes} --budget 300s"
            )
        tried = [trial for _ in range(trials) for trial in _draws(noises, processes, margin, rng)]
        joined = Trial(*(np.concatenate(part) for part in zip(*tried, strict=True)))
        rows.append(
            {
                "estimate": estimate,
                "processes": processes,
                "comparisons": len(joined.covered),
                "false_positives": float(joined.different.mean()),
                "covered": float(joined.covered.mean()),
                "found": float(joined.found.mean()),
                "found_together": float(joined.found_together.mean()),
                "half_width": float(np.median(joined.half_width)),
            }
        )
    return pd.DataFrame(rows)


def certify_rule(
    frame: pd.DataFrame, laps: int, trials: int = 400, margin: float = MARGIN, seed: int = 0
) -> pd.Series[float]:
    """Try the stopping rule on recorded noise: as `certify`, but a cell gets laps only until it is decided.

    Args:
        frame: as `certify` takes it.
        laps: the most that a cell gets.
        trials: draws of two arms.
        margin: of equivalence.
        seed: of the draws.

    Returns:
        The rates as one row of `certify`, and ``laps``: how many a cell without a difference got, on average.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    noises = [noise for noise in recorded(frame, ESTIMATE) if noise.differences.shape[1] >= 2]
    same, planted, used = [], [], []
    for _ in range(trials):
        for noise in noises:
            drawn = rng.choice(noise.differences.shape[1], min(laps, noise.differences.shape[1]), replace=False)
            differences = noise.differences[:, drawn] * rng.choice([-1.0, 1.0], len(drawn))
            by_turns = noise.by_turns[:, drawn]
            ratios, counts = _stopped(differences, by_turns, margin)
            same.append(ratios)
            used.append(counts)
            planted.append(_stopped(differences + math.log(PLANTED), by_turns, margin)[0])
    alone = np.concatenate([statistics.verdicts(ratios, together=False) for ratios in same])
    detected, detected_together = (
        np.concatenate([statistics.verdicts(ratios, together) == SLOWER for ratios in planted])
        for together in (False, True)
    )
    low, high = (np.concatenate([getattr(ratios, end) for ratios in same]) for end in ("low", "high"))
    return pd.Series(
        {
            "comparisons": float(len(alone)),
            "false_positives": float(np.isin(alone, (FASTER, SLOWER)).mean()),
            "covered": float(((low <= 1) & (high >= 1)).mean()),
            "found": float(detected.mean()),
            "found_together": float(detected_together.mean()),
            "half_width": float(np.median(np.sqrt(high / low)) - 1),
            "laps": float(np.concatenate(used).mean()),
        }
    )


def _stopped(differences: Floats, by_turns: Floats, margin: float) -> tuple[statistics.Ratios, NDArray[np.int_]]:
    """Return the ratios of cells that got laps until the stopping rule was content, and how many each got."""
    cells, most = differences.shape
    counts = np.full(cells, min(2, most))
    while True:
        values = [cell[:count] for cell, count in zip(differences, counts, strict=True)]
        noise = [mean_noise(cell[:count]) for cell, count in zip(by_turns, counts, strict=True)]
        mean, variance, dof = means(values, float(counts.max() - 1), noise)
        ratios = statistics.weigh(mean, np.sqrt(variance), dof, margin)
        more = (statistics.verdicts(ratios, rate=stopping.RATE) == UNDECIDED) & (counts < most)
        if not more.any():
            return ratios, counts
        counts = counts + more


def recorded(frame: pd.DataFrame, estimate: str, twin: str = AA) -> Iterator[Noise]:
    """Yield the noise of each backend that has the arm ``twin``: the cells that both arms have in every lap."""
    good = timed(frame)
    logs, noises = estimates_and_noises(good, estimate)
    good = good.assign(log_estimate=logs, noise=noises)
    for (_, backend), rows in good.groupby(["run", "backend"], sort=False):
        rows = rows.drop_duplicates([*CASE, "arm", "process"], keep="last")
        table = rows.set_index([*CASE, "arm", "process"])[["log_estimate", "noise"]].unstack("process")
        table = table[table["log_estimate"].notna().all(axis=1)]
        arms = [table[table.index.get_level_values("arm") == arm].droplevel("arm") for arm in ("", twin)]
        both = arms[0].index.intersection(arms[1].index)
        if len(both):
            before, after = (arm.loc[both] for arm in arms)
            differences = (after["log_estimate"] - before["log_estimate"]).to_numpy(float)
            yield Noise(str(backend), differences, (after["noise"] + before["noise"]).to_numpy(float))


def passed(row: pd.Series[float]) -> bool:
    """Return whether a row of `certify` keeps the promises."""
    return bool(
        row["false_positives"] <= MOST_FALSE and row["covered"] >= LEAST_COVERED and row["found"] >= LEAST_FOUND
    )


def processes_needed(frame: pd.DataFrame, processes: int, trials: int = 400, margin: float = MARGIN) -> int | None:
    """Return how many processes find the planted slow-down often enough, tried on the same laps.

    Args:
        frame: as `certify` takes it.
        processes: that were too few.
        trials: draws of two arms for each number of processes tried.
        margin: of equivalence.

    Returns:
        A number of processes, ``None`` if half of the laps recorded are too few.
    """
    (noise, *_) = recorded(frame, ESTIMATE)
    for more in range(processes + 1, noise.differences.shape[1] // 2 + 1):
        rng = np.random.default_rng(0)
        trials_found = [trial.found for _ in range(trials) for trial in _draws([noise], more, margin, rng)]
        if np.concatenate(trials_found).mean() >= LEAST_FOUND:
            return more
    return None


def _draws(noises: list[Noise], processes: int, margin: float, rng: np.random.Generator) -> Iterator[Trial]:
    """Draw two arms of each backend and yield what the comparison of one with the other gives."""
    for noise in noises:
        drawn = rng.permutation(noise.differences.shape[1])[:processes]
        differences = noise.differences[:, drawn] * rng.choice([-1.0, 1.0], processes)
        by_turns = [mean_noise(cell) for cell in noise.by_turns[:, drawn]]
        mean, variance, dof = means(list(differences), float(processes - 1), by_turns)
        same = statistics.weigh(mean, np.sqrt(variance), dof, margin)
        planted = statistics.weigh(mean + math.log(PLANTED), np.sqrt(variance), dof, margin)
        alone = statistics.verdicts(same, together=False)
        yield Trial(
            (same.low <= 1) & (same.high >= 1),
            (alone == FASTER) | (alone == SLOWER),
            statistics.verdicts(planted, together=False) == SLOWER,
            statistics.verdicts(planted) == SLOWER,
            np.sqrt(same.high / same.low) - 1,
        )
