"""Measure backends on numbers of ranks, lap by lap, each time in fresh processes; kept as the rows of a run.

Under a launcher the ranks that it started are used as they are, and every lap is measured in the same processes.

Tests: `tests/bench/ranks/test_scale.py`.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.ranks import Alone, Ranks, local
from backends.ranks.cores import unbound
from bench.basics.names import OK, SCALING
from bench.machine import cpus_for
from bench.measure.cell import Group
from bench.measure.manifest import create, not_left_empty, write_manifest
from bench.measure.plan import Plan
from bench.measure.timing import KEPT_ROUNDS, Effort
from bench.ranks.arms import Arm
from bench.ranks.child import SUM, TRAIN, measured
from bench.results import Run, check
from bench.results.journal import Journal
from bench.workload.work import flop, least_bytes

JOIN_S = 60.0
START_S = 90.0
"""Of a launch beyond what is timed: importing a framework on a busy machine, compiling, proving."""

Tell = Callable[[float, str], None]


@dataclass(frozen=True)
class Scale:
    """What one campaign measures.

    Attributes:
        group: network, rows of the whole batch, dtype and device.
        backends: names.
        arms: ways to share rows, the first of which the others are compared with.
        laps: times that each is started afresh.
        timed_s: seconds of steps in each process.
    """

    group: Group
    backends: tuple[str, ...]
    arms: tuple[Arm, ...]
    laps: int = 3
    timed_s: float = 0.5

    def launches(self) -> Iterator[tuple[int, str, Arm]]:
        """Yield lap, backend and arm, the arms there and back: the machine's slow spells hit each alike."""
        for lap in range(self.laps):
            for backend in self.backends:
                for arm in self.arms if lap % 2 == 0 else self.arms[::-1]:
                    yield lap, backend, arm

    def spec(self, backend: str, arm: Arm) -> dict[str, Any]:
        """Return what `bench.ranks.child` is told."""
        return {
            "network": str(self.group.network),
            "rows": arm.rows,
            "dtype": self.group.dtype,
            "device": self.group.device,
            "backend": backend,
            "engine": arm.engine,
            "threads": arm.threads,
            "cpus": list(cpus_for(arm.ranks * arm.threads)),
            "timed_s": self.timed_s,
            "timeout_s": JOIN_S,
        }


def measure(scale: Scale, command: Sequence[str], root: Path | None, tell: Tell) -> Run:
    """Start every arm on this host, lap by lap, and keep its rows; what fails is a row too.

    Raises:
        UsageError: the results cannot be written.
        RanksError: an engine is not here.
    """
    launches = list(scale.launches())
    for arm in scale.arms:
        local.commands([], arm.ranks, arm.engine)  # raises before a run is made that would stay empty

    def outcome(lap: int, backend: str, arm: Arm) -> dict[str, Any]:
        spec = scale.spec(backend, arm)
        (record,) = start(spec, arm.ranks, START_S + 20 * scale.timed_s)
        return record

    return run_launches(scale, launches, outcome, command, root, tell)


def measure_here(scale: Scale, ranks: Ranks, command: Sequence[str], root: Path | None, tell: Tell) -> Run | None:
    """Measure on the ranks that a launcher started; the first arm, one rank, is measured while the others wait.

    Returns:
        The run on rank 0, ``None`` on the others.
    """

    def outcome(lap: int, backend: str, arm: Arm) -> dict[str, Any]:
        spec = scale.spec(backend, arm)
        record: dict[str, Any] = {}
        if arm.ranks > 1:
            record = measured(ranks, spec)
        elif ranks.rank == 0:
            record = measured(Alone(), spec)
        ranks.agree("arm", arm)
        return record

    if ranks.rank == 0:
        return run_launches(scale, list(scale.launches()), outcome, command, root, tell)
    for launch in scale.launches():
        outcome(*launch)
    return None


