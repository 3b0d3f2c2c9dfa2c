"""How long the rest of a campaign should take, for progress: as its processes took so far, else as earlier runs did.

Tests: `tests/bench/measure/test_forecast.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.measure import adaptive, budget
from bench.measure.cell import Process
from bench.measure.flight import Flight
from bench.measure.history import History, arm_of
from bench.measure.pace import Pace
from bench.measure.plan import Plan

SURE_S = 5.0
"""Of work are taken to have gone as expected, in addition to what was done: a first slow cell says little."""


def left_s(plan: Plan, pace: Pace, history: History, flights: Sequence[Flight]) -> float:
    """Return the seconds that the rest of a campaign that is not adaptive should take.

    Args:
        plan: of the campaign.
        pace: what things took in earlier runs.
        history: of all records so far.
        flights: the processes of the lap that runs.
    """
    laps_left = plan.processes - flights[0].process.lap - 1
    if any(arm_of(flight.process) in history.start_s for flight in flights):
        lap_s = sum(_as_before_s(plan, pace, history, flight.process) for flight in flights)
        shares = (1 - len(flight.done) / len(flight.cells) for flight in flights)
        here_s = sum(
            share * _as_before_s(plan, pace, history, flight.process)
            for share, flight in zip(shares, flights, strict=True)
        )
        return here_s + lap_s * laps_left
    whole_s = sum(_first_s(plan, pace, flight, done=False) for flight in flights)
    done_s = sum(_first_s(plan, pace, flight, done=True) for flight in flights)
    spent_s = sum(flight.spent_s for flight in flights)
    slower = (spent_s + SURE_S) / (done_s + SURE_S)
    return slower * (whole_s - done_s + budget.lap_s(plan, pace, False) * laps_left)


def _first_s(plan: Plan, pace: Pace, flight: Flight, done: bool) -> float:
    """Return the seconds that a process of the first lap should take for its cells that are ``done``, or for all."""
    cells = flight.done if done else flight.cells
    seconds = budget.process_s(plan, pace, flight.process.backend, cells, True, plan.own_cache)
    return seconds - pace.process_start_s(flight.process.backend) if done and cells else seconds


def _as_before_s(plan: Plan, pace: Pace, history: History, process: Process) -> float:
    """Return the seconds that a process should take: as the latest of its arm did, else as in earlier runs."""
    if arm_of(process) in history.start_s:
        return adaptive.expected_s(history, {process: history.spent_s[arm_of(process)]})
    return budget.process_s(plan, pace, process.backend, plan.cells, process.lap == 0, plan.own_cache)
