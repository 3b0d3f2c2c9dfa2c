"""Plans: what is in the grid, in which order, and how it fits a budget."""

import json

import pytest

from backends import Network
from bench.basics.errors import UsageError
from bench.basics.names import AA
from bench.measure import plan
from bench.measure.cell import Group
from bench.measure.plan import Plan

SMALL = Plan(
    (Group(Network((3, 2, 1)), 16, "float32", "cpu"),), ("step", "train"), ("a", "b", "c"), aa="b", processes=4
)


def test_laps_go_there_and_back():
    """Each lap has every arm once; every other runs in the reverse order, so that drift hits all alike."""
    laps = list(SMALL.laps())
    arms = [[(process.backend, process.arm) for process in lap] for lap in laps]
    assert sorted(arms[0]) == [("a", ""), ("b", ""), ("b", AA), ("c", "")]
    assert arms[1] == arms[0][::-1]
    assert arms[2:] == arms[:2]
    assert [process.order for lap in laps for process in lap] == list(range(16))
    assert {process.lap for process in laps[2]} == {2}


def test_each_arm_has_the_same_mean_position():
    """With an even number of laps no arm comes earlier than another on the whole."""
    processes = [process for lap in SMALL.laps() for process in lap]
    means = {sum(process.order for process in processes if process[2:] == arm) / 4 for arm in SMALL.arms}
    assert means == {7.5}


def test_thread_counts_are_blocks_of_their_own():
    """Each number of threads is one more process in a lap."""
    wide = Plan(**{**vars(SMALL), "threads": (1, 2)})
    assert len(wide.arms) == 8
    assert {process.threads for process in next(wide.laps())} == {1, 2}


def test_a_plan_survives_json():
    """What the manifest stores is the plan that was made."""
    assert Plan.from_dict(json.loads(json.dumps(SMALL.to_dict()))) == SMALL


def test_groups_come_in_the_order_of_their_work():
    """Small cells come first: what dies of size dies last."""
    groups = plan.asked_groups([Network((64, 64, 1)), Network((3, 2, 1))], [1000, 1], ["float32"], ["cpu"], 1)
    assert [(str(group.network), group.rows) for group in groups] == [
        ("3-2-1", 1),
        ("64-64-1", 1),
        ("3-2-1", 1000),
        ("64-64-1", 1000),
    ]


def test_a_batch_that_does_not_fit_is_refused_with_the_need():
    """A batch asked for that memory does not hold is an error; one of the default grid is left out, and said so."""
    networks, free = [Network((784, 512, 10))], 1 << 30
    with pytest.raises(UsageError, match=r"1,000,000 rows of network 784-512-10 in float64 needs .* GiB, and"):
        plan.asked_groups(networks, [1_000_000], ["float64"], ["cpu"], 1, free)
    groups, left_out = plan.default_groups(networks, [1, 1_000_000], ["float32"], ["cpu"], 1, free=free)
    assert [group.rows for group in groups] == [1]
    assert left_out[0].startswith("784-512-10 n=1000000: needs ")


def test_memory_holds_every_arm_of_a_lap():
    """All arms are alive at the same time: what one process could hold is refused, or left out, for five."""
    networks, free = [Network((3, 2, 1))], 4 << 30
    asked = (networks, [10_000_000], ["float32"], ["cpu"])
    assert len(plan.asked_groups(*asked, 1, free)) == len(plan.default_groups(*asked, 1, 9.0, free)[0]) == 1
    with pytest.raises(UsageError, match=r"in 5 processes at once.*at most [0-9,]+ rows or 3 of the processes"):
        plan.asked_groups(*asked, 5, free)
    _, left_out = plan.default_groups(networks, [1, 10_000_000], ["float32"], ["cpu"], 5, 9.0, free)
    assert "in 5 processes at once" in left_out[0]


def test_a_grid_of_which_nothing_fits_is_refused():
    """Where memory or time leave no group, that is an error with its reason, not an empty campaign."""
    with pytest.raises(UsageError, match=r"of 1 row of network 3-2-1 .* needs .* in 8 processes"):
        plan.default_groups([Network((3, 2, 1))], [1], ["float32"], ["cpu"], 8, free=1 << 30)
    with pytest.raises(UsageError, match=r"nothing to measure: 3-2-1 n=4096: a step .* ask for rows with --batches"):
        plan.default_groups([Network((3, 2, 1))], [4096], ["float32"], ["cpu"], 1, longest_s=1e-9)


def test_the_default_grid_has_a_tiny_a_small_and_a_wide_network():
    """From the tutorial's network at one row to a million rows, and a wide network as far as time allows."""
    groups, _ = plan.default_groups(plan.NETWORKS, plan.ROWS, ["float32"], ["cpu"], 5, free=16 << 30)
    rows = {str(net): [group.rows for group in groups if group.network == net] for net in plan.NETWORKS}
    assert rows["3-2-1"] == list(plan.ROWS)
    assert 1 in rows["784-512-10"]
    assert max(rows["784-512-10"]) >= 1024


def test_an_unknown_phase_is_refused():
    """A phase that does not exist is named, with those that do."""
    assert plan.checked_phases(["train", "place"]) == ("place", "train")
    with pytest.raises(UsageError, match="no phase 'run'; expected some of place,forward"):
        plan.checked_phases(["run"])
