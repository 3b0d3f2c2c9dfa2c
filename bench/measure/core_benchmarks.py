"""The timed cells, under pytest-benchmark: started in each process of ``python -m bench run``, and also by hand.

By hand, in one process, with pytest-benchmark's own table, ``--benchmark-json`` and ``--benchmark-compare``::

    pytest bench/measure/core_benchmarks.py --networks 3-2-1,784-512-10 --rows 32,4096 --backends numpy,torch

Each test is one cell. The rounds are driven by pytest-benchmark, whose JSON is kept; its clock here is `awaited_s`,
which advances by the seconds of *one* awaited call, as measured inside the round (`timing`). So its times are those of
a call even where a round makes thousands, and the loop carries no cost but its own. Its own calibration is not used: a
first call that compiles would mislead it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bench.measure.by_hand import ByHand, Choice
from bench.measure.worker import PLUGIN

if TYPE_CHECKING:
    from bench.measure import by_hand, worker
    from bench.measure.cell import Cell


class Clock:
    """A clock that stands still but for what it is told."""

    now_s = 0.0


def awaited_s() -> float:
    """Return the seconds of all rounds so far, each counted as one call."""
    return Clock.now_s


def started(config: pytest.Config) -> worker.WorkerPlugin | ByHand:
    """Return what says which cells to time: the process of a campaign, or else the options."""
    return config.stash.get(PLUGIN, None) or ByHand(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of every cell."""
    cells = started(metafunc.config).cells
    metafunc.parametrize("cell", cells, ids=[str(cell).replace(" ", "-") for cell in cells])


@pytest.fixture
def measurement(cell: Cell | Choice, request: pytest.FixtureRequest) -> worker.Measurement | by_hand.Measurement:
    """The cell made ready: proven, warmed up, calibrated."""
    starter: Any = started(request.config)
    ready: worker.Measurement | by_hand.Measurement = starter.prepare(cell)
    return ready


@pytest.mark.benchmark(timer=awaited_s, disable_gc=True)
def test_cell(cell: Cell | Choice, measurement: worker.Measurement | by_hand.Measurement, benchmark: Any) -> None:
    """Time one phase of one network, rows, dtype and device."""

    def one_round() -> None:
        Clock.now_s += measurement.round()

    benchmark.group = str(cell.group)
    benchmark.extra_info.update(measurement.facts())
    benchmark.pedantic(one_round, rounds=measurement.schedule.rounds, iterations=1, warmup_rounds=0)
    measurement.finish()
