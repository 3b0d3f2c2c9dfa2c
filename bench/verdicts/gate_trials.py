"""Whether the gate keeps what it promises, tried with real gates: on the same code twice, and on planted slow-downs.

A *trial* is a campaign of the gate: `PROCESSES` fresh processes of each side, in turns, over the cells of `NETWORKS`
and `ROWS`, each for `TIMED_S`. That is what a gate of all four backends gives a cell in its default budget of 2 min.
The three cells of one network are judged together, and that is *one gate*: a trial gives as many gates as there are
networks, which share processes and no time. A copy of the code is the base. Some trials have two more arms, copies in
whose source a slow-down of 10 % and of 5 % is planted; each is held against the same base.

Outcomes are kept gate by gate, one JSON record a line, and no other data; a later call goes on with what is missing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends import Network
from bench import results
from bench.basics.names import BASE, CERTIFICATE, FASTER, MARGIN
from bench.machine import commit, default_threads, machine_id
from bench.measure import budget, campaign, contenders, planted
from bench.measure.base_code import CHECKOUT, BaseCode, base_code
from bench.measure.plan import Plan, asked_groups
from bench.measure.timing import Effort
from bench.results.journal import Journal, read
from bench.verdicts import gate

if TYPE_CHECKING:
    import pandas as pd

NETWORKS = tuple(map(Network.parse, ("3-2-1", "8-32-1", "17-33-3")))
ROWS = (1, 64, 1_024)
PROCESSES, TIMED_S = budget.MOST_PROCESSES, budget.LEAST_TIMED_S

QUIET, COMPETING, SLOWING = "quiet", "competing", "slowing"
CONDITIONS = {
    QUIET: "the machine as it is",
    COMPETING: "a process that computes for 0.2 to 3 s, pauses as long, and so on",
    SLOWING: "from half-way on every step of both sides takes 1.5 times as long",
}
SAME, TEN, FIVE = "same code", "10 % planted", "5 % planted"
SHARES = {TEN: 0.10, FIVE: 0.05}

MOST_FALSE, LEAST_FOUND = 0.05, 0.90
FOLDER = "gates"

COMPETITOR = """
import os, random, sys, time
random.seed(0)
while os.getppid() == int(sys.argv[1]):
    end = time.monotonic() + random.uniform(0.2, 3)
    while time.monotonic() < end:
        pass
    time.sleep(random.uniform(0.2, 3))
