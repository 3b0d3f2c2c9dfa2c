"""Carry out a plan: one lap of processes after the other, every record on disk at once, from wherever it was left.

What a process is stands in `bench.measure.plan`; how it is run, in `bench.measure.process`. Nothing is printed here:
`Progress` tells the caller how far things are, and another campaign on this machine is logged as a warning and kept in
the rows.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from filelock import FileLock, Timeout

from bench import machine, results
from bench.errors import UsageError
from bench.machine.environment import as_text, speed_variables
from bench.measure.budget import process_s
from bench.measure.compile_cache import CompileCache
from bench.measure.manifest import check_resumable, create, earlier_pace, stored_plan, write_manifest
from bench.measure.neighbours import Neighbours, announced, warning
from bench.measure.plan import Cell, Group, Process
from bench.measure.process import OWN_VARIABLES, Launch, run_lap
from bench.results import ROWS, Run
from bench.results.journal import Journal

__all__ = ["Outcome", "Progress", "carry_out", "check_resumable", "create", "earlier_pace", "stored_plan"]

LOCK, CACHES = ".lock", ".caches"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a campaign is: a fraction of its expected time, seconds left, and what is being done."""

    fraction: float
    left_s: float
    text: str


@dataclass
class Outcome:
    """What a campaign came to.

    Attributes:
        run: where it is kept.
        processes: processes that ended, of all that were planned.
        failures: one line for each cell or process that failed and its reason, without repetition.
        stopped: why it ended before all processes were run; '' where it did not.
        seconds: what it took, this time.
    """

    run: Run
    processes: int = 0
    failures: list[str] = field(default_factory=list)
    stopped: str = ""
    seconds: float = 0.0


