"""Adaptive campaigns: which cells a lap measures on which backends, given what earlier laps showed."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from backends import Network
from bench.basics.names import AA, COMPARISON
from bench.measure import adaptive, campaign, estimate
from bench.measure.adaptive import OpenCell
from bench.measure.cell import Cell, Group
from bench.measure.history import History
from bench.measure.plan import Plan
from bench.measure.timing import Effort
from bench.results import load
from bench.verdicts.stopping import open_cells

SPECIMENS = Path(__file__).resolve().parents[1]  # the folder of `specimens`
NETWORK, PHASES = Network((3, 2, 1)), ("forward", "step")
ROWS = (1, 32, 1024)
PLAN = Plan(
    tuple(Group(NETWORK, rows, "float32", "cpu") for rows in ROWS),
    PHASES,
    ("a", "b", "c"),
    aa="a",
    processes=8,
    budget_s=100.0,
    effort=Effort(timed_s=0.02),
    adaptive=True,
)
LAPS = list(PLAN.laps())
STEPS = [Cell(group, "step") for group in PLAN.groups]


@pytest.fixture(autouse=True)
def rate(monkeypatch):
    """Let every machine be as fast as the next."""
    monkeypatch.setattr(estimate, "flop_rate", lambda dtype: 1e11)


def told(laps, seconds, spent_s=1.0, plan=PLAN):
    """Return the history of some laps in which each backend takes its seconds at all cells, or its own at a group.

    All that a cell takes comes before its rounds, so that the first of a group has only the opening of its group.
    """
    history = History()
    for lap in LAPS[:laps]:
        for process in lap:
            cells = [cell for cell in plan.cells if adaptive.measures(plan, process.arm, process.threads, cell)]
            for cell in cells:
                own_s = seconds[process.backend]
                own_s = own_s.get(cell.group.rows, 1e-3) if isinstance(own_s, dict) else own_s
                row = {"record": "cell", **process.columns(), **cell.columns(), "status": "ok", "steps": 1}
                row |= {"rounds": 0, "set_aside": 0, "iterations": 1}
                history.learn({**row, "median_s": own_s, "turn_s": [own_s] * 3, "spent_s": spent_s})
            end = {"record": "process", **process.columns(), "status": "ok", "seconds": 2 + spent_s * len(cells)}
            history.learn(end)
    return history


def contenders(backends, cells, threads=(1,), gap=0.1, good=False):
    """Return what a rule says of cells that are open on some backends, at numbers of threads."""
    either = frozenset((name, count) for name in backends for count in threads)
    return dict.fromkeys(cells, OpenCell(either, gap, good))


def backends_of(tasks, cell):
    """Return the arms that measure a cell."""
    return {process.backend + process.arm for process, cells in tasks.items() if cell in cells}


def test_the_first_lap_looks_at_everything_and_a_second_copy_at_short_steps():
    """Every cell on every backend; the A/A arm repeats single steps alone, and no long ones."""
    tasks = adaptive.tasks(PLAN, LAPS[0], History(), open_cells, 100.0)
    for cell in PLAN.cells:
        assert backends_of(tasks, cell) == {"a", "b", "c"} | ({"a" + AA} if cell.phase == "step" else set())
    large = replace(PLAN, groups=(Group(Network((784, 512, 10)), 32_768, "float32", "cpu"),))
    assert all(process.arm == "" for process in adaptive.tasks(large, LAPS[0], History(), open_cells, 100.0))


def test_the_second_lap_gives_the_least_rounds_to_who_is_far_behind():
    """Every backend is measured twice; one that took over twice as long as the fastest only shortly."""
    history = told(1, {"a": 1e-3, "b": 1.9e-3, "c": 2.1e-3})
    tasks = adaptive.tasks(PLAN, LAPS[1], history, open_cells, 1000.0)
    for cell in STEPS:
        assert backends_of(tasks, cell) == {"a", "b", "c", "a" + AA}
    timed_s = {process.backend: set(cells.values()) for process, cells in tasks.items()}
    assert timed_s == {"a": {0.02}, "b": {0.02}, "c": {adaptive.BRIEF_S}}


def test_the_second_lap_leaves_out_what_only_describes():
    """Of phases that decide and phases that describe, the first are repeated; of the others alone, all are."""
    history = told(1, {"a": 1e-3, "b": 1e-3, "c": 1e-3})
    tasks = adaptive.tasks(PLAN, LAPS[1], history, open_cells, 1000.0)
    assert {cell.phase for cells in tasks.values() for cell in cells} == {"step"}
    plan = replace(PLAN, phases=("forward", "backward"))
    tasks = adaptive.tasks(plan, LAPS[1], History(), open_cells, 1000.0)
    assert {cell.phase for cells in tasks.values() for cell in cells} == {"forward", "backward"}


@pytest.mark.parametrize(("left_s", "rows"), [(1000.0, {1, 32, 1024}), (20.0, {1, 1024})])
def test_when_time_is_short_rows_in_the_middle_go_first(left_s, rows):
    """The middle goes if its neighbours agree on who is ahead."""
    history = told(1, {"a": 1e-3, "b": 1.5e-3, "c": 1.6e-3})
    tasks = adaptive.tasks(PLAN, LAPS[1], history, open_cells, left_s)
    assert {cell.group.rows for cells in tasks.values() for cell in cells} == rows


@pytest.mark.parametrize(("share", "count"), [(1.0, 3), (0.9, 2), (0.6, 1), (0.2, 0)])
def test_a_second_lap_ends_in_time_after_a_slow_first_one(share, count):
    """What does not fit into the seconds left is not begun, whatever is undecided then."""
    history = told(1, {"a": 1e-3, "b": {1: 2e-3, 32: 0.5e-3, 1024: 0.5e-3}, "c": 1.6e-3})
    whole = adaptive.tasks(PLAN, LAPS[1], history, open_cells, 1000.0)
    left_s = share * adaptive.expected_s(history, whole)
    tasks = adaptive.tasks(PLAN, LAPS[1], history, open_cells, left_s)
    assert len({cell.group for cells in tasks.values() for cell in cells}) == count
    assert adaptive.expected_s(history, tasks) <= left_s


def test_later_laps_measure_open_cells_on_those_that_may_be_the_fastest():
    """Only what the rule calls open, only contenders and the copy of one of them; nothing open ends the campaign."""
    history = told(2, {"a": 1e-3, "b": 1e-3, "c": 9e-3})
    tasks = adaptive.tasks(PLAN, LAPS[2], history, lambda _: contenders("ab", [STEPS[1]]), 1000.0)
    assert {cell for cells in tasks.values() for cell in cells} == {STEPS[1]}
    assert backends_of(tasks, STEPS[1]) == {"a", "b", "a" + AA}
    assert {s for cells in tasks.values() for s in cells.values()} == {adaptive.MOST_STRETCH * 0.02}
    assert adaptive.tasks(PLAN, LAPS[2], history, lambda _: {}, 1000.0) == {}


@pytest.mark.parametrize(("left_s", "count"), [(43.0, 3), (36.0, 2), (23.0, 2), (13.0, 1), (11.0, 0)])
def test_a_lap_leaves_a_third_of_the_time_while_starts_are_a_small_part(left_s, count):
    """Two starts take 4 s, each group 8 s: a lap of 36 s leaves a third; the last, of 23 s, takes all."""
    history = told(2, {"a": 1e-3, "b": 1e-3, "c": 1e-3}, spent_s=2.0)
    tasks = adaptive.tasks(PLAN, LAPS[2], history, lambda _: contenders("bc", PLAN.cells), left_s)
    assert {cell for cells in tasks.values() for cell in cells} == set(STEPS[:count])


def test_cells_that_cost_least_to_decide_come_first():
    """Backends far apart before near ones, though they take longer, and those within the margin of each other last."""
    history = told(2, {"a": {1: 1e-3, 32: 1e-3, 1024: 1e-3}, "b": {1: 1.04e-3, 32: 2e-3, 1024: 1.2e-3}, "c": 9e-3}, 2.0)
    for name in "ab":
        history.spent_s[name, "", 1][STEPS[1]] = 10.0
    gaps = (math.log(1.04 / 1.05), math.log(2 / 1.05), math.log(1.2 / 1.05))
    open_ = {cell: contenders("ab", [cell], gap=gap)[cell] for cell, gap in zip(STEPS, gaps, strict=True)}
    chosen = []
    for left_s in (57.0, 66.0, 84.0):
        tasks = adaptive.tasks(PLAN, LAPS[2], history, lambda _: open_, left_s)
        chosen.append({cell.group.rows for cells in tasks.values() for cell in cells})
    assert chosen == [{32}, {32, 1024}, {1, 32, 1024}]


def test_the_cells_of_a_group_come_together():
    """Training of a group that is opened for a step comes before a step of another group that would cost a little less.

    Three starts, a second copy with them, take 6 s; opening a group takes each 1 s; training at one row takes two of
    them 0.5 s, and the other cells no time.
    """
    plan = replace(PLAN, phases=("step", "train"))
    history = told(2, {"a": 1e-3, "b": {1: 1.3e-3, 32: 1.28e-3}, "c": 9e-3}, plan=plan)
    train = Cell(plan.groups[0], "train")
    for name in "ab":
        history.spent_s[name, "", 1] |= dict.fromkeys(plan.cells, 0.0) | {train: 0.5}
    gaps = {STEPS[0]: 1.3, train: 1.3, STEPS[1]: 1.28}
    open_ = {cell: contenders("ab", [cell], gap=math.log(ratio / 1.05))[cell] for cell, ratio in gaps.items()}
    for left_s, expected in ((12.5, {STEPS[0], train}), (13.5, {STEPS[0], train, STEPS[1]})):
        tasks = adaptive.tasks(plan, LAPS[2], history, lambda _: open_, left_s)
        assert {cell for cells in tasks.values() for cell in cells} == expected


def test_what_is_known_to_be_as_good_as_any_can_wait():
    """A cell whose winner alone is open comes after one that is undecided, though it would cost far less to decide."""
    history = told(2, {"a": 1e-3, "b": 1e-3, "c": 9e-3}, spent_s=2.0)
    open_ = contenders("bc", [STEPS[0]], gap=0.5, good=True) | contenders("bc", [STEPS[1]], gap=0.05)
    for left_s, expected in ((13.0, {STEPS[1]}), (1000.0, set(STEPS[:2]))):
        tasks = adaptive.tasks(PLAN, LAPS[2], history, lambda _: open_, left_s)
        assert {cell for cells in tasks.values() for cell in cells} == expected


def test_a_cell_pays_for_the_processes_that_are_started_for_it():
    """One that is open with fewer threads takes more processes, and comes after one whose calls are a little longer."""
    plan = replace(PLAN, threads=(1, 2), thread_search=PLAN.groups)
    history = told(2, {"a": 1e-3, "b": 1e-3, "c": 1.5e-3})
    for name in "bc":
        history.spent_s[name, "", 1][STEPS[1]] = 3.5
    both = contenders("bc", [STEPS[0]], (1, 2))
    for cells, expected in ((both | contenders("bc", [STEPS[1]], (2,)), STEPS[1]), (both, STEPS[0])):
        tasks = adaptive.tasks(plan, list(plan.laps())[2], history, lambda _, cells=cells: cells, 36.0)
        assert {cell for cells in tasks.values() for cell in cells} == {expected}


def test_the_first_lap_looks_briefly_at_what_describes():
    """Steps get the time a cell, forward passes the least; of the least, one round of a long call is enough."""
    plan = replace(PLAN, effort=Effort(timed_s=0.02, least_rounds=8, fewest_rounds=2, most_s=0.6))
    tasks = adaptive.tasks(plan, LAPS[0], History(), open_cells, 100.0)
    timed_s = {(cell.phase, s) for cells in tasks.values() for cell, s in cells.items()}
    assert timed_s == {("step", 0.02), ("forward", adaptive.BRIEF_S)}
    rounds = {
        seconds: [plan.effort.shortly(seconds).rounds(call_s) for call_s in (0.01, 0.1, 0.5)] for _, seconds in timed_s
    }
    assert rounds == {0.02: [8, 5, 2], adaptive.BRIEF_S: [1, 1, 1]}


def test_what_describes_comes_last():
    """Forward passes are measured again only if no step is open."""
    history = told(2, {"a": 1e-3, "b": 1e-3, "c": 1e-3})
    forward = Cell(PLAN.groups[0], "forward")
    for cells, expected in (((forward, STEPS[0]), STEPS[0]), ((forward,), forward)):
        tasks = adaptive.tasks(PLAN, LAPS[2], history, lambda _, cells=cells: contenders("bc", cells), 1000.0)
        assert {cell for cells in tasks.values() for cell in cells} == {expected}


def test_opening_a_group_is_expected_once():
    """Whichever of its cells are measured, and however many, loading and proving a group takes what it took.

    In the first lap that is more than in later ones.
    """
    history = told(2, {"a": 1e-3, "b": 1e-3, "c": 1e-3}, spent_s=3.0)
    (b,) = (process for process in LAPS[0] if process.backend == "b")
    start_s, opening_s, step_s = 2.0, 3.0, 3.0
    group = PLAN.groups[0]
    assert adaptive.expected_s(history, {b: [Cell(group, "forward")]}) == pytest.approx(start_s + opening_s)
    assert adaptive.expected_s(history, {b: [STEPS[0]]}) == pytest.approx(start_s + opening_s + step_s)
    assert adaptive.expected_s(history, {b: PLAN.cells}) == pytest.approx(start_s + 3 * (opening_s + step_s))
    assert adaptive.expected_s(history, {b: []}) == 0
    first = told(1, {"a": 1e-3, "b": 1e-3, "c": 1e-3}, spent_s=3.0)
    assert adaptive.expected_s(first, {b: [Cell(group, "forward")]}) == pytest.approx(2.0 + 0.4 * 3.0)


def test_a_campaign_stops_when_all_is_decided(tmp_path, monkeypatch):
    """Of two backends an order of magnitude apart, few laps decide which is the faster."""
    monkeypatch.setenv("PYTHONPATH", str(SPECIMENS))
    plan = Plan(
        (Group(Network((1, 1, 1)), 1, "float64", "cpu"),),
        ("step",),
        ("specimens:Exact", "specimens:SlowFirstTrain"),
        aa="",
        processes=8,
        budget_s=500.0,
        effort=Effort(timed_s=0.02, warm_up_s=0.02, least_rounds=2),
        adaptive=True,
    )
    run = campaign.create(plan, COMPARISON, root=tmp_path)
    outcome = campaign.carry_out(run, plan, rule=open_cells)
    laps = load(run).groupby("backend")["process"].nunique()
    assert 2 <= laps.min() == laps.max() <= 4
    assert outcome.processes == laps.sum()
    assert outcome.stopped == ""