def start(spec: dict[str, Any], size: int, limit_s: float) -> list[dict[str, Any]]:
    """Start `bench.ranks.child` on ranks of this host and return its records; a failure is one with a reason."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "records.jsonl"
        command = [sys.executable, "-P", "-m", "bench.ranks.child", json.dumps(spec), str(file)]
        ended = local.run(command, size, spec["engine"], limit_s, os.environ | {"PYTHONPATH": path})
        if not any(ended.statuses) and file.exists():
            return [json.loads(line) for line in file.read_text().splitlines()]
    return [{"reason": ended.reason(limit_s)}]


def run_launches(
    scale: Scale,
    launches: Sequence[tuple[int, str, Arm]],
    outcome: Callable[[int, str, Arm], dict[str, Any]],
    command: Sequence[str],
    root: Path | None,
    tell: Tell,
) -> Run:
    """Measure every launch and keep its rows in a new run."""
    plan = Plan((scale.group,), (TRAIN,), scale.backends, processes=scale.laps, effort=Effort(timed_s=scale.timed_s))
    with unbound():  # a rank sees no more than its part of the machine
        run = create(plan, SCALING, command, root=root)
    with not_left_empty(run), Journal(run.rows_path) as journal:
        for order, (lap, backend, arm) in enumerate(launches):
            tell(order / len(launches), f"{backend}: {arm}, {arm.rows} rows")
            name = "" if arm == scale.arms[0] else str(arm)
            for row in rows_of(scale.group, order, lap, backend, arm, name, outcome(lap, backend, arm)):
                check(row)
                journal.append({"record": "cell", **row})
    write_manifest(run.path, {**run.manifest, "complete": True})
    return run


def rows_of(
    group: Group, order: int, lap: int, backend: str, arm: Arm, name: str, record: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the stored rows of one launch: of its steps, and of the sum that ranks take.

    ``name`` of the arm is '' for the first, with which the others are compared: other commands read it as any row.
    """
    common = {
        "order": order, "process": lap, "backend": backend, "arm": name, **group.columns(), "batch": arm.rows,
        "threads": record.get("threads", arm.threads), "ranks": arm.ranks, "engine": arm.engine,
        "hosts": record.get("hosts", 1),
    }  # fmt: skip
    if "reason" in record:
        yield common | {"phase": TRAIN, "steps": 0, "status": "failed", "reason": record["reason"]}
        return
    if not record["ratio"] <= 1:
        reason = f"{record['claim']}: error / bound {record['ratio']:.3g} before timing"
        yield common | {"phase": TRAIN, "steps": 0, "status": "nonconformant", "reason": reason}
        return
    shape = group.workload, arm.rows
    yield (
        common
        | _timed(record, TRAIN, record["steps"])
        | {
            "flop": flop(*shape, TRAIN),
            "bytes_moved": least_bytes(*shape, group.dtype, TRAIN),
        }
    )
    if arm.ranks > 1:
        yield common | _timed(record, SUM, record["sums"])


def _timed(record: dict[str, Any], phase: str, calls: int) -> dict[str, Any]:
    """Return the columns of a row with a time; what is not known here is not a number."""
    seconds = record[phase]
    kept = seconds[:: math.ceil(len(seconds) / KEPT_ROUNDS)]
    middle = statistics.median(seconds)
    return {
        "phase": phase, "steps": calls, "status": OK, "median_s": middle,
        "lower_quartile_s": statistics.quantiles(seconds, n=4)[0], "minimum_s": min(seconds), "rounds": len(seconds),
        "iterations": 1, "set_aside": 0, "round_s": kept, "turn_s": [], "first_call_s": record["first_call_s"],
        "compile_s": max(0.0, record["first_call_s"] - middle), "cache": "warm", "import_s": record["import_s"],
        "place_s": record["place_s"], "place_compile_s": None, "spent_s": sum(seconds) * calls,
        "peak_bytes": record["peak_bytes"], "flop": None, "bytes_moved": None, "cpu_per_wall": None,
        "involuntary_switches": 0, "steal_s": None, "load_average": record["load_average"],
        "conformance_ratio": record["ratio"], "conformance_claim": record["claim"], "conformance_claims": None,
        "final_ratio": None, "conformance_rows": record["proven_rows"],
    }  # fmt: skip
