"""Budgets: what fits is measured longer, what does not is thinned, and earlier runs teach the pace."""

from dataclasses import replace

import pytest

from backends import Network
from bench.measure import budget, estimate, pace
from bench.measure.cell import Group
from bench.measure.pace import Pace
from bench.measure.plan import Plan
from bench.measure.timing import Effort

SMALL = Plan(
    (Group(Network((3, 2, 1)), 16, "float32", "cpu"),), ("step", "train"), ("a", "b", "c"), aa="b", processes=4
)
ROWS = (1, 16, 256, 4096, 65536)
NETWORKS = (Network((3, 2, 1)), Network((8, 32, 1)))
WIDE = replace(
    SMALL,
    groups=tuple(Group(network, rows, "float32", "cpu") for rows in ROWS for network in NETWORKS),
    phases=("place", "forward", "backward", "update", "step", "train"),
)
ADAPTIVE = replace(WIDE, adaptive=True, effort=Effort(least_rounds=2))


@pytest.fixture(autouse=True)
def rate(monkeypatch):
    """Let every machine be as fast as the next."""
    monkeypatch.setattr(estimate, "flop_rate", lambda dtype: 1e11)


@pytest.mark.parametrize("budget_s", [90.0, 180.0, 600.0])
def test_a_budget_is_used_and_not_exceeded(budget_s):
    """More budget gives more processes, then more time a cell; the estimate stays within it."""
    fitted = budget.fit(SMALL, budget_s, Pace())
    assert budget.estimate_s(fitted, Pace()) <= budget_s
    half = budget.fit(SMALL, budget_s / 2, Pace())
    assert (fitted.processes, fitted.effort.timed_s) >= (half.processes, half.effort.timed_s)
    assert budget.LEAST_PROCESSES <= fitted.processes <= budget.MOST_PROCESSES


def test_many_cells_of_short_rounds_stay_within_the_budget():
    """What comes between the turns of rounds is paid for: a grid that has time to spare is not made too long."""
    learnt = Pace(dict.fromkeys("abc", 1.0), {"warm": {(name, cell): 0.02 for name in "abc" for cell in WIDE.cells}})
    plan = replace(WIDE, aa="", own_cache=False)
    fitted = budget.fit(plan, 400.0, learnt)
    assert budget.LEAST_TIMED_S < fitted.effort.timed_s < budget.MOST_TIMED_S
    assert 0.75 * 400 < budget.estimate_s(fitted, learnt) <= 400


def test_a_budget_that_is_too_small_keeps_the_least():
    """Of a grid that was asked for, the least processes and the shortest rounds remain; the estimate is true."""
    fitted = budget.fit(WIDE, 1.0, Pace())
    assert (fitted.processes, fitted.effort.timed_s) == (budget.LEAST_PROCESSES, budget.LEAST_TIMED_S)
    assert (fitted.groups, fitted.phases) == (WIDE.groups, WIDE.phases)
    assert budget.estimate_s(fitted, Pace()) > 1.0


@pytest.mark.parametrize("plan", [WIDE, ADAPTIVE], ids=["fixed", "adaptive"])
def test_a_default_grid_is_thinned_from_the_middle(plan):
    """The least and the most rows of each network stay whatever the budget; rows between go first, then phases."""
    fitted = budget.fit(plan, 5.0, Pace(), whole=False)
    for network in NETWORKS:
        assert [group.rows for group in fitted.groups if group.network == network] == [1, 65536]
    assert fitted.phases == budget.FEWER_PHASES
    assert len(fitted.left_out) == 1 + len(WIDE.groups) - len(fitted.groups)
    roomy = budget.fit(plan, 2_000.0, Pace(), whole=False)
    assert (roomy.groups, roomy.phases, roomy.left_out) == (WIDE.groups, WIDE.phases, ())


def test_an_adaptive_budget_leaves_time_for_what_is_open():
    """The first two laps get about half of the budget, and the estimate says nearly all of it."""
    fitted = budget.fit(ADAPTIVE, 200.0, Pace())
    first_s = budget.lap_s(fitted, Pace(), True) + budget.SECOND_SHARE * budget.lap_s(fitted, Pace(), False)
    assert 0.45 * 200 <= first_s <= 0.55 * 200
    assert budget.estimate_s(fitted, Pace()) == pytest.approx(budget.MARGIN * 200)
    assert fitted.processes == budget.MOST_LAPS


def test_what_was_asked_for_is_not_fitted_away():
    """Processes or time a cell that were asked for stay."""
    assert budget.fit(SMALL, 1.0, Pace(), processes=5).processes == 5
    assert budget.fit(SMALL, 600.0, Pace(), cell_s=0.05).effort.timed_s == 0.05


