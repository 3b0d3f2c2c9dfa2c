"""Fit a plan into the time that there is: what it should take, and what is given up to fit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from bench.basics.names import BASE
from bench.measure import adaptive, thread_search
from bench.measure.cell import Cell, Group
from bench.measure.pace import AGAIN, COLD, WARM, Pace
from bench.measure.plan import Plan

LEAST_PROCESSES, MOST_PROCESSES, MOST_LAPS = 3, 6, 8
LEAST_TIMED_S, MOST_TIMED_S = 0.05, 0.3
LEAST_ADAPTIVE_S = 0.02
FEWER_PHASES = ("place", "step", "train")
MARGIN = 0.9
FIRST_SHARE = 0.5
"""Of an adaptive budget: what its first two laps should take."""

SEARCH_SHARE = 0.7
"""Of an adaptive budget: what its first two laps may take for the sake of a search of threads. Above it two more laps
may have no time, and without them much is left open.
"""

SECOND_SHARE = 0.9
"""Of a lap over all that decides: what the second takes, with the least rounds for backends that are far behind."""


def lap_s(plan: Plan, pace: Pace, first: bool) -> float:
    """Return the seconds that a whole lap should take.

    The ``first`` measures everything, and compiles if the cache is cold. Of an adaptive campaign, the others are over
    all that decides.
    """
    phases = adaptive.deciding(plan) if plan.adaptive and not first else plan.phases
    total_s = 0.0
    for backend, arm, threads in plan.arms:
        cells = [c for c in plan.cells if c.phase in phases and adaptive.measures(plan, arm, threads, c, first)]
        total_s += process_s(plan, pace, backend, cells, first, own_cache=plan.own_cache or arm == BASE)
    return total_s


def process_s(
    plan: Plan,
    pace: Pace,
    backend: str,
    cells: Collection[Cell],
    first: bool,
    own_cache: bool = False,
    compiled: bool = False,
) -> float:
    """Return the seconds that a process should take for some cells.

    In the ``first`` lap it compiles what its cache does not hold, unless all is ``compiled``.
    """
    if not cells:
        return 0.0
    compiles = first and not compiled
    cold = {cell.group: compiles and (own_cache or pace.compiles(backend, cell.group)) for cell in cells}
    total_s = pace.process_start_s(backend) + (pace.compile_s(backend) if any(cold.values()) else 0.0)
    total_s += sum(pace.cell_s(backend, cell, adaptive.effort(plan, cell), cold[cell.group]) for cell in cells)
    for group in cold:
        how = AGAIN if not first else COLD if cold[group] else WARM
        total_s += pace.group_s(backend, group, how, plan.effort)
    return total_s


def compiling_s(plan: Plan, pace: Pace) -> dict[str, float]:
    """Return the seconds that backends should compile in the first lap."""
    return {
        name: process_s(plan, pace, name, plan.cells, True, plan.own_cache)
        - process_s(plan, pace, name, plan.cells, True, compiled=True)
        for name in plan.backends
    }


def estimate_s(plan: Plan, pace: Pace) -> float:
    """Return the seconds that the whole campaign should take."""
    first_s, later_s = lap_s(plan, pace, True), lap_s(plan, pace, False)
    if plan.adaptive and plan.budget_s:
        most_s = first_s + later_s * (plan.processes - 1)
        return min(max(first_s + SECOND_SHARE * later_s, MARGIN * plan.budget_s), most_s)
    return first_s + (plan.processes - 1) * later_s


def fit(
    plan: Plan,
    budget_s: float,
    pace: Pace,
    processes: int | None = None,
    cell_s: float | None = None,
    whole: bool = True,
    compiling_s: float = 0.0,
) -> Plan:
    """Return the plan that the budget should hold.

    As many processes as fit, at least three, then as much time a cell. If not even three of the shortest fit and the
    grid was not asked for, rows in the middle and then phases are left out, and the plan says which. The plan of an
    adaptive campaign gets the time a cell with which its first two laps take half of the budget: laps decide more
    than long rounds do.

    Args:
        plan: what to measure.
        budget_s: seconds for all of it.
        pace: as `bench.measure.pace.learn` returns it.
        processes: if they were asked for.
        cell_s: seconds of rounds for each cell, if they were asked for.
        whole: whether groups and phases were asked for, and must stay.
        compiling_s: seconds of the budget that compiling may take: neither a search of threads nor longer rounds count
            on them.
    """
    plan = replace(plan, budget_s=budget_s)
    if plan.adaptive:
        return _fit_adaptive(plan, budget_s, compiling_s, pace)
    room_s = MARGIN * budget_s
    plan = with_timed(plan, cell_s or LEAST_TIMED_S)
    if not whole:
        plan = thin(replace(plan, processes=processes or LEAST_PROCESSES), room_s, pace)
    spare_s = 0.0
    for count in [processes] if processes else range(MOST_PROCESSES, LEAST_PROCESSES - 1, -1):
        plan = replace(plan, processes=count)
        if (spare_s := room_s - estimate_s(plan, pace)) >= 0:
            break
    share_s = max(spare_s, 0.0) / (adaptive.TURN_SHARE * len(plan.cells) * len(plan.arms) * plan.processes)
    return with_timed(plan, cell_s or min(round(LEAST_TIMED_S + share_s, 3), MOST_TIMED_S))


def with_timed(plan: Plan, timed_s: float) -> Plan:
    """Return the plan with other seconds of rounds for each cell."""
    return replace(plan, effort=replace(plan.effort, timed_s=timed_s, warm_up_s=timed_s))


def thin(plan: Plan, room_s: float, pace: Pace) -> Plan:
    """Return the plan without the costliest of its middle rows, then with fewer phases, until it fits or few are left.

    The least and the most rows of each network always stay.
    """
    while _total_s(plan, pace) > room_s and (out := _costliest(plan, pace)):
        plan = replace(
            plan,
            groups=tuple(group for group in plan.groups if group != out),
            left_out=(*plan.left_out, f"{out.workload} n={out.rows}: no time in the budget"),
        )
    if _total_s(plan, pace) > room_s and set(plan.phases) > set(FEWER_PHASES):
        plan = replace(plan, phases=FEWER_PHASES, left_out=(*plan.left_out, "forward, backward, update: no time"))
    return plan


def _fit_adaptive(plan: Plan, budget_s: float, compiling_s: float, pace: Pace) -> Plan:
    plan = with_timed(replace(plan, processes=MOST_LAPS), LEAST_ADAPTIVE_S)
    plan = thin(_search_that_fits(plan, budget_s, compiling_s, pace), budget_s, pace)
    spare_s = FIRST_SHARE * (budget_s - compiling_s) - (_total_s(plan, pace) - compiling_s)
    deciding = [cell for cell in plan.cells if cell.phase in adaptive.deciding(plan)]
    cells = sum(adaptive.measures(plan, arm, count, cell) for _, arm, count in plan.arms for cell in deciding)
    share_s = max(spare_s, 0.0) / ((1 + SECOND_SHARE) * adaptive.TURN_SHARE * cells)
    return with_timed(plan, min(round(LEAST_ADAPTIVE_S + share_s, 3), MOST_TIMED_S))


def _search_that_fits(plan: Plan, budget_s: float, compiling_s: float, pace: Pace) -> Plan:
    """Return the plan with as wide a search of threads as its time allows: as planned, one group a network, none."""
    work_s = budget_s - compiling_s
    if not plan.thread_search or _total_s(plan, pace) - compiling_s <= FIRST_SHARE * work_s:
        return plan
    fewer = ", ".join(map(str, plan.threads[:-1]))
    anchored = replace(plan, thread_search=thread_search.anchors(plan.thread_search))
    if _total_s(anchored, pace) - compiling_s <= SEARCH_SHARE * work_s:
        at = ", ".join(f"{group.workload} n={group.rows}" for group in anchored.thread_search)
        return replace(anchored, left_out=(*plan.left_out, f"threads {fewer} but at {at}: no time in the budget"))
    left_out = (*plan.left_out, f"threads {fewer}: no time in the budget")
    return replace(plan, thread_search=(), threads=plan.threads[-1:], left_out=left_out)


def _total_s(plan: Plan, pace: Pace) -> float:
    """Return what the plan takes at least: all of it, or the first two laps of an adaptive campaign."""
    return lap_s(plan, pace, True) + (SECOND_SHARE if plan.adaptive else plan.processes - 1) * lap_s(plan, pace, False)


def _costliest(plan: Plan, pace: Pace) -> Group | None:
    """Return the costliest group that has fewer and more rows of its network on both sides."""
    rows: dict[object, list[int]] = {}
    for group in plan.groups:
        rows.setdefault(group.workload, []).append(group.rows)
    inner = [g for g in plan.groups if min(rows[g.workload]) < g.rows < max(rows[g.workload])]
    return max(inner, key=lambda group: _group_s(plan, pace, group), default=None)


def _group_s(plan: Plan, pace: Pace, group: Group) -> float:
    cells = [cell for cell in plan.cells if cell.group == group]
    return sum(
        pace.group_s(backend, group, AGAIN, plan.effort)
        + sum(
            pace.cell_s(backend, cell, adaptive.effort(plan, cell), False)
            for cell in cells
            if adaptive.measures(plan, arm, threads, cell)
        )
        for backend, arm, threads in plan.arms
    )
