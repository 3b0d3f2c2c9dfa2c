"""Fit a plan into the time that there is: how long its processes should take, and what is given up to fit.

A process takes its start, plus for each group a *pace* (load, first calls, proof), plus its timed rounds. The pace of a
backend on this machine is learned from the processes of earlier runs; until then it is a guess.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from backends import Network
from bench.measure.estimate import phase_s
from bench.measure.plan import Group, Plan
from bench.measure.timing import TURN_S, settling_s

LEAST_PROCESSES, MOST_PROCESSES = 3, 6
LEAST_TIMED_S, MOST_TIMED_S = 0.05, 0.3
FEWER_PHASES = ("place", "step", "train")
MARGIN = 0.9

PROCESS_S, OVERHEAD_S, SWITCH_S = 1.0, 0.02, 1e-3
PACE_S: Mapping[str, float] = {"cold": 1.5, "warm": 0.4}

Pace = Mapping[str, float]
"""Seconds a group, by ``"<backend> cold"`` and ``"<backend> warm"``."""


def timed_s(plan: Plan, group: Group) -> float:
    """Return the seconds that warm-up, calibration and rounds of a group should take."""
    network, effort = Network.parse(group.network), plan.effort
    total_s = 0.0
    for phase in plan.phases:
        call_s = phase_s(network, group.batch, phase)
        rounds_s = max(effort.timed_s, effort.least_rounds * call_s)
        turns = rounds_s / max(TURN_S, call_s)
        total_s += OVERHEAD_S + rounds_s + turns * (settling_s(call_s) + SWITCH_S) + 3 * call_s
    return total_s


def process_s(plan: Plan, backend: str, first: bool, pace: Pace) -> float:
    """Return the seconds that one process should take; the ``first`` of a run compiles with a cold cache."""
    never_run = f"{backend} warm" not in pace
    cache = "cold" if first and (plan.own_cache or never_run) else "warm"
    group_s = pace.get(f"{backend} {cache}", PACE_S[cache])
    return PROCESS_S + sum(group_s + timed_s(plan, group) for group in plan.groups)


def estimate_s(plan: Plan, pace: Pace) -> float:
    """Return the seconds that the whole campaign should take."""
    return sum(
        process_s(plan, backend, True, pace) + (plan.processes - 1) * process_s(plan, backend, False, pace)
        for backend, _, _ in plan.arms
    )


def learn(records: Iterable[tuple[Plan, Mapping[str, Any]]]) -> dict[str, float]:
    """Return the pace of each backend from records of processes that ended well, with the plans they belong to."""
    found: dict[str, list[float]] = {}
    for plan, record in records:
        if record.get("record") == "process" and record.get("status") == "ok" and record.get("seconds"):
            cache = "cold" if record["process"] == 0 and plan.own_cache else "warm"
            rest_s = record["seconds"] - PROCESS_S - sum(timed_s(plan, group) for group in plan.groups)
            found.setdefault(f"{record['backend']} {cache}", []).append(max(rest_s / len(plan.groups), 0.05))
    # The lower middle: a first run with the kept caches compiles like a cold one, and is the exception.
    return {name: statistics.median_low(values) for name, values in found.items()}


def fit(
    plan: Plan,
    budget_s: float,
    pace: Pace,
    processes: int | None = None,
    cell_s: float | None = None,
    whole: bool = True,
) -> Plan:
    """Return the plan that the budget should hold.

    As many processes as fit, at least three, then as much time a cell. Where not even three of the shortest fit and the
    grid was not asked for, phases and then the costliest batches are left out, and the plan says which.

    Args:
        plan: what to measure.
        budget_s: seconds for all of it.
        pace: as `learn` returns it.
        processes: where they were asked for.
        cell_s: seconds of rounds for each cell, where they were asked for.
        whole: whether groups and phases were asked for, and must stay.
    """
    room_s = MARGIN * budget_s
    plan = replace(plan, budget_s=budget_s, effort=replace(plan.effort, timed_s=cell_s or LEAST_TIMED_S))
    if not whole:
        plan = thin(replace(plan, processes=processes or LEAST_PROCESSES), room_s, pace)
    spare_s = 0.0
    for count in [processes] if processes else range(MOST_PROCESSES, LEAST_PROCESSES - 1, -1):
        plan = replace(plan, processes=count)
        if (spare_s := room_s - estimate_s(plan, pace)) >= 0:
            break
    share_s = max(spare_s, 0.0) / (len(plan.cells) * len(plan.arms) * plan.processes)
    cell_s = cell_s or min(round(LEAST_TIMED_S + share_s, 3), MOST_TIMED_S)
    return replace(plan, effort=replace(plan.effort, timed_s=cell_s, warm_up_s=cell_s))


def thin(plan: Plan, room_s: float, pace: Pace) -> Plan:
    """Return the plan with fewer phases, then without its dearest batches, until it fits or few are left.

    Three batches a network stay at first, which still show a crossover; if that does not fit either, the inner ones go.
    """
    if estimate_s(plan, pace) > room_s and set(plan.phases) > set(FEWER_PHASES):
        plan = replace(plan, phases=FEWER_PHASES, left_out=(*plan.left_out, "forward, backward, update: no time"))
    for least in (3, 2):
        while estimate_s(plan, pace) > room_s and (out := _dearest(plan, least)):
            plan = replace(
                plan,
                groups=tuple(group for group in plan.groups if group != out),
                left_out=(*plan.left_out, f"{out.network} n={out.batch}: no time in the budget"),
            )
    return plan


def _dearest(plan: Plan, least: int) -> Group | None:
    """Return the group that takes longest, of networks with more than ``least``; their ends go last."""
    batches: dict[str, list[int]] = {}
    for group in plan.groups:
        batches.setdefault(group.network, []).append(group.batch)
    spare = [group for group in plan.groups if len(batches[group.network]) > least]
    if least < 3:
        spare = [group for group in spare if min(batches[group.network]) < group.batch < max(batches[group.network])]
    return max(spare, key=lambda group: timed_s(plan, group), default=None)