def records(cache, seconds):
    """Return the records of one process with a cell of 10 ms calls, of which it timed 0.1 s in 10 rounds."""
    common = {"order": 0, "process": 0, "backend": "a", "arm": "", "threads": 1, "status": "ok"}
    cell = {"network": "3-2-1", "batch": 16, "dtype": "float32", "device": "cpu", "phase": "step", "cache": cache}
    timed = {"median_s": 10e-3, "steps": 1, "rounds": 9, "set_aside": 1, "iterations": 1, "spent_s": seconds - 1.5}
    return [{"record": "cell", **common, **cell, **timed}, {"record": "process", **common, "seconds": seconds}]


def test_the_pace_is_learned_from_earlier_processes():
    """Start and calls of earlier processes, cold and warm, make the estimate that they took; failures teach nothing."""
    plan = replace(SMALL, effort=Effort(timed_s=0.1), aa="", backends=("a",), phases=("step",), processes=2)
    learnt = pace.joined(pace.learn(records("cold", 30.0)), pace.learn(records("warm", 6.0)))
    assert learnt.start_s == {"a": pytest.approx(1.5)}
    assert budget.estimate_s(plan, learnt) == pytest.approx(36.0)
    lost = [{**record, "status": "crashed"} for record in records("warm", 900.0)]
    nothing = pace.learn(lost)
    assert not any((nothing.start_s, nothing.call_s, *nothing.extra_s.values(), *nothing.opening_s.values()))


def test_what_new_code_has_to_compile_is_expected():
    """A kept cache without anything of this code makes the first lap as long as a cold one, and no other."""
    plan = replace(SMALL, effort=Effort(timed_s=0.1), aa="", backends=("a",), phases=("step",), own_cache=False)
    learnt = pace.joined(pace.learn(records("cold", 30.0)), pace.learn(records("warm", 6.0)))
    assert budget.lap_s(plan, learnt, True) == pytest.approx(6.0)
    fresh = replace(learnt, compiled={"a": frozenset()})
    assert budget.lap_s(plan, fresh, True) == pytest.approx(30.0)
    assert budget.lap_s(plan, fresh, False) == budget.lap_s(plan, learnt, False)


def test_a_group_that_the_cache_does_not_hold_is_compiled():
    """Caches of other groups do not make it warm."""
    plan = replace(SMALL, effort=Effort(timed_s=0.1), aa="", backends=("a",), phases=("step",), own_cache=False)
    learnt = pace.joined(pace.learn(records("cold", 30.0)), pace.learn(records("warm", 6.0)))
    for held, expected_s in (("3-2-1 n=1 float32 cpu", 30.0), (str(SMALL.groups[0]), 6.0)):
        caches = replace(learnt, compiled={"a": frozenset([held])})
        assert budget.lap_s(plan, caches, True) == pytest.approx(expected_s)


def test_later_laps_open_a_group_at_their_own_pace():
    """What a later lap took to load and prove a group counts for later laps alone."""
    plan = replace(SMALL, effort=Effort(timed_s=0.1), aa="", backends=("a",), phases=("step",))
    plan = replace(plan, adaptive=True, own_cache=False)
    again = [{**record, "order": 1, "process": 1} for record in records("warm", 3.0)]
    learnt = pace.learn([*records("warm", 6.0), *again])
    assert budget.lap_s(plan, learnt, True) == pytest.approx(6.0)
    assert budget.lap_s(plan, learnt, False) == pytest.approx(3.0)


def test_later_laps_of_an_adaptive_campaign_are_over_what_decides():
    """They take as long as a lap of steps and training alone."""
    deciding = replace(ADAPTIVE, phases=("step", "train"))
    assert budget.lap_s(ADAPTIVE, Pace(), False) == budget.lap_s(deciding, Pace(), False)
    assert budget.lap_s(ADAPTIVE, Pace(), True) > budget.lap_s(deciding, Pace(), True)


WHOLE = {
    "record": "cell", "order": 1, "process": 0, "backend": "a", "arm": "", "status": "ok", "network": "3-2-1",
    "batch": 1, "dtype": "float32", "device": "cpu", "threads": 2, "phase": "step", "median_s": 1e-6, "steps": 1,
    "rounds": 3, "set_aside": 0, "iterations": 1, "cache": "warm", "spent_s": 0.1,
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in WHOLE if name not in ("record", "process", "status")])
@pytest.mark.parametrize("value", [None, "x", [], -1, "nothing"])
def test_a_record_of_another_program_does_not_block_a_new_run(name, value):
    """Whatever a stored record holds or lacks, the others teach the pace."""
    odd = {key: value if key == name else known for key, known in WHOLE.items() if (key, value) != (name, "nothing")}
    end = {"record": "process", "order": 2, "process": 0, "backend": "b", "arm": "", "status": "ok", "seconds": 1.0}
    others = {**end, "order": 1, "backend": "a", "seconds": value}
    learnt = pace.learn([odd, others, WHOLE | {"order": 2, "backend": "b"}, end])
    assert learnt.start_s["b"] == pytest.approx(0.9)
