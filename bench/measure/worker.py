"""The measured process: which cell is next, and what is sent to the campaign.

Of each group (network, rows, dtype, device) the first calls of every phase come first, while nothing is compiled; then
conformance; then the cells, under pytest-benchmark; then conformance of the state that the timed steps left. The rows
of a group are sent when that last check is done. Before each cell and each turn of rounds the process waits until it is
its turn.

Tests: `tests/bench/measure/test_campaign.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from bench.machine import fingerprint, start_on
from bench.measure import receipt
from bench.measure.cell import Cell, Group
from bench.measure.channel import Channel
from bench.measure.first_calls import first_calls
from bench.measure.group import GroupRun
from bench.measure.instructions import Instructions
from bench.measure.interference import Round
from bench.measure.proof import prove
from bench.measure.timing import Schedule, Work, calibrate, long_schedule, settle, summarise, timed_round, warm_up

PREPARE, TIME = 0, 1
"""The stages of a cell, as the parent process tells them apart: all arms prepare it before any is timed at it."""


class Measurement:
    """One cell, warmed up and calibrated, while its rounds are timed, turn after turn."""

    def __init__(
        self, group: GroupRun, phase: str, work: Work, schedule: Schedule, wait_for_turn: Callable[[int], None]
    ) -> None:
        self.schedule = schedule
        self._group, self._phase, self._work, self._steps = group, phase, work, group.steps(phase)
        self._wait_for_turn = wait_for_turn
        self._rounds: list[Round] = []
        self._steal_s = receipt.steal_s()

    def round(self) -> float:
        """Time one round, after waiting for a new turn if the last is over; return the seconds of a call or a step."""
        turn, begun = divmod(len(self._rounds), self.schedule.in_a_turn)
        if not begun:
            self._wait_for_turn(turn)
        try:
            if not begun:
                settle(self._work, self.schedule.call_s)
            timed = timed_round(self._work, self.schedule.iterations)
        except BaseException as error:
            self._group.fail(self._phase, error)
            pytest.fail(f"{type(error).__name__}: {error}")
        self._rounds.append(timed)
        return timed.wall_s / (self.schedule.iterations * self._steps)

    def facts(self) -> dict[str, Any]:
        """Return what a reader of pytest-benchmark's file needs to know in addition to its figures."""
        told = self._group.instructions
        return {
            "backend": told.backend,
            "arm": told.arm,
            "threads": told.threads,
            "calls_in_a_round": self.schedule.iterations,
            "steps_in_a_call": self._steps,
        }

    def finish(self) -> None:
        """Turn the rounds into the estimates of the cell's row."""
        summary = summarise(self._rounds, self.schedule.iterations * self._steps, self.schedule.in_a_turn)
        first_s = self._group.first_s[self._phase]
        self._group.estimates[self._phase] = {
            "steps": self._steps,
            **vars(summary),
            "iterations": self.schedule.iterations,
            "compile_s": max(0.0, first_s - summary.median_s * self._steps),
            "steal_s": receipt.steal_s() - self._steal_s,
            "load_average": receipt.load_average(),
            "peak_bytes": receipt.peak_bytes(),
        }


