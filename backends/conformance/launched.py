"""Judge backends on ranks of this host: start them, and return a report for each backend and dtype.

Tests: `tests/backends/conformance/test_ranks.py`.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from backends.conformance.report import Claim, Report
from backends.ranks import local

CLAIMS = ("step", "train", "exact sums", "bits")
LIMIT_S = 300.0
DEALT = "backends.conformance.ranks:Dealt"

Task = tuple[str, str, str]
"""Backend, dtype and device."""


def check_on_ranks(
    tasks: Sequence[Task], size: int, engine: str, limit_s: float = LIMIT_S, dealt: Sequence[str] = ()
) -> list[Report]:
    """Judge every task on ``size`` ranks, in one launch.

    Args:
        tasks: what to judge.
        size: number of ranks, 2 or more.
        engine: that they join by.
        limit_s: after which what has not ended has failed.
        dealt: for each task ``module:Class`` of a faulty way to share, by which the claims themselves are tried.

    Raises:
        RanksError: the engine cannot start ranks here.
    """
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "claims.jsonl"
        file.touch()
        asked = [(*task, kind) for task, kind in zip(tasks, dealt or [DEALT] * len(tasks), strict=True)]
        command = [sys.executable, "-P", "-m", "backends.conformance.ranks", engine, str(file), json.dumps(asked)]
        ended = local.run(command, size, engine, limit_s, os.environ | {"PYTHONPATH": path})
        records = [json.loads(line) for line in file.read_text().splitlines()]
    judged = [[Claim(**each["claim"]) for each in records if each["task"] == k] for k in range(len(tasks))]
    reason = ended.reason(limit_s) if any(ended.statuses) or ended.stopped else ""
    reports = []
    for (name, dtype, device), claims in zip(tasks, judged, strict=True):
        left = [claim for claim in CLAIMS if claim not in {known.name for known in claims}]
        for claim in left:
            failed = Claim(claim, "fail", math.inf, where=reason or "no record", cases=1)
            claims.append(failed if claim == left[0] else Claim(claim, "skip", where="not judged: the ranks had ended"))
        reports.append(Report(name, dtype, device, tuple(claims), ranks=size, engine=engine))
    return reports
