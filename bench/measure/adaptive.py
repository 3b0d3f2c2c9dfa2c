"""Which cells a lap measures, and how long: the first lap looks at everything, later ones at what is open.

Single steps and training are the phases that *decide*: the maps of a step and of a whole job rest on them. The other
phases describe where the time goes: the first lap looks at them briefly, and that is enough. The second lap cannot know
yet what is proven, since one process of each backend shows no scatter: it repeats all that decides, but backends that
took over twice as long as the fastest (`FAR`) get the least rounds. From the third lap on a `StoppingRule`
(`bench.verdicts.stopping`) says which cells are open. An open cell is measured on the backends that may still be the
fastest; those that are proven slower rest. So time goes where the decision is open. What describes is measured again
only if nothing is left to decide.

A verdict needs processes more than long rounds, because rounds of one process share its luck. So a lap leaves a part of
the time to another lap, unless starting its processes would take much of that.
The cells that cost least to decide come first: those of cheap calls, and those whose fastest backends are far apart,
since the laps that a decision needs go down with the square of that distance. What can wait is who wins where one is
known to be as good as any.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.basics.names import AA
from bench.measure.cell import Cell, Group, Process
from bench.measure.estimate import step_s
from bench.measure.history import Arm, History, arm_of
from bench.measure.timing import Effort

if TYPE_CHECKING:
    from bench.measure.plan import Plan


class OpenCell(NamedTuple):
    """What a stopping rule says of a cell that is not decided.

    Attributes:
        contenders: backends that may still be the fastest, each with a number of threads.
        gap: how far the second fastest is from the edge of the margin, in logarithms of times: from the near edge, as
            long as it may be faster by more than the margin; then from the far edge, beyond which it is slower.
        good: whether none is faster than the fastest by more than the margin: only who wins is open.
    """

    contenders: frozenset[tuple[str, int]]
    gap: float
    good: bool


Open = Mapping[Cell, OpenCell]
"""By cell; one that is decided is not in it."""

StoppingRule = Callable[[Sequence[Mapping[str, Any]]], Open]
"""From the records of all cells with a time to those that are open."""

Tasks = dict[Process, dict[Cell, float]]
"""By process: seconds of rounds of each of its cells."""

FAR = 2.0
"""Times the fastest: a backend so far behind gets the least rounds in the second lap."""

BRIEF_S = 4e-3
"""Of rounds of what only describes, or is far behind: a median of a few rounds is all that it needs."""

DECIDING = ("step", "train")
LONGEST_AA_S = 0.02
MOST_STRETCH = 2.0
LEAST_GAP = 1e-3
"""Of two logarithms of times, beyond the margin: what is nearer is not decided by any number of laps."""

LAP_SHARE = 2 / 3
"""Of the time that is left: what a lap takes at most. With half, large batches, which cost as much as all others
together, often found no room in any lap after the second.
"""

STARTS_SHARE = 1 / 6
"""Of the time that is left: if starting the processes takes more, the next lap is the last and gets all of it."""

AGAIN_SHARE = 0.4
"""Of what opening a group takes the first lap, which also proves its shape: what it takes later ones."""

TURN_SHARE = 1.75
"""Seconds that a second of rounds takes with what comes between its turns."""


def measures(plan: Plan, arm: str, threads: int, cell: Cell, first: bool = False) -> bool:
    """Return whether an arm takes part in a cell, in the ``first`` lap or in later ones.

    In an adaptive campaign ``A/A`` only repeats short single steps. Fewer threads than the last number of the plan are
    only tried where the plan searches them, from the second lap on.
    """
    group = cell.group
    if plan.thread_search and threads != plan.threads[-1]:
        return not (first or arm) and group in plan.thread_search and cell.phase in DECIDING
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
    first, second = lap[0].lap == 0, plan.adaptive and lap[0].lap == 1
    decide = deciding(plan) if plan.adaptive else plan.phases
    near = _near(history) if second else {}
    least_s = min(BRIEF_S, plan.effort.timed_s)
    chosen: Tasks = {}
    phases = decide if second else plan.phases
    for process in lap:
        for cell in plan.cells:
            if cell.phase in phases and measures(plan, process.arm, process.threads, cell, first):
                closely = cell.phase in decide and (cell not in near or process.backend in near[cell])
                chosen.setdefault(process, {})[cell] = plan.effort.timed_s if closely else least_s
    return _spared(plan, chosen, history, left_s) if second else chosen


def deciding(plan: Plan) -> tuple[str, ...]:
    """Return the phases of a plan that decide; all of them if it has neither steps nor training."""
    return tuple(phase for phase in plan.phases if phase in DECIDING) or plan.phases


def effort(plan: Plan, cell: Cell) -> Effort:
    """Return how long to look at a cell in the first lap: briefly if it does not decide."""
    brief = plan.adaptive and cell.phase not in deciding(plan)
    return plan.effort.shortly(BRIEF_S) if brief else plan.effort


def expected_s(history: History, tasks: Mapping[Process, Iterable[Cell]]) -> float:
    """Return the seconds that some tasks of a later lap should take, as they took the latest process of each arm.

    An arm that did not run yet should take as long as one of the same backend with other threads.
    """
    measured = {process: list(cells) for process, cells in tasks.items()}
    total_s = starts_s(history, (process for process, cells in measured.items() if cells))
    for process, cells in measured.items():
        arm = _known_arm(history, process)
        for group in {cell.group for cell in cells}:
            share = AGAIN_SHARE if history.opened_in.get(arm, {}).get(group) == 0 else 1.0
            total_s += share * history.opening_s.get(arm, {}).get(group, 0.0)
        total_s += sum(history.spent_s.get(arm, {}).get(cell, 0.0) for cell in cells)
    return total_s


def starts_s(history: History, processes: Iterable[Process]) -> float:
    """Return the seconds that some processes should take beyond their cells."""
    return sum(history.start_s.get(_known_arm(history, process), 0.0) for process in processes)


def _known_arm(history: History, process: Process) -> Arm:
    """Return the arm of a process, or if that did not run yet another one of the same backend."""
    arm = arm_of(process)
    if arm in history.start_s:
        return arm
    return next((other for other in history.start_s if other[:2] == arm[:2]), arm)


class _Want(NamedTuple):
    """An open cell, the processes that would measure it, whether it comes ``last``, and its cost: less is better."""

    cell: Cell
    part: list[Process]
    last: tuple[bool, bool, bool]
    score: float


def _of_open(plan: Plan, lap: Sequence[Process], history: History, open_cells: Open, left_s: float) -> Tasks:
    """Return the tasks of a lap over open cells: those that fit, each a little longer if time is left.

    What needs the fewest seconds of laps to be decided comes first, and with it what is open of the same group, whose
    opening is paid for then.
    """
    phases = deciding(plan)
    if not any(cell.phase in phases for cell in open_cells):
        phases = plan.phases
    wanted = []
    for cell, (contenders, gap, good) in open_cells.items():
        if cell.phase not in phases:
            continue
        part = [p for p in lap if (p.backend, p.threads) in contenders and measures(plan, p.arm, p.threads, cell)]
        # Those with all threads are started for many cells, others for this one and a few more.
        shared = [p for p in part if p.threads == plan.threads[-1]]
        cost_s = expected_s(history, {p: [cell] for p in part}) - starts_s(history, shared)
        last = cell.phase not in DECIDING, good, gap < LEAST_GAP
        wanted.append(_Want(cell, part, last, cost_s / max(gap, LEAST_GAP) ** 2))
    least: dict[tuple[Any, Group], float] = {}
    for want in wanted:
        key = want.last, want.cell.group
        least[key] = min(least.get(key, math.inf), want.score)
    wanted.sort(key=lambda want: (want.last, least[want.last, want.cell.group], want.score))
    begun_s = starts_s(history, {p for want in wanted for p in want.part if p.threads == plan.threads[-1]})
    most_s = LAP_SHARE * left_s if begun_s < STARTS_SHARE * left_s else left_s
    chosen = _fitting(wanted, history, most_s) or _fitting(wanted, history, left_s)
    count = sum(map(len, chosen.values()))
    spare_s = max(most_s - expected_s(history, chosen), 0.0) / (TURN_SHARE * count) if count else 0.0
    timed_s = plan.effort.timed_s + min(spare_s, (MOST_STRETCH - 1) * plan.effort.timed_s)
    return {p: {cell: timed_s for cell in plan.cells if cell in chosen[p]} for p in lap if p in chosen}


def _fitting(wanted: Iterable[_Want], history: History, most_s: float) -> dict[Process, set[Cell]]:
    """Return the cells of each process that fit into some seconds, out of those wanted, in their order."""
    chosen: dict[Process, set[Cell]] = {}
    total_s = 0.0
    for want in wanted:
        before = {process: chosen.get(process, set()) for process in want.part}
        after = {process: cells | {want.cell} for process, cells in before.items()}
        more_s = expected_s(history, after) - expected_s(history, before)
        if total_s + more_s <= most_s:
            total_s += more_s
            chosen |= after
    return chosen


def _near(history: History) -> dict[Cell, set[str]]:
    """Return by cell the backends that take at most `FAR` times as long as the fastest so far."""
    seconds: dict[Cell, dict[str, float]] = {}
    for row in history.rows:
        if row["arm"] != AA:
            seconds.setdefault(Cell.of(row), {})[row["backend"]] = row["median_s"]
    return {
        cell: {name for name, own_s in of_cell.items() if own_s <= FAR * min(of_cell.values())}
        for cell, of_cell in seconds.items()
    }


def _spared(plan: Plan, tasks: Tasks, history: History, left_s: float) -> Tasks:
    """Return the tasks of the second lap without what must go for it to fit.

    Fewer threads go first. Then the middle rows on which both neighbours agree, because the same backend was ahead in
    the first lap; then, after a first lap that was slow beyond all expectation, any others. Of these and of those, the
    costliest first.
    """
    if plan.thread_search and expected_s(history, tasks) > left_s:
        tasks = {process: cells for process, cells in tasks.items() if process.threads == plan.threads[-1]}
    cost_s: dict[Group, float] = {}
    for group in plan.groups:
        of_group = {process: [c for c in cells if c.group == group] for process, cells in tasks.items()}
        begun_s = sum(history.start_s.get(arm_of(process), 0.0) for process, cells in of_group.items() if cells)
        cost_s[group] = expected_s(history, of_group) - begun_s
    excess_s = expected_s(history, tasks) - left_s
    spared: set[Group] = set()
    agreed = frozenset(_agreed(plan.groups, _ahead(history)))
    for group in sorted(plan.groups, key=lambda group: (group in agreed, cost_s[group]), reverse=True):
        if excess_s > 0 and cost_s[group] > 0:
            spared.add(group)
            excess_s -= cost_s[group]
    left = {
        process: {cell: s for cell, s in cells.items() if cell.group not in spared} for process, cells in tasks.items()
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
