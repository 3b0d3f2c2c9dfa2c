"""Which backend ends a whole job first, for every shape that a run measured. No files, no formatting."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bench.advice.costs import compile_s, compile_times, costs
from bench.advice.decision import standings
from bench.advice.time_model import Shape
from bench.basics.formats import format_count
from bench.basics.names import MARGIN
from bench.results import timed

if TYPE_CHECKING:
    import pandas as pd

STEPS = 1_000
PHASES = ("step", "train")


def fastest_for_jobs(
    frame: pd.DataFrame, steps: int = STEPS, margin: float = MARGIN, cache: str = "warm"
) -> pd.DataFrame:
    """Return who wins each whole job: import, compile, place and ``steps`` steps of training.

    Args:
        frame: rows of one run, as `bench.results.load` gives them.
        steps: of the job.
        margin: of equivalence.
        cache: the compile cache to assume.

    Returns:
        One row a network, rows, dtype, device and number of threads, with the columns of
        `bench.verdicts.compare.Comparison.winners`; its phase says how many steps.
    """
    import pandas as pd

    decisions = []
    good = timed(frame, arm="")
    good = good[good["phase"].isin(PHASES)]
    for (dtype, device, threads), rows in good.groupby(["dtype", "device", "threads"], sort=False):
        pairs = rows[["network", "batch"]].drop_duplicates().itertuples(index=False, name=None)
        shapes = [Shape(str(network), int(batch)) for network, batch in pairs]
        known = costs(rows, shapes, cache)
        compiled = {
            str(backend): compile_times(of_backend) for backend, of_backend in rows.groupby("backend", sort=False)
        }
        there = {key: set(of_case["backend"]) for key, of_case in rows.groupby(["network", "batch"])}
        for place, shape in enumerate(shapes):
            rng = np.random.default_rng(place)
            of_shape = [
                replace(
                    cost,
                    compile_s=compile_s(compiled[cost.backend], shape, cache, rng)[0],
                    **{name: getattr(cost, name)[:, [place]] for name in ("place_s", "call_s", "step_s")},
                )
                for cost in known
                if cost.backend in there[shape.network, shape.rows]
            ]
            if of_shape:
                ((_, decided),) = standings(of_shape, [steps], margin)
                case = {"network": shape.network, "batch": shape.rows, "dtype": dtype, "device": device}
                decisions.append(
                    {**case, "threads": threads, "phase": f"a job of {format_count(steps)} steps"} | decided
                )
    return pd.DataFrame(decisions)
