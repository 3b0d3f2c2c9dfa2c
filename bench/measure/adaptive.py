"""Which cells a lap measures, and how long: the first lap looks at everything, later ones at what is open.

Which cells are open is for a `StoppingRule` to say (`bench.verdicts.stopping`). An open cell is measured on the
backends that may still be the fastest; those that are proven slower rest. So time goes where the decision is open. A
lap takes no more open cells than fit into the time that is left; single steps and training come first, and of these
the cheapest. The second lap cannot know yet what is proven, since one process of each backend shows no scatter, and may
have met a busy machine: it repeats everything, but backends that took over twice as long as the fastest (`FAR`) get the
least rounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.basics.names import AA
from bench.measure.cell import Cell, Group, Process
from bench.measure.estimate import step_s
from bench.measure.history import History, arm_of

if TYPE_CHECKING:
    from bench.measure.plan import Plan

Open = Mapping[tuple[Cell, int], frozenset[str]]
"""By cell and threads: the backends that may still be the fastest. A cell that is decided is not in it."""

StoppingRule = Callable[[Sequence[Mapping[str, Any]]], Open]
"""From the records of all cells with a time to those that are open."""

Tasks = dict[Process, dict[Cell, float]]
"""By process: seconds of rounds of each of its cells."""

FAR = 2.0
"""Times the fastest: a backend so far behind gets the least rounds in the second lap."""

LEAST_TIMED_S = 4e-3

PRIORITY = ("step", "train", "forward", "backward", "update", "place")
SEARCHED_PHASES = ("step", "train")
LONGEST_AA_S = 0.02
MOST_STRETCH = 4.0
TURN_SHARE = 1.75
"""Seconds that a second of rounds takes with what comes between its turns."""


def measures(plan: Plan, arm: str, threads: int, cell: Cell) -> bool:
    """Return whether an arm takes part in a cell.

    In an adaptive campaign ``A/A`` only repeats short single steps. Fewer threads than the last number of the plan are
    only tried where the plan searches them.
    """
    group = cell.group
    if plan.thread_search and threads != plan.threads[-1]:
        return not arm and group in plan.thread_search and cell.phase in SEARCHED_PHASES
    if not (plan.adaptive and arm == AA and "step" in plan.phases):
        return True
    return cell.phase == "step" and step_s(group.workload, group.rows, group.dtype) <= LONGEST_AA_S


def tasks(plan: Plan, lap: Sequence[Process], history: History, rule: StoppingRule | None, left_s: float) -> Tasks:
    """Return what each process of a lap measures; a process without a task is left out.

    Args:
        plan: of the campaign.
        lap: its processes, in order.
        history: of all records so far.
        rule: says what is open; without one every lap is whole.
        left_s: seconds of the budget that are left.
    """
    if plan.adaptive and rule and lap[0].lap > 1:
        return _of_open(plan, lap, history, rule(history.rows), left_s)
    second = plan.adaptive and lap[0].lap == 1
    near = _near(history) if second else {}
    least_s = min(LEAST_TIMED_S, plan.effort.timed_s)
    chosen: Tasks = {}
    for process in lap:
        for cell in plan.cells:
            if measures(plan, process.arm, process.threads, cell):
                is_near = cell not in near or (process.backend, process.threads) in near[cell]
                chosen.setdefault(process, {})[cell] = plan.effort.timed_s if is_near else least_s
    return _spared(plan, chosen, history, left_s) if second else chosen


def cell_s(history: History, processes: Sequence[Process], cell: Cell) -> float:
    """Return the seconds that a cell should take some processes, as it took the latest of each arm."""
    return sum(history.spent_s.get(arm_of(process), {}).get(cell, 0.0) for process in processes)


def start_s(history: History, processes: Sequence[Process]) -> float:
    """Return the seconds that some processes should take beyond their cells."""
    return sum(history.start_s.get(arm_of(process), 0.0) for process in processes)


def _of_open(plan: Plan, lap: Sequence[Process], history: History, open_cells: Open, left_s: float) -> Tasks:
    """Return the tasks of a lap over open cells: those that fit, each a little longer if time is left.

    Opening a group (its load, first calls and proof) is in what the first of its cells took.
    """
    wanted = []
    for cell in dict.fromkeys(cell for cell, _ in open_cells):
        part = [p for p in lap if p.backend in open_cells.get((cell, p.threads), ())]
        part = [p for p in part if measures(plan, p.arm, p.threads, cell)]
        wanted.append((PRIORITY.index(cell.phase), cell_s(history, part, cell), cell, part))
    chosen: Tasks = {}
    total_s = 0.0
    for _, own_s, cell, part in sorted(wanted, key=lambda want: want[:2]):
        new = [process for process in part if process not in chosen]
        unopened = [p for p in part if not any(other.group == cell.group for other in chosen.get(p, ()))]
        first = Cell(cell.group, plan.phases[0])
        opening_s = cell_s(history, unopened, first) if cell != first else 0.0
        more_s = own_s + opening_s + start_s(history, new)
        if total_s + more_s <= left_s:
            total_s += more_s
            for process in part:
                chosen.setdefault(process, {})[cell] = 0.0
    count = sum(map(len, chosen.values()))
    spare_s = max(left_s / 2 - total_s, 0.0) / (TURN_SHARE * count) if count else 0.0
    timed_s = plan.effort.timed_s + min(spare_s, (MOST_STRETCH - 1) * plan.effort.timed_s)
    return {p: {cell: timed_s for cell in plan.cells if cell in chosen[p]} for p in lap if p in chosen}


def _near(history: History) -> dict[Cell, set[tuple[str, int]]]:
    """Return by cell the backends and threads that take at most `FAR` times as long as the fastest so far."""
    seconds: dict[Cell, dict[tuple[str, int], float]] = {}
    for row in history.rows:
        if row["arm"] != AA:
            seconds.setdefault(Cell.of(row), {})[row["backend"], row["threads"]] = row["median_s"]
    return {
        cell: {arm for arm, own_s in of_cell.items() if own_s <= FAR * min(of_cell.values())}
        for cell, of_cell in seconds.items()
    }


def _spared(plan: Plan, tasks: Tasks, history: History, left_s: float) -> Tasks:
    """Return the tasks of the second lap without the middle rows that must go for it to fit.

    They are rows on which both neighbours agree, because the same backend was ahead in the first lap; the costliest go
    first. If that is not enough, only steps and training stay.
    """
    cost_s: dict[Group, float] = {}
    for process, cells in tasks.items():
        for cell in cells:
            cost_s[cell.group] = cost_s.get(cell.group, 0.0) + cell_s(history, [process], cell)
    excess_s = start_s(history, list(tasks)) + sum(cost_s.values()) - left_s
    spared: set[Group] = set()
    for group in sorted(_agreed(plan.groups, _ahead(history)), key=lambda group: cost_s.get(group, 0.0), reverse=True):
        if excess_s > 0:
            spared.add(group)
            excess_s -= cost_s.get(group, 0.0)
    phases = plan.phases if excess_s <= 0 else set(PRIORITY[:2]) & set(plan.phases) or plan.phases
    left = {
        process: {cell: s for cell, s in cells.items() if cell.group not in spared and cell.phase in phases}
        for process, cells in tasks.items()
    }
    return {process: cells for process, cells in left.items() if cells}


def _ahead(history: History) -> dict[Group, str]:
    """Return the backend with the shortest step of each group so far."""
    best: dict[Group, tuple[float, str]] = {}
    for row in history.rows:
        if row["phase"] == "step":
            group = Group.of(row)
            best[group] = min(best.get(group, (math.inf, "")), (row["median_s"], row["backend"]))
    return {group: backend for group, (_, backend) in best.items()}


def _agreed(groups: Sequence[Group], ahead: Mapping[Group, str]) -> list[Group]:
    """Return the groups between fewer and more rows of the same network at which the same backend is ahead."""
    agreed = []
    alike: dict[tuple[Any, ...], list[Group]] = {}
    for group in groups:
        alike.setdefault((group.network, *group[2:]), []).append(group)
    for of_network in alike.values():
        by_rows = sorted(of_network, key=lambda group: group.rows)
        for less, middle, more in zip(by_rows, by_rows[1:], by_rows[2:], strict=False):
            if len({ahead.get(group) for group in (less, middle, more)}) == 1 and middle in ahead:
                agreed.append(middle)
    return agreed
