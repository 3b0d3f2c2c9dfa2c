"""Carry out a plan, one lap of processes after the other. Each record is on disk at once, so that a run can be resumed.

`bench.measure.plan` says what a process is; `bench.measure.lap`, how a lap is run; `bench.measure.adaptive`, what
one measures. Nothing is printed here: `Progress` tells the caller how far things are, and another campaign
on this machine is logged as a warning and kept in the rows.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import machine, results
from bench.basics.names import OK, TIMEOUT
from bench.machine.environment import as_text, speed_variables
from bench.measure import adaptive, budget, forecast
from bench.measure.adaptive import StoppingRule
from bench.measure.base_code import BaseCode
from bench.measure.cell import Cell, Group, Process
from bench.measure.compile_cache import CompileCache, file_name, folder_of_caches
from bench.measure.flight import Flight
from bench.measure.history import History, arm_of
from bench.measure.instructions import Assignment, Instructions
from bench.measure.lap import Launch, run_lap
from bench.measure.lock import held
from bench.measure.manifest import (
    check_resumable,
    create,
    discarded_if_empty,
    earlier_pace,
    not_left_empty,
    stored_plan,
    write_manifest,
)
from bench.measure.neighbours import Neighbours, announced, warning
from bench.measure.outcome import Outcome, failures
from bench.measure.pace import Pace
from bench.measure.plan import Plan
from bench.measure.process_environment import OWN_VARIABLES
from bench.results import ROWS, Run
from bench.results.journal import Journal, JournalFull

__all__ = [
    "Outcome",
    "Progress",
    "carry_out",
    "check_resumable",
    "create",
    "discarded_if_empty",
    "earlier_pace",
    "measure",
    "stored_plan",
]

LEAST_FREE_BYTES = 64 << 10
"""With less free space on the disk than this, a full disk may be why a process was lost."""

LEAST_WORK_SHARE = 0.5
"""Of the time that passes: what processes work at least, as far as plans go. A campaign that was suspended saw less."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a campaign is: a fraction of its expected time, seconds left, and what is being done."""

    fraction: float
    left_s: float
    text: str


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Report nothing."""


def measure(
    plan: Plan,
    purpose: str,
    *,
    budget_s: float | None = None,
    processes: int | None = None,
    label: str = "",
    command: Sequence[str] = (),
    root: Path | None = None,
    report: Report = silent,
    most_s: float = math.inf,
) -> Run:
    """Measure a plan and return the run that keeps it.

    Args:
        plan: what to measure.
        purpose: why, out of `bench.basics.names.PURPOSES`.
        budget_s: seconds that the plan is fitted into; it stays as it is without them.
        processes: of each arm, if the budget is not to choose them.
        label: what its author calls it.
        command: the program's arguments, to be kept.
        root: folder of all runs.
        report: is told how far things are.
        most_s: seconds from now after which all processes are ended, whatever they have not measured yet.
    """
    begun_s = time.monotonic()
    pace = earlier_pace(root)
    fitted = budget.fit(plan, budget_s, pace, processes) if budget_s else plan
    run = create(fitted, purpose, command, label, root)
    with not_left_empty(run):
        carry_out(run, fitted, pace, report=report, most_s=most_s - (time.monotonic() - begun_s))
    return run


def carry_out(
    run: Run,
    plan: Plan | None = None,
    pace: Pace | None = None,
    rule: StoppingRule | None = None,
    report: Report = silent,
    after_lap: Callable[[int], None] = lambda _: None,
    codes: Mapping[str, BaseCode] | None = None,
    most_s: float = math.inf,
) -> Outcome:
    """Run every process of a run that has not ended yet; return what it came to.

    A process that was begun and did not end is run again, and its new rows replace the old ones. Groups of which every
    process of the lap has rows already are left out.

    Args:
        run: to be measured.
        plan: of it; by default the stored one, as after an interrupt.
        pace: what things take, for progress.
        rule: says which cells are open still, for an adaptive plan.
        report: is told how far things are.
        after_lap: called with the number of each lap when it has ended, to measure the machine in the same minutes.
        codes: by arm: the code that it runs, if it is not the code here.
        most_s: seconds after which all processes are ended, whatever they have not measured yet.

    Raises:
        UsageError: another process is measuring this run.
        JournalFull: the disk is full; what was measured is kept.
        KeyboardInterrupt: it was interrupted; what was measured is kept.
    """
    with held(run), Journal(run.path / ROWS) as journal, announced(f"run {run.id}") as neighbours:
        campaign = _Campaign(
            run=run,
            plan=plan or stored_plan(run),
            pace=pace or Pace(),
            rule=rule,
            journal=journal,
            report=report,
            neighbours=neighbours,
            codes=codes or {},
            deadline_s=time.monotonic() + most_s,
        )
        return campaign.carry_out(after_lap)


@dataclass
class _Campaign:
    """One run while it is measured.

    Attributes:
        run: to be measured.
        plan: of it.
        pace: what things take, for progress.
        rule: says which cells are open still, for an adaptive plan.
        journal: keeps each record.
        report: is told how far things are.
        neighbours: the other measurements on this machine.
        codes: by arm: the code that it runs, if it is not the code here.
        deadline_s: when all processes are ended, on the monotonic clock.
        begun_s: when it began.
        beside: the neighbours that were seen.
        history: what its records say so far.
    """

    run: Run
    plan: Plan
    pace: Pace
    rule: StoppingRule | None
    journal: Journal
    report: Report
    neighbours: Neighbours
    codes: Mapping[str, BaseCode]
    deadline_s: float
    begun_s: float = field(default_factory=time.monotonic)
    beside: set[str] = field(default_factory=set)
    history: History = field(default_factory=History)
    _worked_s: float = 0.0

    def __post_init__(self) -> None:
        self._own_caches = folder_of_caches(self.run.id) if self.plan.own_cache else None
        self._caches = self._own_caches or folder_of_caches(self.run.machine)
        for _, record in results.records(self.run):
            with contextlib.suppress(KeyError, TypeError, ValueError):  # a record of another program
                self.history.learn(record)

    def carry_out(self, after_lap: Callable[[int], None]) -> Outcome:
        self._look_around()
        stopped = ""
        for lap in self.plan.laps():
            if self._is_past(lap):
                continue
            tasks = self._without_hung(adaptive.tasks(self.plan, lap, self.history, self.rule, self._left_to_work_s()))
            left = [process for process in tasks if process.order not in self.history.ended]
            if left and (stopped := self._must_stop(lap)):
                break
            if left:  # with those that ended well before the run was cut off: arms are compared turn by turn
                again = [process for process in tasks if self.history.ended.get(process.order, OK) == OK]
                self._measure({process: tasks[process] for process in again})
                after_lap(lap[0].lap)
            elif not tasks:
                break
        if self._own_caches:
            shutil.rmtree(self._own_caches, ignore_errors=True)
        self.run.manifest.update(complete=True, stopped=stopped)
        write_manifest(self.run.path, self.run.manifest)
        total_s = time.monotonic() - self.begun_s
        return Outcome(self.run, len(self.history.ended), failures(self.run), stopped, total_s)

    def _without_hung(self, tasks: adaptive.Tasks) -> adaptive.Tasks:
        """Return the tasks without backends that hung in an earlier lap, unless time allows another hang."""
        hung = {backend for backend, groups in self.history.lost.items() if TIMEOUT in groups.values()}
        others = {process: cells for process, cells in tasks.items() if process.backend not in hung}
        needed_s = adaptive.expected_s(self.history, others) + len(hung) * self.plan.timeout_s
        return tasks if needed_s <= self._left_s() else others

    def _is_past(self, lap: Sequence[Process]) -> bool:
        """Return whether a later lap was begun already, so that this one is over."""
        return any(order > lap[-1].order for order in self.history.attempts)

    def _left_s(self) -> float:
        """Return the seconds of the budget that are left."""
        return (self.plan.budget_s or float("inf")) - (time.monotonic() - self.begun_s)

    def _left_to_work_s(self) -> float:
        """Return how many of the seconds left processes can work.

        The rest goes to probes between laps and to switching turns, in the same proportion as so far.
        """
        passed_s = time.monotonic() - self.begun_s
        share = self._worked_s / passed_s if self._worked_s else 1.0
        return self._left_s() * min(max(share, LEAST_WORK_SHARE), 1.0)

    def _must_stop(self, lap: Sequence[Process]) -> str:
        """Return why the next lap should not begin, because it does not fit in the budget; '' if it should."""
        done = lap[0].lap
        if done and time.monotonic() > self.deadline_s:
            return f"the time for all of it was over after {done} of {self.plan.processes} processes of each backend"
        least = min(2, self.plan.processes - 1)
        if self.plan.budget_s is None or (self.plan.adaptive and self.rule) or done < least:
            return ""
        next_s = adaptive.expected_s(self.history, dict.fromkeys(lap, self.plan.cells))
        if next_s <= self._left_s() + 0.05 * self.plan.budget_s:
            return ""
        return f"the budget of {self.plan.budget_s:g} s holds {done} of {self.plan.processes} processes of each backend"

    def _look_around(self) -> set[str]:
        """Return the other measurements on this machine now, with a warning the first time that each is seen."""
        now = set(self.neighbours.now())
        if new := now - self.beside:
            logger.warning("%s", warning(tuple(sorted(new))))
            self.beside |= new
        return now

    def _measure(self, tasks: adaptive.Tasks) -> None:
        """Run the processes of a lap in turns, and store their rows."""
        measured = self._measured(tasks)
        flights = []
        for process, cells in tasks.items():
            lost = self.history.lost.get(process.backend, {})
            left = {cell: s for cell, s in cells.items() if cell.group not in measured and cell.group not in lost}
            flight = Flight(process, self.history.attempts.get(process.order, -1) + 1, self._cache(process), left)
            for cell in cells:
                if cell.group in lost and cell.group not in measured:
                    why = f"left out: an earlier process of {process.backend} was lost here"
                    self._keep({**flight.cell_record(cell), "status": lost[cell.group], "reason": why})
            if left:
                flights.append(flight)
            else:
                self._end(flight, {"event": "end"})
        launches = [self._launch(flight) for flight in flights]
        with closing(run_lap(launches, self.plan.timeout_s, self.deadline_s)) as events:
            for position, event in events:
                self._take(flights[position], event, flights)

    def _measured(self, tasks: adaptive.Tasks) -> set[Group]:
        """Return the groups of which every process of a lap has all rows already, from before an interruption."""
        missing = {c.group for p, cells in tasks.items() for c in cells if c not in self.history.kept.get(p.order, ())}
        return {cell.group for cells in tasks.values() for cell in cells} - missing

    def _take(self, flight: Flight, event: dict[str, Any], flights: Sequence[Flight]) -> None:
        """Store what a process reports."""
        if event["event"] == "begin":
            flight.current = Cell.of(event["cell"])
            flight.beside |= self._look_around()
            self._tell(flight, flights)
        elif event["event"] == "row":
            row = event["row"]
            flight.beside |= self._look_around()
            cell = Cell.of(row)
            self._keep({**flight.cell_record(cell), **row, "receipt_beside": "; ".join(sorted(flight.beside))})
            flight.done.add(cell)
            flight.spent_s += float(row.get("spent_s") or 0.0)
        else:
            self._end(flight, event)

    def _end(self, flight: Flight, last: dict[str, Any]) -> None:
        """Record the end of a process, and a failure for each of its cells that has no row.

        Raises:
            JournalFull: the process was lost while the disk was full, so the backend is not to blame.
        """
        if last["event"] == "lost" and shutil.disk_usage(self.run.path).free < LEAST_FREE_BYTES:
            raise JournalFull(errno.ENOSPC, f"no space left for {self.run.path}; earlier records are kept")
        flight.cache.add(str(cell.group) for cell in flight.done)
        lost = last["event"] == "lost"
        status = last["status"] if lost else "failed"
        reason = last["reason"] if lost else "the process ended without a word about it"
        for cell in flight.cells:
            if cell not in flight.done:
                here = flight.current is None or cell == flight.current
                where = "" if here else f"not reached, {'lost' if lost else 'ended'} at {flight.current}: "
                self._keep({**flight.cell_record(cell), "status": status, "reason": where + reason})
        end = {"record": "process", **flight.base, "status": last.get("status", OK), "reason": last.get("reason", "")}
        group = flight.current.group if lost and flight.current and not last.get("by_another") else None
        end["group"] = group.stored() if group else None
        self._worked_s += last.get("seconds", 0.0)
        self._keep({**end, "seconds": last.get("seconds", 0.0), "spent_s": last.get("spent_s", {})})

    def _cache(self, process: Process) -> CompileCache:
        """Return the compile cache of a process's arm: one of this run, or one that is kept between runs.

        The cache of another version's code is in the folder of that code and is removed with it. The next run has that
        code in another folder and would compile again anyway.
        """
        code = self.codes.get(process.arm)
        caches = code.caches if code else self._caches
        return CompileCache(caches / file_name(f"{process.backend}{process.arm}-{process.threads}"))

    def _launch(self, flight: Flight) -> Launch:
        """Return the launch of a process: its instructions, log, cache and code."""
        folder, process = self.run.path, flight.process
        code = self.codes.get(process.arm)
        name = f"{process.order:03d}-{file_name(process.backend + process.arm.replace('/', ''))}"
        (folder / "logs").mkdir(exist_ok=True)
        places = {cell: place for place, cell in enumerate(self.plan.cells)}
        instructions = Instructions(
            *process,
            assignments=tuple(
                Assignment(*cell.group.stored(), cell.phase, places[cell], timed_s)
                for cell, timed_s in flight.cells.items()
            ),
            effort=vars(self.plan.effort),
            cpus=machine.cpus_for(process.threads),
            cached=frozenset(flight.cache.groups),
            steps=self.history.steps.get(process.backend, {}),
            calls=self.history.calls.get(arm_of(process), {}),
            machine=self.run.machine,
            commit=code.revision[:12] if code else self.run.manifest["commit"],
            dirty=self.run.manifest["dirty"] and not code,
            environment=as_text(speed_variables(ours=OWN_VARIABLES)),
            benchmarks=str((folder / "benchmarks" / f"{name}.json").resolve()),
        )
        return Launch(instructions, folder / "logs" / f"{name}.txt", flight.cache.path, code)

    def _keep(self, record: dict[str, Any]) -> None:
        if record["record"] == "cell":
            results.check(record)
        self.journal.append(record)
        self.history.learn(record)

    def _tell(self, flight: Flight, flights: Sequence[Flight]) -> None:
        """Report the progress of the campaign."""
        spent_s = time.monotonic() - self.begun_s
        if self.plan.adaptive and self.plan.budget_s:
            left_s = max(budget.MARGIN * self.plan.budget_s - spent_s, 0.0)
        else:
            left_s = forecast.left_s(self.plan, self.pace, self.history, flights)
        name = f"{flight.process.backend}{' ' + flight.process.arm if flight.process.arm else ''}"
        self.report(Progress(spent_s / max(spent_s + left_s, 1e-9), left_s, f"{name}: {flight.current}"))
