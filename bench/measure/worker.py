"""A process from the inside: which cell is next, and what is sent of it.

Of each group (network, batch, dtype, device) the first calls of every phase come first, while nothing is compiled;
then conformance; then the cells, under pytest-benchmark; then conformance of the state that the timed steps left. The
rows of a group are sent when that last check is done. Before each cell and each turn of rounds the process waits until
it is its turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from bench.machine import fingerprint, start_on
from bench.measure import receipt
from bench.measure.channel import Channel
from bench.measure.group import GroupRun, first_calls, prove
from bench.measure.interference import Round
from bench.measure.plan import Cell, Group
from bench.measure.timing import Effort, Schedule, Work, calibrate, settle, summarise, timed_round, warm_up

PREPARE, TIME = 0, 1
"""The stages of a cell, as the parent process tells them apart: all arms prepare it before any is timed at it."""

PLUGIN = pytest.StashKey["WorkerPlugin"]()


class Measurement:
    """One cell, warmed up and calibrated, while its rounds are timed, turn after turn."""

    def __init__(
        self,
        group: GroupRun,
        phase: str,
        work: Work,
        schedule: Schedule,
        steps: int,
        wait_for_turn: Callable[[int], None],
    ) -> None:
        self.schedule = schedule
        self._group, self._phase, self._work, self._steps = group, phase, work, steps
        self._wait_for_turn = wait_for_turn
        self._rounds: list[Round] = []
        self._steal_s = receipt.steal_s()

    def round(self) -> float:
        """Time one round, of a new turn where the last is over; return the seconds of a call, a step for ``train``."""
        turn, begun = divmod(len(self._rounds), self.schedule.in_a_turn)
        if not begun:
            self._wait_for_turn(turn)
            settle(self._work, self.schedule.call_s)
        one = timed_round(self._work, self.schedule.iterations)
        self._rounds.append(one)
        return one.wall_s / (self.schedule.iterations * self._steps)

    def facts(self) -> dict[str, Any]:
        """Return what a reader of pytest-benchmark's file needs to know beside its figures."""
        process = self._group.process
        return {
            "backend": process["backend"],
            "arm": process["arm"],
            "threads": process["threads"],
            "calls_in_a_round": self.schedule.iterations,
            "steps_in_a_call": self._steps,
        }

    def finish(self) -> None:
        """Turn the rounds into the figures of the cell's row."""
        summary = summarise(self._rounds, self.schedule.iterations * self._steps, self.schedule.in_a_turn)
        first_s = self._group.first_s[self._phase]
        self._group.figures[self._phase] = {
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
        spec: what `bench.measure.process` wrote for this process.
        channel: the pipe to it.
        import_s: seconds that loading the framework took.
    """

    def __init__(self, spec: Mapping[str, Any], channel: Channel, import_s: float) -> None:
        self.spec = spec
        self.cells = [Cell(**cell) for cell in spec["cells"]]
        self.effort = Effort(**spec["effort"])
        self._positions = dict(zip(self.cells, spec["positions"], strict=True))
        self._channel = channel
        self._import_s = import_s
        self._group: GroupRun | None = None
        self._receipt: dict[str, Any] = {}
        self.spent_s = {"load": 0.0, "first calls": 0.0, "conformance": 0.0}

    def pytest_configure(self, config: pytest.Config) -> None:
        """Let the benchmarks find this process."""
        config.stash[PLUGIN] = self

    def pytest_benchmark_generate_machine_info(self) -> dict[str, Any]:
        """Give pytest-benchmark the fingerprint, which saves it a second of its own."""
        return {"node": self.spec["machine"], "cpu": {"brand_raw": fingerprint()["cpu_model"]}, **self._receipt}

    def pytest_benchmark_generate_commit_info(self) -> dict[str, Any]:
        """Give pytest-benchmark the commit that the campaign found."""
        return {"id": self.spec["commit"], "dirty": self.spec["dirty"]}

    def pytest_sessionfinish(self) -> None:
        """Send the rows of the last group."""
        self._close()

    def prepare(self, cell: Cell) -> Measurement:
        """Return a cell ready to be timed; skip the test where its row is a failure."""
        self._channel.wait(self._positions[cell], PREPARE)
        if self._group is None or self._group.group != cell.group:
            self._close()
            self._group = self._open(cell.group)
        group = self._group
        if cell.phase in group.failures:
            pytest.fail(f"{cell}: {': '.join(group.failures[cell.phase])}", pytrace=False)
        self._channel.send("begin", cell=cell._asdict())
        try:
            work, steps = group.work(cell.phase), group.steps(cell.phase)
            schedule = calibrate(work, warm_up(work, self.effort.warm_up_s), self.effort)
        except Exception as error:
            group.fail(cell.phase, error)
            raise
        return Measurement(group, cell.phase, work, schedule, steps, partial(self._wait_for_turn, cell))

    def _wait_for_turn(self, cell: Cell, turn: int) -> None:
        """Wait for a turn of rounds, and begin it on the processor that all arms begin it on: no two are as fast."""
        self._channel.wait(self._positions[cell], TIME, turn)
        cpus = self.spec["cpus"]
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
        """Place, call for the first time and prove one group; what fails is kept as the reason of its rows."""
        phases = [cell.phase for cell in self.cells if cell.group == group]
        self._channel.send("begin", cell={**group._asdict(), "phase": phases[0]})
        opened = GroupRun(self.spec, group, phases)
        try:
            with self._spend("load"):
                opened.load()
            with self._spend("first calls"):
                first_calls(opened)
            with self._spend("conformance"):
                opened.before = prove(opened, opened.problem.params)
        except Exception as error:
            for phase in phases:
                opened.fail(phase, error)
        return opened

    def _close(self) -> None:
        """Prove the final state of the open group, and send its rows."""
        group, self._group = self._group, None
        if group is None:
            return
        if group.figures:
            try:
                with self._spend("conformance"):
                    group.after = prove(group, group.subject.backend.fetch(group.subject.params))
            except Exception as error:
                for phase in group.phases:
                    group.fail(phase, error)
        if group.backend and not self._receipt:
            self._receipt = receipt.observe(
                group.backend, self.spec["commit"], self.spec["dirty"], self.spec["environment"]
            )
        cache = "warm" if str(group.group) in self.spec["cached"] else "cold"
        shared = {"import_s": self._import_s, "cache": cache}
        shared |= {f"receipt_{key}": value for key, value in self._receipt.items()}
        for phase in group.phases:
            self._channel.send("row", row={**group.row(phase), **shared})


def plugin_of(config: pytest.Config) -> WorkerPlugin:
    """Return the process that a pytest session measures.

    Raises:
        pytest.UsageError: the benchmarks were started by hand.
    """
    plugin = config.stash.get(PLUGIN, None)
    if plugin is None:
        raise pytest.UsageError("these benchmarks are started by: python -m bench run --quick")
    return plugin
