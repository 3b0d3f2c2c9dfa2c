"""Time exactly one case on every backend that is here, in under 30 s; kept as a run like any other."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from backends import Network
from bench import budget, campaign, contenders, plan
from bench.machine import physical_cores
from bench.results import Run

if TYPE_CHECKING:
    from bench.campaign import Progress

LABEL = "one case"
BUDGET_S = 26.0
PHASES = ("step", "train")


def measure_case(
    network: Network,
    batch: int,
    dtype: str = "float32",
    device: str = "cpu",
    threads: int | None = None,
    root: Path | None = None,
    report: Callable[[Progress], None] = lambda _: None,
) -> Run:
    """Measure a case in as many blocks as the time allows, one or two, with the compile caches of earlier runs.

    Raises:
        UsageError: the device is not here, or the batch does not fit in memory.
    """
    names, _ = contenders.present([dtype], [device])
    groups = plan.asked_groups([network], [batch], [dtype], [device], len(names))
    made = plan.Plan(groups, PHASES, names, threads=(threads or len(physical_cores()),), own_cache=False)
    pace = campaign.earlier_pace(root)
    made = budget.fit(replace(made, timeout_s=BUDGET_S), BUDGET_S, pace)
    if budget.estimate_s(made, pace) > BUDGET_S:
        made = budget.fit(made, BUDGET_S, pace, blocks=1)
    run = campaign.create(made, [sys.argv[0], *sys.argv[1:]], LABEL, root)
    campaign.carry_out(run, report)
    return run