def carry_out(
    run: Run, report: Callable[[Progress], None] = lambda _: None, after_lap: Callable[[int], None] = lambda _: None
) -> Outcome:
    """Run every process of a run that has not ended yet; return what it came to.

    After each lap ``after_lap`` is called with its number, to measure the machine in the same minutes.

    A process that was begun and did not end is run again, less the groups of which its whole lap has rows already; its
    new rows replace the old.

    Raises:
        UsageError: another process is measuring this run.
        JournalFull: the disk is full; what was measured is kept.
        KeyboardInterrupt: likewise.
    """
    lock = FileLock(run.path / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UsageError(
            f"run {run.id} is being measured by another process; start another: python -m bench run"
        ) from None
    with lock, Journal(run.path / ROWS) as journal, announced(f"run {run.id}") as neighbours:
        return _Campaign(run, journal, report, neighbours).carry_out(after_lap)


@dataclass
class _Flight:
    """One process while it measures: its cells, those whose rows came, the present one, who else measured so far."""

    process: Process
    attempt: int
    cache: CompileCache
    cells: list[Cell] = field(default_factory=list)
    done: set[Cell] = field(default_factory=set)
    current: Cell | None = None
    beside: set[str] = field(default_factory=set)

    @property
    def base(self) -> dict[str, Any]:
        """What every record of the process begins with."""
        place = self.process._asdict()
        return {"order": place.pop("order"), "process": place.pop("lap"), **place, "attempt": self.attempt}

    def cell_record(self, cell: Cell) -> dict[str, Any]:
        """Return the beginning of a cell's record."""
        return {"record": "cell", **self.base, **cell._asdict()}


class _Campaign:
    """One run while it is measured."""

    def __init__(self, run: Run, journal: Journal, report: Callable[[Progress], None], neighbours: Neighbours) -> None:
        self.run, self.journal, self.report, self.neighbours = run, journal, report, neighbours
        self.beside: set[str] = set()
        self.plan = stored_plan(run)
        self.outcome = Outcome(run)
        self.attempts: dict[int, int] = {}
        self.ended: dict[int, str] = {}
        self.kept: dict[int, set[Cell]] = {}
        self.steps: dict[str, dict[str, int]] = {}
        self.lost: dict[str, dict[Group, str]] = {}
        self.begun_s = time.monotonic()
        self.processes = [process for lap in self.plan.laps() for process in lap]
        pace = run.manifest.get("pace", {})
        self.expected_s = {
            process.order: process_s(self.plan, process.backend, process.lap == 0, pace) for process in self.processes
        }
        for _, record in results.records(run):
            self._learn(record)

    def carry_out(self, after_lap: Callable[[int], None]) -> Outcome:
        self._look_around()
        for lap in self.plan.laps():
            left = [process for process in lap if process.order not in self.ended]
            if left:  # with those that ended well before the run was cut off: arms are compared turn by turn
                left = [process for process in lap if self.ended.get(process.order, "ok") == "ok"]
            if left and (why := self._must_stop(lap)):
                self.outcome.stopped = why
                break
            if left:
                self._measure(left)
                after_lap(lap[0].lap)
        if not self.outcome.stopped:
            shutil.rmtree(self.run.path / CACHES, ignore_errors=True)
        self.outcome.processes = len(self.ended)
        self.outcome.failures = self._failures()
        self.outcome.seconds = time.monotonic() - self.begun_s
        self.run.manifest.update(complete=True, stopped=self.outcome.stopped)
        write_manifest(self.run.path, self.run.manifest)
        return self.outcome

    def _look_around(self) -> set[str]:
        """Return the other measurements on this machine now; each is warned of once."""
        now = set(self.neighbours.now())
        if new := now - self.beside:
            logger.warning("%s", warning(tuple(sorted(new))))
            self.beside |= new
        return now

    def _learn(self, record: dict[str, Any]) -> None:
        """Take from a stored record what the processes to come need to know."""
        order = record.get("order", -1)
        self.attempts[order] = max(self.attempts.get(order, 0), record.get("attempt", 0))
        if record.get("record") == "process":
            self.ended[order] = record["status"]
            if record.get("group"):
                lost = self.lost.setdefault(record["backend"], {})
                lost[Group(*record["group"])] = record["status"]
        elif record.get("record") == "cell":
            group = Group(record["network"], record["batch"], record["dtype"], record["device"])
            self.kept.setdefault(order, set()).add(Cell(*group, record["phase"]))
            if record["phase"] == "train" and record["status"] == "ok":
                self.steps.setdefault(record["backend"], {}).setdefault(str(group), record["steps"])

    def _must_stop(self, lap: Sequence[Process]) -> str:
        """Return why the next lap should not begin: it would not fit in the budget, and enough are done."""
        budget_s, done = self.plan.budget_s, lap[0].lap
        if budget_s is None or done < 2:
            return ""
        spent_s, next_s = time.monotonic() - self.begun_s, sum(self._left_s(process) for process in lap)
        if spent_s + next_s <= 1.05 * budget_s:
            return ""
        return f"the budget of {budget_s:g} s holds {done} of {self.plan.processes} processes of each backend"

    def _measure(self, processes: Sequence[Process]) -> None:
        """Run the processes of a lap that are left, and keep what they give."""
        measured = self._measured(processes[0].lap)
        flights = []
        for process in processes:
            avoided = self.lost.get(process.backend, {})
            flight = _Flight(process, self.attempts.get(process.order, -1) + 1, self._cache(process))
            for cell in self.plan.cells:
                if cell.group in measured:
                    continue
                if cell.group not in avoided:
                    flight.cells.append(cell)
                    continue
                why = f"left out: an earlier process of {process.backend} was lost here"
                self._keep({**flight.cell_record(cell), "status": avoided[cell.group], "reason": why})
            if flight.cells:
                flights.append(flight)
            else:
                self._end(flight, {"event": "end"})
        launches = [self._launch(flight) for flight in flights]
        with closing(run_lap(launches, self.plan.timeout_s)) as events:
            for position, event in events:
                self._take(flights[position], event, flights)

    def _measured(self, lap: int) -> set[Group]:
        """Return the groups of which every arm of a lap has all rows already, from before it was cut off."""
        orders = [other.order for other in self.processes if other.lap == lap]
        whole = set.intersection(*(self.kept.get(order, set()) for order in orders))
        return {group for group in self.plan.groups if whole >= {Cell(*group, phase) for phase in self.plan.phases}}

    def _take(self, flight: _Flight, event: dict[str, Any], flights: Sequence[_Flight]) -> None:
        """Keep what a process tells."""
        if event["event"] == "begin":
            flight.current = Cell(**event["cell"])
            flight.beside |= self._look_around()
            self._tell(flight, flights)
        elif event["event"] == "row":
            row = event["row"]
            cell = Cell(*(row[name] for name in Cell._fields))
            flight.beside |= self._look_around()
            self._keep({**flight.cell_record(cell), **row, "receipt_beside": "; ".join(sorted(flight.beside))})
            flight.done.add(cell)
        else:
            self._end(flight, event)

    def _end(self, flight: _Flight, last: dict[str, Any]) -> None:
        """Record the end of a process, and the cells that it did not reach."""
        flight.cache.add(str(cell.group) for cell in flight.done)
        lost = last["event"] == "lost"
        if lost:
            for cell in flight.cells:
                if cell not in flight.done:
                    here = flight.current is None or cell == flight.current
                    where = "" if here else f"not reached, lost at {flight.current}: "
                    row = flight.cell_record(cell)
                    self._keep({**row, "status": last["status"], "reason": where + last["reason"]})
        end = {"record": "process", **flight.base, "status": last.get("status", "ok"), "reason": last.get("reason", "")}
        end["group"] = list(flight.current.group) if lost and flight.current else None
        self._keep({**end, "seconds": last.get("seconds", 0.0), "spent_s": last.get("spent_s", {})})
        self.expected_s[flight.process.order] = last.get("seconds", 0.0)

    def _cache(self, process: Process) -> CompileCache:
        """Return the compile cache of a process's arm: this run's own, or the one kept between runs."""
        root = self.run.path if self.plan.own_cache else self.run.path.parent
        name = f"{process.backend}{process.arm}-{process.threads}".replace("/", "").replace(":", ".")
        return CompileCache((root / CACHES / name).resolve())

    def _launch(self, flight: _Flight) -> Launch:
        """Return what a process is told."""
        folder, process = self.run.path, flight.process
        name = f"{process.order:03d}-{process.backend.replace(':', '.')}{process.arm.replace('/', '')}"
        (folder / "logs").mkdir(exist_ok=True)
        places = {cell: place for place, cell in enumerate(self.plan.cells)}
        spec = {
            **flight.base,
            "machine": self.run.machine,
            "commit": self.run.manifest["commit"],
            "dirty": self.run.manifest["dirty"],
            "environment": as_text(speed_variables(ours=OWN_VARIABLES)),
            "cells": [cell._asdict() for cell in flight.cells],
            "positions": [places[cell] for cell in flight.cells],
            "cached": sorted(flight.cache.groups),
            "cpus": list(machine.cpus_for(process.threads)),
            "effort": vars(self.plan.effort),
            "steps": self.steps.get(process.backend, {}),
            "benchmarks": str((folder / "benchmarks" / f"{name}.json").resolve()),
        }
        return Launch(spec, folder / "logs" / f"{name}.spec.json", folder / "logs" / f"{name}.txt", flight.cache.path)

    def _keep(self, record: dict[str, Any]) -> None:
        self.journal.append(record)
        self._learn(record)

    def _left_s(self, process: Process) -> float:
        """Return what a process should take, by its backend's processes that have ended, or by the estimate."""
        alike = [other for other in self.processes if other[2:] == process[2:] and other.order in self.ended]
        if alike:
            return self.expected_s[alike[-1].order]
        return self.expected_s[process.order]

    def _tell(self, flight: _Flight, flights: Sequence[_Flight]) -> None:
        left_s = sum(self._left_s(process) for process in self.processes if process.order not in self.ended)
        left_s -= sum(
            len(other.done) / len(other.cells) * self._left_s(other.process)
            for other in flights
            if other.process.order not in self.ended
        )
        spent_s = time.monotonic() - self.begun_s
        name = f"{flight.process.backend}{' ' + flight.process.arm if flight.process.arm else ''}"
        self.report(Progress(spent_s / max(spent_s + left_s, 1e-9), left_s, f"{name}: {flight.current}"))

    def _failures(self) -> list[str]:
        """Return a line for each way in which a backend failed: how, why, where first and in how many cells."""
        cells: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
        for record in results.cells(self.run):
            derived = record.get("reason", "").startswith(("left out", "not reached"))
            if record["status"] != "ok" and not derived:
                cell = Cell(*(record[name] for name in Cell._fields))
                name = f"{record['backend']}{' ' + record['arm'] if record['arm'] else ''}"
                reason = record.get("reason", "")
                alike = re.sub(r"[\d.e+-]+", "", reason)
                cells.setdefault((name, record["status"], alike), []).append((str(cell), reason))
        return [
            f"{name}, {found[0][0]}{f' and {len(found) - 1} more' if len(found) > 1 else ''}: {status}: {found[0][1]}"
            for (name, status, _), found in cells.items()
        ]