"""

Outcome = dict[str, Any]
"""One gate: ``kind``, ``network``, ``failed``, ``cells`` (rows, ratio, low, high, verdict), and how it was made."""


def file_of(condition: str, root: Path | None = None) -> Path:
    """Return the file that keeps the outcomes of one condition on this machine."""
    return (root or results.results_root()) / machine_id() / FOLDER / f"{condition}.jsonl"


def outcomes(path: Path) -> list[Outcome]:
    """Return the gates that a file keeps; none if it is not there."""
    return [record for _, record in read(path)] if path.exists() else []


def keep(path: Path, outcome: Outcome) -> None:
    """Add one outcome to a file."""
    with Journal(path) as journal:
        journal.append(outcome)


def measure(
    condition: str,
    gates: int,
    with_planted: int,
    backend: str = "numpy",
    budget_s: float = math.inf,
    root: Path | None = None,
    report: Callable[[float, str], None] = lambda fraction, text: None,
) -> list[Outcome]:
    """Make the gates that are missing, and return all.

    Args:
        condition: of `CONDITIONS`.
        gates: of the same code that there should be.
        with_planted: of each planted slow-down that there should be.
        backend: whose code is held against its copy.
        budget_s: after this many seconds no further trial begins.
        root: the folder of all runs.
        report: is told the fraction that is done and what is being done.

    Raises:
        UsageError: no such backend, or none that a slow-down can be planted in.
        KeyboardInterrupt: what was made is kept.
    """
    contenders.named([backend], ["float32"], ["cpu"])
    path = file_of(condition, root)
    path.parent.mkdir(parents=True, exist_ok=True)
    begun_s, pace = time.monotonic(), campaign.earlier_pace(root)
    with contextlib.ExitStack() as stack:
        journal = stack.enter_context(Journal(path))
        stack.callback(os.environ.pop, planted.SLOW_FROM, None)
        codes = _codes(stack, backend, condition)
        if condition == COMPETING:
            stack.enter_context(_competitor())
        lasted_s: dict[bool, float] = {}
        while time.monotonic() - begun_s < budget_s:
            kept = outcomes(path)
            counts = {kind: sum(it["kind"] == kind for it in kept) for kind in (SAME, *SHARES)}
            also_planted = min(counts[kind] for kind in SHARES) < with_planted
            if counts[SAME] >= gates and not also_planted:
                break
            wanted = gates + with_planted * len(SHARES)
            report(min(sum(counts.values()) / wanted, 1.0), f"{counts[SAME]} of {gates} gates of the same code")
            plan = plan_of(backend, tuple(SHARES) if also_planted else ())
            expected_s = lasted_s.get(also_planted) or budget.estimate_s(plan, pace)
            os.environ[planted.SLOW_FROM] = repr(
                time.perf_counter() + expected_s / 2 if condition == SLOWING else math.inf
            )
            trial_s = time.monotonic()
            for outcome in _trial(plan, codes):
                journal.append({"record": "gate", "condition": condition, **outcome})
            lasted_s[also_planted] = time.monotonic() - trial_s
    return outcomes(path)


def plan_of(backend: str, versions: Sequence[str]) -> Plan:
    """Return the plan of one trial."""
    return Plan(
        asked_groups(NETWORKS, ROWS, ("float32",), ("cpu",), arms=2 + len(versions)),
        ("step",),
        (backend,),
        threads=(default_threads(),),
        processes=PROCESSES,
        effort=Effort(timed_s=TIMED_S, warm_up_s=TIMED_S, check_s=0.1),
        own_cache=False,
        against="copy",
        versions=tuple(versions),
    )


def _codes(stack: contextlib.ExitStack, backend: str, condition: str) -> dict[str, BaseCode]:
    """Return the code of each arm, as copies of the code here, which go with the stack."""
    shares = {BASE: 0.0, **SHARES} | ({"": 0.0} if condition == SLOWING else {})
    codes = {}
    for arm, share in shares.items():
        codes[arm] = stack.enter_context(base_code(str(CHECKOUT), [backend]))
        if share or condition == SLOWING:
            planted.plant(codes[arm].path, backend, share)
    return codes


def _trial(plan: Plan, codes: Mapping[str, BaseCode]) -> Iterator[Outcome]:
    """Carry out a campaign, and yield its gates: those of each network, and those of all cells together."""
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="backprop-bench-trial-") as folder:
        run = campaign.create(plan, CERTIFICATE, root=Path(folder))
        campaign.carry_out(run, plan, codes=codes)
        frame = results.load(run)
    revision, dirty = commit()
    facts = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "trial": run.id,
        "commit": revision + ("+" if dirty else ""),
        "backend": plan.backends[0],
        "processes": plan.processes,
        "timed_s": plan.effort.timed_s,
        "load": round(float(frame["load_average"].median()), 2),
        "seconds": round(time.monotonic() - begun_s, 1),
    }
    for kind, arm in {SAME: "", **{version: version for version in plan.versions}}.items():
        for network in (*NETWORKS, None):
            rows = frame if network is None else frame[frame["network"] == str(network)]
            yield {**_outcome(kind, str(network or "all"), rows, arm), **facts}


def _outcome(kind: str, network: str, frame: pd.DataFrame, arm: str) -> Outcome:
    judged = gate.judge_arms(frame, BASE, MARGIN, change=arm)
    return {
        "kind": kind if network != "all" else f"{kind}, all cells",
        "network": network,
        "failed": not judged.passed,
        "lost": list(judged.lost),
        "cells": [
            {"network": row.network, "batch": row.batch, "ratio": round(row.ratio, 4), "low": round(row.low, 4),
             "high": round(row.high, 4), "verdict": row.verdict}
            for row in judged.cells.itertuples()
        ],
    }  # fmt: skip


@contextlib.contextmanager
def _competitor() -> Iterator[None]:
    """Let another process compute now and then."""
    process = subprocess.Popen([sys.executable, "-c", COMPETITOR, str(os.getpid())], stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@dataclasses.dataclass(frozen=True)
class Rates:
    """What the gates of one condition come to, each kind over its gates.

    Attributes:
        condition: of `CONDITIONS`.
        counts: gates by kind.
        failed: gates that failed, by kind.
        faster: gates in which a cell was called faster, by kind.
        half_width: half an interval of a ratio, the median over the cells of the same code.
        load: of the machine while they were made, the median.
    """

    condition: str
    counts: Mapping[str, int]
    failed: Mapping[str, int]
    faster: Mapping[str, int]
    half_width: float
    load: float

    @property
    def passed(self) -> bool:
        """Whether the promises are kept, as far as there are gates: few false alarms, and the slow-downs found."""
        false = self.failed[SAME] <= MOST_FALSE * self.counts[SAME]
        found = self.failed[TEN] >= LEAST_FOUND * self.counts[TEN]
        return bool(false and found and not self.faster[FIVE] and not self.faster[TEN])


def rates(condition: str, kept: Sequence[Outcome], suffix: str = "") -> Rates:
    """Return what gates come to; with the suffix ``, all cells`` those of whole trials."""
    kinds = {kind: [it for it in kept if it["kind"] == kind + suffix] for kind in (SAME, *SHARES)}
    widths = [math.sqrt(cell["high"] / cell["low"]) - 1 for it in kinds[SAME] for cell in it["cells"]]
    return Rates(
        condition,
        {kind: len(of_kind) for kind, of_kind in kinds.items()},
        {kind: sum(it["failed"] for it in of_kind) for kind, of_kind in kinds.items()},
        {
            kind: sum(any(cell["verdict"] == FASTER for cell in it["cells"]) for it in of_kind)
            for kind, of_kind in kinds.items()
        },
        statistics.median(widths) if widths else math.nan,
        statistics.median(it["load"] for it in kinds[SAME]) if kinds[SAME] else math.nan,
    )
