"""Budgets: what fits is measured longer, what does not is thinned, and earlier runs teach the pace."""

from dataclasses import replace

import pytest

from bench.measure import budget
from bench.measure.plan import Group, Plan
from bench.measure.timing import Effort

SMALL = Plan((Group("3-2-1", 16, "float32", "cpu"),), ("step", "train"), ("a", "b", "c"), aa="b", processes=4)
BATCHES = (1, 16, 256, 4096, 65536)
WIDE = replace(
    SMALL,
    groups=tuple(Group(net, batch, "float32", "cpu") for batch in BATCHES for net in ("3-2-1", "8-32-1")),
    phases=("place", "forward", "backward", "update", "step", "train"),
)


@pytest.mark.parametrize("budget_s", [90.0, 180.0, 600.0])
def test_a_budget_is_used_and_not_exceeded(budget_s):
    """More budget gives more processes, then more time a cell; the estimate stays within it."""
    fitted = budget.fit(SMALL, budget_s, {})
    assert budget.estimate_s(fitted, {}) <= budget_s
    half = budget.fit(SMALL, budget_s / 2, {})
    assert (fitted.processes, fitted.effort.timed_s) >= (half.processes, half.effort.timed_s)
    assert budget.LEAST_PROCESSES <= fitted.processes <= budget.MOST_PROCESSES


def test_a_budget_that_is_too_small_keeps_the_least():
    """Of a grid that was asked for, the least processes and the shortest rounds remain; the estimate is true."""
    fitted = budget.fit(WIDE, 1.0, {})
    assert (fitted.processes, fitted.effort.timed_s) == (budget.LEAST_PROCESSES, budget.LEAST_TIMED_S)
    assert (fitted.groups, fitted.phases) == (WIDE.groups, WIDE.phases)
    assert budget.estimate_s(fitted, {}) > 1.0


def test_a_default_grid_is_thinned_to_the_budget():
    """Phases go first, then dear batches; two or more of each network stay, and the plan says what went."""
    fitted = budget.fit(WIDE, 60.0, {}, whole=False)
    assert fitted.phases == budget.FEWER_PHASES
    assert 4 <= len(fitted.groups) < len(WIDE.groups)
    for network in ("3-2-1", "8-32-1"):
        left = [group.batch for group in fitted.groups if group.network == network]
        assert left[0] == 1
        assert len(left) >= 2
    assert len(fitted.left_out) == 1 + len(WIDE.groups) - len(fitted.groups)
    assert fitted.processes >= budget.LEAST_PROCESSES


def test_what_was_asked_for_is_not_fitted_away():
    """Processes or time a cell that were asked for stay."""
    assert budget.fit(SMALL, 1.0, {}, processes=5).processes == 5
    assert budget.fit(SMALL, 600.0, {}, cell_s=0.05).effort.timed_s == 0.05


def test_the_pace_is_learned_from_earlier_processes():
    """What a process took beyond its rounds is its backend's pace; with it, the estimate meets what was measured."""
    plan = replace(SMALL, effort=Effort(timed_s=0.05), aa="", backends=("a",), processes=2)
    records = [
        {"record": "process", "status": "ok", "backend": "a", "process": 0, "seconds": 30.0},
        {"record": "process", "status": "ok", "backend": "a", "process": 1, "seconds": 6.0},
        {"record": "process", "status": "crashed", "backend": "a", "process": 1, "seconds": 900.0},
        {"record": "cell", "backend": "a"},
    ]
    pace = budget.learn((plan, record) for record in records)
    assert set(pace) == {"a cold", "a warm"}
    assert budget.estimate_s(plan, pace) == pytest.approx(36.0)
