"""The core benchmarks started by hand: backends one after the other in one process, each proven before it is timed.

No turns, no fresh processes and no stored rows: pytest-benchmark's own table and files are the result.

Tests: `tests/bench/measure/test_core_benchmarks.py`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from backends import BackendUnavailable, available, load
from backends.conformance import check_cell
from bench.measure import cases
from bench.measure.timing import Effort, Schedule, Work, calibrate, timed_round, warm_up
from bench.workload import Workload
from bench.workload.memory import check_memory
from bench.workload.problem import make

if TYPE_CHECKING:
    from backends import Backend
    from bench.workload.problem import Problem

PHASES = ("forward", "backward", "update", "step")
EFFORT = Effort(timed_s=0.2, warm_up_s=0.2)
CHECKED_ROWS = 4_096


class Choice(NamedTuple):
    """One benchmark: a phase of a network, rows, dtype and device on a backend."""

    network: str
    rows: int
    dtype: str
    device: str
    phase: str
    backend: str

    def __str__(self) -> str:
        return f"{self.backend}-{self.group}"

    @property
    def group(self) -> str:
        """What is compared in one table."""
        return f"{self.network} n={self.rows} {self.dtype} {self.device} {self.phase}"


class Measurement:
    """One benchmark, warmed up and calibrated; as `bench.measure.worker.Measurement`, without turns."""

    def __init__(self, work: Work, schedule: Schedule) -> None:
        self.schedule = schedule
        self._work = work

    def round(self) -> float:
        """Time one round; return the seconds of a call."""
        return timed_round(self._work, self.schedule.iterations).wall_s / self.schedule.iterations

    def facts(self) -> dict[str, Any]:
        """Return what a reader of pytest-benchmark's file needs to know in addition to its numbers."""
        return {"calls_in_a_round": self.schedule.iterations}

    def finish(self) -> None:
        """Nothing is kept beyond pytest-benchmark's own file."""


class ByHand:
    """What the options ask for."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @property
    def cells(self) -> list[Choice]:
        """The benchmarks, those of one table one after the other.

        Raises:
            pytest.UsageError: an option that cannot be read, or a batch that does not fit.
        """
        option = self._config.getoption
        try:
            networks = [str(Workload.parse(text)) for text in option("--networks").split(",")]
            rows = [int(text) for text in option("--rows").split(",")]
            for text in networks:
                check_memory(Workload.parse(text), max(rows), option("--dtype"), option("--device"))
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None
        backends = tuple(option("--backends").split(",")) if option("--backends") else available()
        return [
            Choice(network, count, option("--dtype"), option("--device"), phase, backend)
            for network in networks
            for count in rows
            for phase in PHASES
            for backend in backends
        ]

    def prepare(self, choice: Choice) -> Measurement:
        """Return a benchmark ready to be timed; fail it if its backend does not conform."""
        try:
            backend, problem = proven(*choice[:4], choice.backend)
        except (BackendUnavailable, ValueError) as error:
            pytest.fail(str(error), pytrace=False)
        rows_per_step = Workload.parse(choice.network).rows_per_step
        work = cases.SINGLE[choice.phase](cases.Subject(backend, problem, rows_per_step))
        work(1)  # compiles
        return Measurement(work, calibrate(work, warm_up(work, EFFORT.warm_up_s), EFFORT))


@cache
def proven(network: str, rows: int, dtype: str, device: str, name: str) -> tuple[Backend, Problem]:
    """Return a loaded backend and its problem, after conformance.

    Raises:
        BackendUnavailable: its framework is not here.
        ValueError: it breaks a bound; names the claims.
    """
    workload = Workload.parse(network)
    backend = load(name, workload.network, dtype, device, workload.optimizer)
    problem = make(workload, rows, dtype)
    checked = min(CHECKED_ROWS, workload.step_rows(rows))
    inputs, targets = problem.inputs[:checked], problem.targets[:checked]
    report = check_cell(backend, problem.params, inputs, targets, problem.learning_rate)
    if not report.passed:
        claims = ", ".join(f"{claim.name} ({claim.ratio:.3g} of its bound)" for claim in report.failures)
        raise ValueError(f"{name} does not conform on {network}: {claims}; see python -m bench check --backend {name}")
    return backend, problem
