"""On which backend a job ends first, and how sure that is: totals with intervals, verdicts against the best.

Tests: `tests/bench/advice/test_recommendation.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.advice.costs import Cost
from bench.basics.names import FASTEST
from bench.verdicts import statistics
from bench.verdicts.pairs import behind_fastest, outcome

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("import_s", "compile_s", "place_s", "call_s", "step_s")
"""The parts of a total, as `bench.advice.costs.Cost` names them."""


@dataclass(frozen=True)
class Standing:
    """One backend's place among the others, for one case and number of steps.

    Attributes:
        cost: its parts.
        total_s, low_s, high_s: with a 95 % interval.
        to_best: its total over the least one.
        verdict: what is proven of it: the outcome of the whole for the first, else that of
            `bench.verdicts.pairs.behind_fastest`.
    """

    cost: Cost
    total_s: float
    low_s: float
    high_s: float
    to_best: float
    verdict: str


def standings(
    costs: Sequence[Cost], steps: Sequence[int], margin: float, rate: float = statistics.RATE
) -> list[tuple[list[Standing], dict[str, Any]]]:
    """Return for each number of steps the backends' standings, best first, and what
    `bench.verdicts.pairs.outcome` says.

    Args:
        costs: of the backends, the shape in question first.
        steps: numbers of steps of the job.
        margin: of equivalence.
        rate: of errors.
    """
    totals = np.array([[cost.total_s(count)[:, 0] for cost in costs] for count in steps])
    middles = np.median(totals, axis=2)
    order = np.argsort(middles, axis=1, kind="stable")
    totals, middles = np.take_along_axis(totals, order[..., None], axis=1), np.take_along_axis(middles, order, axis=1)
    low, high = np.quantile(totals, [0.025, 0.975], axis=2)
    logs = np.log(totals)
    against = statistics.weigh_draws(logs[:, 1:] - logs[:, :1], margin)
    answers = []
    for place, ranks in enumerate(order.tolist()):
        verdicts = behind_fastest(statistics.Ratios(*(field[place] for field in against)), rate).tolist()
        ranked = [costs[rank] for rank in ranks]
        decided = outcome([cost.label for cost in ranked], [FASTEST, *verdicts])
        estimates = (middles, low, high, middles / middles[:, :1])
        rows = zip(
            ranked,
            *(of_steps[place].tolist() for of_steps in estimates),
            [str(decided["outcome"]), *verdicts],
            strict=True,
        )
        answers.append(([Standing(*row) for row in rows], decided))
    return answers


def decide(costs: Sequence[Cost], steps: int, margin: float) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the ledger of each backend, best first, and who won.

    Args:
        costs: of the backends, the shape in question first.
        steps: of the job.
        margin: of equivalence.

    Returns:
        The rows of `bench.advice.recommendation.Recommendation`, and what `bench.verdicts.pairs.outcome` says of them.
    """
    import pandas as pd

    ((ranked, decided),) = standings(costs, [steps], margin)
    rows = [
        {"backend": standing.cost.backend, "device": standing.cost.device, "threads": standing.cost.threads}
        | {"total_s": standing.total_s, "low_s": standing.low_s, "high_s": standing.high_s}
        | parts_of(standing.cost)
        | {"p99_s": standing.cost.p99_s, "to_best": standing.to_best, "verdict": standing.verdict}
        | {"basis": standing.cost.basis, "phase": standing.cost.phase, "cache": standing.cost.cache}
        for standing in ranked
    ]
    return pd.DataFrame(rows), decided


def parts_of(cost: Cost) -> dict[str, float]:
    """Return the middle of each of `PARTS`, in seconds, for the first case of a job."""
    middles = np.median([getattr(cost, name)[:, 0] for name in PARTS], axis=1)
    return dict(zip(PARTS, middles.tolist(), strict=True))