class WorkerPlugin:
    """The process as a pytest plugin.

    Args:
        instructions: what this process is told.
        channel: the line to its parent.
        import_s: seconds that loading the framework took.
    """

    def __init__(self, instructions: Instructions, channel: Channel, import_s: float) -> None:
        self.instructions = instructions
        self._assigned = {
            Cell(Group.make(it.network, it.rows, it.dtype, it.device), it.phase): it for it in instructions.assignments
        }
        self._channel = channel
        self._import_s = import_s
        self._group: GroupRun | None = None
        self._receipt: dict[str, Any] = {}
        self._clock = _Clock()
        self.spent_s = {"load": 0.0, "first calls": 0.0, "conformance": 0.0}

    @property
    def cells(self) -> list[Cell]:
        """The cells to measure, in order."""
        return list(self._assigned)

    def pytest_configure(self, config: pytest.Config) -> None:
        """Let the benchmarks find this process."""
        config.stash[PLUGIN] = self

    def pytest_benchmark_generate_machine_info(self) -> dict[str, Any]:
        """Give pytest-benchmark the fingerprint, so that it does not collect its own."""
        return {"node": self.instructions.machine, "cpu": {"brand_raw": fingerprint()["cpu_model"]}, **self._receipt}

    def pytest_benchmark_generate_commit_info(self) -> dict[str, Any]:
        """Give pytest-benchmark the commit that the campaign saw."""
        return {"id": self.instructions.commit, "dirty": self.instructions.dirty}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Send the rows of the last group, before pytest-benchmark writes its own file."""
        self._close()

    def prepare(self, cell: Cell) -> Measurement:
        """Return a cell ready to be timed; fail the test if its row is a failure."""
        with self._clock.stopped():
            self._channel.wait(self._assigned[cell].position, PREPARE)
        if self._group is None or self._group.group != cell.group:
            self._close()
            self._group = self._open(cell.group)
        self._clock.start(cell)
        group, phase = self._group, cell.phase
        if phase in group.failures:
            pytest.fail(f"{cell}: {', '.join(group.failures[phase])}", pytrace=False)
        self._channel.send("begin", cell=cell.columns())
        effort = group.effort.shortly(self._assigned[cell].timed_s)
        try:
            work = group.work(phase)
            if call_s := group.long_call_s(phase):
                schedule = long_schedule(call_s, effort)
            else:
                schedule = calibrate(work, warm_up(work, effort.warm_up_s), effort)
        except BaseException as error:
            group.fail(phase, error)
            pytest.fail(f"{cell}: {', '.join(group.failures[phase])}", pytrace=False)
        return Measurement(group, phase, work, schedule, partial(self._wait_for_turn, cell))

    def _wait_for_turn(self, cell: Cell, turn: int) -> None:
        """Wait for a turn of rounds, and begin it on the same processor as all other arms, since processors differ."""
        with self._clock.stopped():
            self._channel.wait(self._assigned[cell].position, TIME, turn)
        cpus = self.instructions.cpus
        start_on(cpus[turn % len(cpus)], cpus)

    @contextmanager
    def _spend(self, what: str) -> Iterator[None]:
        """Count the seconds of a part of the process."""
        begun_s = time.perf_counter()
        try:
            yield
        finally:
            self.spent_s[what] += time.perf_counter() - begun_s

    def _open(self, group: Group) -> GroupRun:
        """Place one group, make its first calls and prove it; a failure becomes the reason in its rows."""
        cells = [cell for cell in self._assigned if cell.group == group]
        self._clock.start(cells[0])
        self._channel.send("begin", cell=cells[0].columns())
        opened = GroupRun(self.instructions, group, [cell.phase for cell in cells])
        try:
            with self._spend("load"):
                opened.load()
            with self._spend("first calls"):
                first_calls(opened)
            with self._spend("conformance"):
                opened.before = prove(opened, opened.problem.params)
        except BaseException as error:
            for phase in opened.phases:
                opened.fail(phase, error)
        return opened

    def _close(self) -> None:
        """Prove the final state of the open group, and send its rows."""
        group, self._group = self._group, None
        if group is None:
            return
        if group.estimates:
            try:
                with self._spend("conformance"):
                    final = group.subject.backend.fetch(group.subject.params)
                    group.after = prove(group, final, timed=True)
            except BaseException as error:
                for phase in group.phases:
                    group.fail(phase, error)
        if group.backend and not self._receipt:
            told = self.instructions
            self._receipt = receipt.observe(group.backend, told.commit, told.dirty, told.environment)
        cache = "warm" if str(group.group) in self.instructions.cached else "cold"
        shared = {"import_s": self._import_s, "cache": cache}
        shared |= {f"receipt_{key}": value for key, value in self._receipt.items()}
        self._clock.stop()
        for phase in group.phases:
            spent_s = self._clock.spent_s.get(Cell(group.group, phase), 0.0)
            self._channel.send("row", row={**group.row(phase), "spent_s": spent_s, **shared})


class _Clock:
    """Counts the seconds of work on each cell; loading and proving a group counts for its first cell."""

    def __init__(self) -> None:
        self.spent_s: dict[Cell, float] = {}
        self._cell: Cell | None = None
        self._begun_s = 0.0

    def start(self, cell: Cell) -> None:
        """Begin to count for a cell."""
        self.stop()
        self._cell, self._begun_s = cell, time.perf_counter()

    def stop(self) -> None:
        """Stop counting."""
        if cell := self._cell:
            self.spent_s[cell] = self.spent_s.get(cell, 0.0) + time.perf_counter() - self._begun_s
        self._cell = None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Do not count the seconds inside this block, in which the process waits."""
        cell = self._cell
        self.stop()
        yield
        if cell:
            self.start(cell)


PLUGIN = pytest.StashKey[WorkerPlugin]()
