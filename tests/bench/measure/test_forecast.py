"""The time left that progress shows: by earlier runs at first, then by what this one took."""

import pytest

from backends import Network
from bench.measure import estimate, forecast
from bench.measure.cell import Group, Process
from bench.measure.compile_cache import CompileCache
from bench.measure.flight import Flight
from bench.measure.history import History
from bench.measure.pace import Pace
from bench.measure.plan import Plan

PLAN = Plan(
    tuple(Group(Network((3, 2, 1)), rows, "float32", "cpu") for rows in (1, 2, 3, 4)),
    ("step",),
    ("a", "b"),
    processes=2,
    own_cache=False,
)


@pytest.fixture
def flights(tmp_path, monkeypatch):
    """Return the two processes of a first lap."""
    monkeypatch.setattr(estimate, "flop_rate", lambda dtype: 1e11)
    cells = dict.fromkeys(PLAN.cells, 0.2)
    return [
        Flight(Process(order, 0, name, "", 1), 0, CompileCache(tmp_path / name), cells)
        for order, name in enumerate(PLAN.backends)
    ]


def left_s(flights):
    """Return the seconds left as this machine, which never ran anything, should expect them."""
    return forecast.left_s(PLAN, Pace(), History(), flights)


def test_time_left_grows_in_the_first_lap_if_cells_take_longer(flights):
    """Cells that took five times as long as expected let the others be expected to, before any process has ended."""
    before_s = left_s(flights)
    for flight in flights:
        flight.done = set(PLAN.cells[:2])
    half_s = left_s(flights)
    assert half_s < before_s
    for flight in flights:
        flight.spent_s = 50.0
    assert left_s(flights) > 2 * before_s


def test_a_quick_first_cell_says_little(flights):
    """Ten times as long as expected, it does not make the rest ten times as long."""
    flights[0].done = {PLAN.cells[0]}
    before_s = left_s(flights)
    flights[0].spent_s = 3.0
    assert before_s < left_s(flights) < 2 * before_s
