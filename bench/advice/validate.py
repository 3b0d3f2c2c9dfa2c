"""How good recommendations are on cases that were never measured: draw cases, recommend, then measure, and compare.

The *regret* of a case is how much longer the recommended backend's true total is than the true best one's (0.1: 10 %).

Tests: `tests/bench/cli/test_decision_commands.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from backends import Network, available
from bench.advice import costs, recommendation
from bench.advice.compiling import compile_alone_s
from bench.advice.job import Job
from bench.advice.time_model import MEASURED, Shape
from bench.basics.names import VALIDATION
from bench.results import Run
from bench.workload import work

if TYPE_CHECKING:
    import pandas as pd

    from bench.limits.ceilings import Ceilings
    from bench.measure.campaign import Progress

MOST_REGRET, LEAST_SHARE = 0.10, 0.95
"""How much slower than the best the chosen backend may be, and the share of cases that must keep to it."""

MOST_ROWS, MOST_HIDDEN_LAYERS, WIDEST, MOST_OUTPUTS = 1 << 20, 4, 512, 20
"""Of the drawn cases: rows, hidden layers, units of a layer, outputs."""

MOST_FLOP = 2e9
"""Of one step: larger cases take long to prove and say little more."""

MOST_TOTAL_STEPS = 1_000_000
"""Of the drawn jobs."""


class Held(NamedTuple):
    """A case drawn: network, rows of the batch, steps."""

    network: str
    batch: int
    steps: int


def draw(count: int, seed: int = 0) -> list[Held]:
    """Draw cases: one to four hidden layers, widths to 512, rows to 2^20 and steps, all even on log scales.

    This is Latin hypercube sampling: the log ranges of rows and of steps are cut into as many equal parts as there are
    cases, and one value is drawn from each, so that even a few cases reach from one row to 2^20. Every depth is as
    frequent as any other. Widths that would take too many products a step are drawn again. Source: McKay, Beckman and
    Conover, Technometrics 21 (1979) 239.
    """
    rng = np.random.default_rng(seed)
    all_rows, all_steps = (_log_even(rng, count, most) for most in (MOST_ROWS, MOST_TOTAL_STEPS))
    depths = rng.permutation(np.arange(count) % MOST_HIDDEN_LAYERS + 1).tolist()
    return [
        Held(str(_network(rng, depth, rows)), rows, steps)
        for depth, rows, steps in zip(depths, all_rows, all_steps, strict=True)
    ]


def _network(rng: np.random.Generator, depth: int, rows: int) -> Network:
    """Return a network of some hidden layers that does not take too many products with this many rows."""
    while True:
        sizes = [
            _log_uniform(rng, 1, WIDEST),
            *(_log_uniform(rng, 2, WIDEST) for _ in range(depth)),
            _log_uniform(rng, 1, MOST_OUTPUTS),
        ]
        network = Network(tuple(sizes))
        if work.product_flop(network, rows) <= MOST_FLOP:
            return network


def measure(
    cases: Sequence[Held],
    budget_s: float,
    root: Path | None = None,
    command: Sequence[str] = (),
    report: Callable[[Progress], None] | None = None,
) -> Run:
    """Measure the cases on every backend that is here, with the compile caches of earlier runs.

    Each backend gets two fresh processes, and more while the budget holds another lap.
    """
    from bench.machine import default_threads
    from bench.measure import campaign, plan

    names = available()
    groups = [
        group
        for case in cases
        for group in plan.asked_groups([Network.parse(case.network)], [case.batch], ["float32"], ["cpu"], len(names))
    ]
    asked = plan.Plan(plan.ordered(groups), ("step", "train"), names, threads=(default_threads(),), own_cache=False)
    return campaign.measure(
        asked, VALIDATION, budget_s=budget_s, command=command, root=root, report=report or campaign.silent
    )


def regrets(
    known: pd.DataFrame, truth: pd.DataFrame, cases: Sequence[Held], ceilings: Ceilings | None = None
) -> pd.DataFrame:
    """Return what each recommendation cost.

    Args:
        known: rows that the recommendations may rest on.
        truth: rows of the cases themselves.
        cases: what was drawn.
        ceilings: of the machine that ``known`` was measured on.

    Returns:
        One row a case that could be measured: ``network``, ``batch``, ``steps``, ``basis``, ``recommended``,
        ``outcome``, ``best``, ``predicted_s``, ``true_s`` (of the recommended backend), ``best_s``, ``regret``,
        ``step_error`` (median over the backends of predicted / true step time, as a log, without sign).
    """
    import pandas as pd

    rows = []
    alone = truth.assign(compile_s=compile_alone_s(truth))
    for case in cases:
        of_case = alone[(alone["network"] == case.network) & (alone["batch"] == case.batch)]
        true = costs.with_best_threads(costs.costs(of_case, [Shape(case.network, case.batch)]), case.steps)
        true = [cost for cost in true if cost.basis == MEASURED]
        totals = {cost.backend: float(np.median(cost.total_s(case.steps))) for cost in true}
        if not totals:
            continue
        job = Job(Network.parse(case.network), case.batch, case.steps)
        said = recommendation.from_rows(known, job, ceilings=ceilings)
        best = min(totals, key=lambda name: totals[name])
        steps = {cost.backend: float(np.median(cost.step_s)) for cost in true}
        errors = [
            abs(np.log(row.step_s / steps[row.backend])) for row in said.rows.itertuples() if row.backend in steps
        ]
        true_s = totals.get(said.backend, float("inf"))  # one that failed where it was recommended
        rows.append(
            {**case._asdict(), "basis": said.basis, "recommended": said.backend, "outcome": said.outcome, "best": best}
            | {"predicted_s": said.total_s, "true_s": true_s, "best_s": totals[best]}
            | {"regret": true_s / totals[best] - 1, "step_error": float(np.median(errors))}
        )
    return pd.DataFrame(rows)


def share_good(cases: pd.DataFrame) -> float:
    """Return the share of cases whose regret is 10 % or less."""
    return float((cases["regret"] <= MOST_REGRET).mean())


def _log_even(rng: np.random.Generator, count: int, most: float) -> list[int]:
    """Return whole numbers from 1 to ``most`` in random order, one in each of equal parts of the log scale."""
    places = (rng.permutation(count) + rng.uniform(size=count)) / count
    return [round(float(np.exp(place * np.log(most)))) for place in places]


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> int:
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))))
