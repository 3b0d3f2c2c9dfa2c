"""Which of several jobs ends first, and how sure that is: totals with intervals, verdicts against the best. No rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import ledger, statistics
from bench.compare import outcome

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("import_s", "compile_s", "place_s", "call_s", "step_s")
"""The parts of a total, as `bench.ledger.Job` names them."""


def decide(found: Sequence[ledger.Job], steps: int, margin: float) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the ledger of each backend, best first, and who won.

    Args:
        found: jobs of the backends, the case in question first.
        steps: of the job.
        margin: of equivalence.

    Returns:
        The rows of `bench.recommendation.Recommendation`, and what `bench.compare.outcome` says of them.
    """
    import pandas as pd

    found = sorted(found, key=lambda job: float(np.median(job.total_s(steps)[:, 0])))
    totals = [job.total_s(steps)[:, 0] for job in found]
    gaps = [np.log(total) - np.log(totals[0]) for total in totals[1:]]
    spread = np.maximum([gap.std() for gap in gaps], 1e-9)
    ratios = statistics.weigh([np.median(gap) for gap in gaps], spread, np.full(len(gaps), 1e4), margin)
    verdicts = [str(one) if one in ("slower", "tie") else "undecided" for one in statistics.verdicts(ratios)]
    decided = outcome(dict(zip([job.backend for job in found], ["fastest", *verdicts], strict=True)))
    rows = []
    for job, total, verdict in zip(found, totals, [str(decided["outcome"]), *verdicts], strict=True):
        low, high = np.quantile(total, [0.025, 0.975])
        parts = {name: float(np.median(getattr(job, name)[:, 0])) for name in PARTS}
        middle = float(np.median(total))
        rows.append(
            {"backend": job.backend, "total_s": middle, "low_s": float(low), "high_s": float(high)}
            | parts
            | {"to_best": middle / float(np.median(totals[0])), "verdict": verdict}
            | {"basis": job.basis, "phase": job.phase, "cache": job.cache}
        )
    return pd.DataFrame(rows), decided
