"""Where the number of threads is searched, and what a campaign gives up for it."""

from dataclasses import replace

import pytest

from bench.basics.names import AA, PHASES
from bench.measure import adaptive, budget, estimate, thread_search
from bench.measure.cell import Cell, Group
from bench.measure.history import History
from bench.measure.pace import Pace
from bench.measure.plan import NETWORKS, ROWS, Plan
from bench.measure.timing import Effort

GROUPS = tuple(Group(network, rows, "float32", "cpu") for network in NETWORKS for rows in ROWS)


@pytest.fixture(autouse=True)
def rate(monkeypatch):
    """Let every machine be as fast as the next."""
    monkeypatch.setattr(estimate, "flop_rate", lambda dtype: 2e11)


def plan(**changes):
    """Return an adaptive plan that searches one thread and two."""
    searched = thread_search.searched(GROUPS)
    usual = Plan(
        GROUPS, PHASES, ("a", "b"), "a", (1, 2), effort=Effort(), adaptive=True, own_cache=False, thread_search=searched
    )
    return replace(usual, **changes)


def test_steps_that_are_mostly_a_call_or_long_are_not_searched():
    """One row and a million rows of a wide network are measured with all threads alone, as is a GPU."""
    searched = thread_search.searched(GROUPS)
    assert 4 <= len(searched) < len(GROUPS) / 2
    assert {(str(g.network), g.rows) for g in searched}.isdisjoint({("3-2-1", 1), ("784-512-10", 1_048_576)})
    assert thread_search.searched([group._replace(device="cuda") for group in GROUPS]) == ()


@pytest.mark.parametrize(
    ("cores", "devices", "counts"), [(1, ["cpu"], (1,)), (8, ["cpu"], (1, 8)), (8, ["cuda"], (8,))]
)
def test_one_thread_and_all_are_tried(monkeypatch, cores, devices, counts):
    """By default one thread and all; a single core or a GPU leaves nothing to try."""
    monkeypatch.setattr(thread_search, "default_threads", lambda: cores)
    assert thread_search.counts(devices) == counts


def test_anchors_are_one_batch_a_network():
    """The fewer groups are one of each network, out of those searched."""
    searched = thread_search.searched(GROUPS)
    anchors = thread_search.anchors(searched)
    assert set(anchors) < set(searched)
    assert len({group.network for group in anchors}) == len(anchors) == len({group.network for group in searched})


def test_later_laps_try_one_thread_only_where_it_is_searched():
    """One thread times single steps and training of the searched groups, without a second copy of a backend."""
    asked = plan()
    first, second, *_ = asked.laps()
    tasks = adaptive.tasks(asked, first, History(), None, 1000.0)
    assert {process.threads for process in tasks} == {2}
    assert all(set(cells) == set(asked.cells) for process, cells in tasks.items() if process.arm != AA)
    one = {p: cells for p, cells in adaptive.tasks(asked, second, History(), None, 1e3).items() if p.threads == 1}
    searched = {Cell(group, phase) for group in asked.thread_search for phase in ("step", "train")}
    assert {process.backend: (process.arm, set(cells)) for process, cells in one.items()} == {
        "a": ("", searched), "b": ("", searched)
    }  # fmt: skip


def test_a_second_lap_that_does_not_fit_gives_up_the_search():
    """Fewer threads should take as long as all, and go before any rows do."""
    asked = plan()
    first, second, *_ = asked.laps()
    history = History()
    for process in first:
        if process.threads == 2:
            history.learn({"record": "process", **process.columns(), "status": "ok", "seconds": 5.0})
    for left_s, threads in ((25.0, {1, 2}), (24.0, {2})):
        tasks = adaptive.tasks(asked, second, history, None, left_s)
        assert {process.threads for process in tasks} == threads
        assert {cell.group for cells in tasks.values() for cell in cells} == set(GROUPS)


def test_a_search_is_given_up_before_the_grid_is():
    """With less time the search shrinks to one batch a network, then goes, and the plan says so."""
    whole = budget.fit(plan(), 3_000.0, Pace(), whole=False)
    assert (whole.threads, whole.thread_search, whole.left_out) == ((1, 2), plan().thread_search, ())
    anchored = replace(plan(), thread_search=thread_search.anchors(plan().thread_search))
    two_laps_s = budget._total_s(budget.with_timed(anchored, budget.LEAST_ADAPTIVE_S), Pace())
    fewer = budget.fit(plan(), 1.01 * two_laps_s / budget.SEARCH_SHARE, Pace(), whole=False)
    assert (fewer.threads, fewer.thread_search) == ((1, 2), thread_search.anchors(plan().thread_search))
    assert fewer.left_out[0].startswith("threads 1 but at 3-2-1 n=")
    none = budget.fit(plan(), 0.5 * two_laps_s, Pace(), whole=False)
    assert (none.threads, none.thread_search, none.left_out[0]) == ((2,), (), "threads 1: no time in the budget")


def test_time_for_compiling_searches_no_threads():
    """A plan for a budget is the same with some seconds more if compiling takes them."""
    compiled, cold = (
        Pace(dict.fromkeys("ab", 0.5), compiled=dict.fromkeys(names, frozenset())) for names in ("", "ab")
    )
    anchored = replace(plan(), thread_search=thread_search.anchors(plan().thread_search))
    searches = []
    for searching, share in ((anchored, budget.SEARCH_SHARE), (plan(), budget.FIRST_SHARE)):
        least_s = budget._total_s(budget.with_timed(searching, budget.LEAST_ADAPTIVE_S), compiled) / share
        for budget_s in (0.99 * least_s, 1.01 * least_s):
            usual = budget.fit(plan(), budget_s, compiled, whole=False)
            more_s = budget.lap_s(usual, cold, True) - budget.lap_s(usual, compiled, True)
            assert more_s > 1.0
            first = budget.fit(plan(), budget_s + more_s, cold, whole=False, compiling_s=more_s)
            assert first == replace(usual, budget_s=budget_s + more_s)
            searches.append(usual.thread_search)
    assert searches == [(), anchored.thread_search, anchored.thread_search, plan().thread_search]


def test_a_plan_with_a_search_comes_back_from_json():
    """A run that is gone on with searches what it searched before; a plan of earlier versions searches nothing."""
    asked = plan()
    assert Plan.from_dict(asked.to_dict()) == asked
    stored = {key: value for key, value in asked.to_dict().items() if key != "thread_search"}
    assert Plan.from_dict(stored) == replace(asked, thread_search=())
