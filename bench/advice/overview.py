"""Which backend ends a whole job first, for every shape that a run measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench.advice.costs import of_each, with_best_threads
from bench.advice.decision import standings
from bench.advice.time_model import Shape
from bench.basics.formats import format_count
from bench.basics.names import MARGIN
from bench.results import timed
from bench.verdicts.statistics import RATE

if TYPE_CHECKING:
    import pandas as pd

STEPS = 1_000
PHASES = ("step", "train")


def fastest_for_jobs(
    frame: pd.DataFrame, steps: int = STEPS, margin: float = MARGIN, cache: str = "warm", rate: float = RATE
) -> pd.DataFrame:
    """Return who wins each whole job: import, compile, place and ``steps`` steps of training.

    Args:
        frame: rows of one run, as `bench.results.load` gives them.
        steps: of the job.
        margin: of equivalence.
        cache: the compile cache to assume.
        rate: of errors.

    Returns:
        One row a network, rows, dtype and device, with the columns of `bench.verdicts.compare.Comparison.best`, each
        backend with its best number of threads; its phase says how many steps. ``second`` is the total of the second
        over that of the first; NaN if there is none.
    """
    import pandas as pd

    decisions = []
    for (dtype, device), rows in timed(frame, arm="").groupby(["dtype", "device"], sort=False):
        trained = rows[rows["phase"].isin(PHASES)]
        pairs = trained[["network", "batch"]].drop_duplicates().itertuples(index=False, name=None)
        shapes = [Shape(str(network), int(batch)) for network, batch in pairs]
        there = {
            key: set(zip(of_case["backend"], of_case["threads"], strict=True))
            for key, of_case in trained.groupby(["network", "batch"])
        }
        for shape, known in zip(shapes, of_each(rows, shapes, cache), strict=True):
            of_shape = [cost for cost in known if (cost.backend, cost.threads) in there[shape.network, shape.rows]]
            if of_shape:
                best = with_best_threads(of_shape, steps)
                ((ranked, decided),) = standings(best, [steps], margin, rate)
                found = {
                    "second": ranked[1].to_best if len(ranked) > 1 else math.nan,
                    "threads": int(rows["threads"].max()),
                    "best_threads": {cost.backend: cost.threads for cost in best},
                    "tried_threads": sorted({cost.threads for cost in of_shape}),
                }
                case = {"network": shape.network, "batch": shape.rows, "dtype": dtype, "device": device}
                decisions.append({**case, "phase": f"a job of {format_count(steps)} steps"} | found | decided)
    return pd.DataFrame(decisions)
