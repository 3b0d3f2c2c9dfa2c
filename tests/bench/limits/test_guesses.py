"""What `limits` should take on a machine that never ran it, held against stored runs that began with cold caches."""

from dataclasses import replace

import pytest

from bench import results
from bench.limits.guesses import guesses
from bench.measure import budget, campaign, estimate
from bench.measure.pace import Pace, learn

RUNS = ("20261128-203024-c5de", "20261129-003328-3fa7")


@pytest.fixture(params=RUNS)
def stored(request, project, monkeypatch):
    """Return a run of `limits`, its plan and the seconds that its processes worked, on a machine of usual speed."""
    monkeypatch.setattr(estimate, "flop_rate", lambda dtype: 2e11)
    run = results.resolve(request.param, project / "results")
    records = [record for _, record in results.records(run)]
    worked_s = sum(record["seconds"] for record in records if record["record"] == "process")
    return records, campaign.stored_plan(run), worked_s


def test_the_first_limits_on_a_machine_take_what_was_guessed(stored):
    """Within a fifth, with idioms that compile for minutes and peers that take long to import."""
    _, plan, worked_s = stored
    assert budget.estimate_s(plan, Pace(guesses=guesses())) == pytest.approx(worked_s, rel=0.2)


def test_limits_are_guessed_as_well_by_what_was_learnt(stored):
    """The same again with cold caches takes as long; with all compiled, a third less of torch.compile's."""
    records, plan, worked_s = stored
    learnt = replace(learn(records), guesses=guesses())
    assert budget.estimate_s(
        plan, replace(learnt, compiled=dict.fromkeys(plan.backends, frozenset()))
    ) == pytest.approx(worked_s, rel=0.2)
    one = replace(plan, backends=("torch-compile",))
    compiled = replace(learnt, compiled={"torch-compile": frozenset(map(str, plan.groups))})
    cold = replace(learnt, compiled=dict.fromkeys(one.backends, frozenset()))
    assert budget.estimate_s(one, compiled) < 2 / 3 * budget.estimate_s(one, cold)


def test_compiling_is_expected_of_those_that_compile(stored):
    """Most of it by torch.compile, none by plain numpy and torch."""
    seconds = budget.compiling_s(stored[1], Pace(guesses=guesses()))
    assert seconds["torch-fused"] > seconds["torch-compile"] > 20
    assert seconds["numpy"] == pytest.approx(0) == seconds["torch"]
