"""The timed cases, under pytest-benchmark; ``python -m bench run`` starts this file in each of its processes.

Each test is one cell. The rounds are driven by pytest-benchmark, whose JSON is kept; its clock here is `awaited_s`,
which advances by the seconds of *one* awaited call, as measured inside the round (`timing`): so its figures are
those of a call even where a round makes thousands, its own calibration, which a first call that compiles would mislead,
has no say, and the loop carries no cost but its own.
"""

from __future__ import annotations

from typing import Any

import pytest

from bench.measure.plan import Cell
from bench.measure.worker import Measurement, plugin_of


class Clock:
    """A clock that stands still but for what it is told."""

    now_s = 0.0


def awaited_s() -> float:
    """Return the seconds of all rounds so far, each counted as one call."""
    return Clock.now_s


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of every cell of the process."""
    cells = plugin_of(metafunc.config).cells
    metafunc.parametrize("cell", cells, ids=[str(cell).replace(" ", "-") for cell in cells])


@pytest.fixture
def measurement(cell: Cell, request: pytest.FixtureRequest) -> Measurement:
    """The cell made ready: proven, warmed up, calibrated."""
    return plugin_of(request.config).prepare(cell)


@pytest.mark.benchmark(timer=awaited_s, disable_gc=True)
def test_cell(cell: Cell, measurement: Measurement, benchmark: Any) -> None:
    """Time one phase of one network, batch, dtype and device."""

    def one_round() -> None:
        Clock.now_s += measurement.round()

    benchmark.group = str(cell.group)
    benchmark.extra_info.update(measurement.facts())
    benchmark.pedantic(one_round, rounds=measurement.schedule.rounds, iterations=1, warmup_rounds=0)
    measurement.finish()
