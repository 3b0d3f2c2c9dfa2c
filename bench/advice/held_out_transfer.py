"""How good answers carried over from another machine are: two stored runs, the second of which is held out.

The times of the first run are carried over as ``recommend --probe`` does it: by the speeds of both machines and by the
anchor cells of one process of the second. Every other shape that the second measured is asked about, and its own times
are the truth. The *loss* of a case is how much longer the recommended backend takes there than the best (0.1: 10 %).

Tests: `tests/bench/advice/test_held_out_transfer.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from backends import Network
from bench.advice import costs, transfer
from bench.advice.compiling import compile_alone_s
from bench.advice.costs import Cost
from bench.advice.decision import Standing, standings
from bench.advice.job import Job
from bench.advice.time_model import MEASURED, Shape
from bench.basics.errors import UsageError
from bench.basics.names import MARGIN
from bench.machine.speed import Speed
from bench.results import Run, load, timed

if TYPE_CHECKING:
    import pandas as pd

MOST_LOSS, LEAST_SHARE = 0.15, 0.85
"""How much slower than the best the chosen backend may be, and the share of answers that must keep to it."""

STEPS = (10, 1_000, 100_000)
"""Of the jobs asked about: import and compilation decide the first, steps the last."""

DTYPE, DEVICE, PHASES = "float32", "cpu", ("step", "train")


def losses(there: Run, here: Run, steps: Sequence[int] = STEPS) -> pd.DataFrame:
    """Return what each answer carried over from one run to the machine of another costs.

    Args:
        there: the run that answers rest on.
        here: the run that is held out, but for its anchors.
        steps: of the jobs asked about.

    Returns:
        One row a shape and number of steps: ``network``, ``batch``, ``steps``, ``recommended``, ``outcome``, ``best``,
        ``predicted_s``, ``true_s`` (of the recommended backend), ``best_s``, ``loss``, and ``as_it_was`` (the loss of
        an answer that takes the times of the first run as they are).

    Raises:
        UsageError: the runs have no backend, or no shape beyond the anchors, in common.
    """
    import pandas as pd

    known, truth = _of_both(there, here)
    then, now = (Speed.from_dict(run.manifest.get("speed")) for run in (there, here))
    anchors = transfer.anchors(known, Job(Network((1, 1, 1)), 1))
    measured = truth[[shape in anchors for shape in _shapes(truth)]]
    measured = measured[measured["process"] == truth["process"].min()] if len(measured) else None
    alone = truth.assign(compile_s=compile_alone_s(truth))
    asked = [shape for shape in dict.fromkeys(_shapes(timed(truth, arm=""))) if shape not in anchors]
    carrier = transfer.Carrier(known, then, now, measured)
    each = (costs.of_each(frame, asked) for frame in (carrier.rows, known))
    rows = []
    for shape, said, before in zip(asked, *each, strict=True):
        of_case = alone[[other == shape for other in _shapes(alone)]]
        true = [cost for cost in costs.costs(of_case, [shape]) if cost.basis == MEASURED]
        if len(true) < 2:
            continue
        scatter = carrier.scatter(shape)
        said = [costs.widened(cost, scatter[cost.backend]) for cost in said]
        for count in steps:
            totals = {
                cost.backend: float(np.median(cost.total_s(count))) for cost in costs.with_best_threads(true, count)
            }
            best = min(totals, key=lambda name: totals[name])
            first = _first(said, count)
            true_s, before_s = (
                totals.get(name, float("inf")) for name in (first.cost.backend, _first(before, count).cost.backend)
            )
            rows.append(
                {"network": shape.network, "batch": shape.rows, "steps": count, "recommended": first.cost.backend}
                | {"outcome": first.verdict, "best": best, "predicted_s": first.total_s, "true_s": true_s}
                | {"best_s": totals[best], "loss": true_s / totals[best] - 1}
                | {"as_it_was": before_s / totals[best] - 1}
            )
    if not rows:
        raise UsageError(f"run {here.id} measured no shape of several backends beyond the anchors of run {there.id}")
    return pd.DataFrame(rows)


def share_good(cases: pd.DataFrame, column: str = "loss") -> float:
    """Return the share of cases that lose 15 % or less."""
    return float((cases[column] <= MOST_LOSS).mean())


def _first(known: Sequence[Cost], steps: int) -> Standing:
    """Return the standing of the backend that `recommend` would name."""
    ((ranked, _),) = standings(costs.with_best_threads(known, steps), [steps], MARGIN)
    return ranked[0]


def _of_both(there: Run, here: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of each run that answers can be made and judged by: of the backends that both timed."""
    frames = load(there), load(here)
    named = [set(timed(frame, arm="")["backend"]) for frame in frames]
    if not (both := named[0] & named[1]):
        raise UsageError(f"runs {there.id} and {here.id} have no backend in common")
    known, truth = (
        frame[
            (frame["dtype"] == DTYPE)
            & (frame["device"] == DEVICE)
            & frame["phase"].isin(PHASES)
            & frame["backend"].isin(both)
        ]
        for frame in frames
    )
    return known, truth


def _shapes(frame: pd.DataFrame) -> list[Shape]:
    return [Shape(str(network), int(rows)) for network, rows in zip(frame["network"], frame["batch"], strict=True)]
