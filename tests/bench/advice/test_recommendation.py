"""Time model, ledger, crossovers and the recommendation, on made-up runs whose truth is known."""

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import bench
from backends import Network
from bench.advice import basis, costs, crossover, decision, recommendation, time_model, validate
from bench.advice.costs import Cost
from bench.advice.job import Job
from bench.advice.time_model import EXTRAPOLATED, INTERPOLATED, MEASURED, TimeModel
from bench.basics.errors import UsageError
from bench.terminal.recommending import rests_on
from bench.verdicts import statistics
from tests.bench import synthetic

ANY = Job(Network((3, 2, 1)), 16)


def fitted(known, backend, phase="train"):
    """Return the time model of one backend."""
    figures = statistics.cell_estimates(known)
    own = figures[(figures["backend"] == backend) & (figures["phase"] == phase) & (figures["arm"] == "")]
    cases = list(zip(own["network"], own["batch"], strict=True))
    return TimeModel.fit(cases, own["log_s"], own["variance"])


def constant(backend, fixed_s, step_s, scatter=0.01):
    """Return a job of known cost, with a little scatter."""
    rng = np.random.default_rng(list(backend.encode()))
    around = np.exp(scatter * rng.standard_normal((time_model.DRAWS, 1)))
    nothing, steps = np.zeros((time_model.DRAWS, 1)), np.atleast_2d(step_s) * around
    return Cost(
        backend, fixed_s * around, nothing, np.zeros_like(steps), np.zeros_like(steps), steps, MEASURED, "train", "warm"
    )


@pytest.mark.parametrize("backend", list(synthetic.SPEEDS))
def test_the_model_repeats_what_was_measured(known, backend):
    """At a measured case the prediction is the measurement, within 3 %."""
    model = fitted(known, backend)
    mean, _ = model.predict(model.shapes)
    truth = [synthetic.true_s(backend, *case, "train") for case in model.shapes]
    assert np.exp(mean) == pytest.approx(truth, rel=0.03)


@pytest.mark.parametrize("backend", list(synthetic.SPEEDS))
def test_the_model_fills_in_batches_of_a_measured_network(known, backend):
    """Between measured batches it is right within 12 %, and its interval says how sure it is."""
    model = fitted(known, backend)
    cases = [("8-32-1", batch) for batch in (5, 70, 900, 20_000, 300_000)]
    mean, covariance = model.predict(cases)
    truth = np.log([synthetic.true_s(backend, *case, "train") for case in cases])
    assert np.abs(mean - truth).max() < 0.12
    assert (np.abs(mean - truth) < 4 * np.sqrt(np.diag(covariance))).all()


def test_intervals_grow_away_from_what_was_measured(known):
    """A measured case is known best, a batch in between less well, a network never seen worst."""
    _, covariance = fitted(known, "torch").predict([("8-32-1", 256), ("8-32-1", 900), ("30-200-30-5", 256)])
    near, between, far = np.diag(covariance)
    assert near < between < far


@pytest.mark.parametrize(
    ("case", "basis"),
    [
        (("8-32-1", 256), MEASURED),
        (("8-32-1", 300), INTERPOLATED),
        (("17-33-3", 300), INTERPOLATED),
        (("8-32-1", 10_000_000), EXTRAPOLATED),
        (("784-512-10", 256), EXTRAPOLATED),
    ],
)
def test_what_a_prediction_rests_on_is_said(known, case, basis):
    """Measured here, interpolated between measured sizes, or extrapolated beyond them."""
    assert fitted(known, "numpy").basis(case) == basis


def test_a_total_is_the_sum_of_its_parts(known):
    """Import + compile + place + one call + steps x step, each as made up."""
    (job,) = (job for job in costs.costs(known, [("3-2-1", 256)], "cold") if job.backend == "numba")
    speed = synthetic.SPEEDS["numba"]
    assert np.median(job.import_s) == pytest.approx(speed.import_s, rel=0.01)
    assert np.median(job.compile_s) == pytest.approx(speed.compile_s, rel=0.15)
    assert np.median(job.call_s) == pytest.approx(speed.call_s - speed.train_call_s, rel=0.1)
    step_s = synthetic.true_s("numba", "3-2-1", 256, "train")
    expected = speed.import_s + speed.compile_s + 1_000_000 * step_s
    assert np.median(job.total_s(1_000_000)) == pytest.approx(expected, rel=0.1)


def test_a_long_tail_of_totals_is_no_proof():
    """Draws of which 5 % lie beyond the margin on the far side prove nothing, however near all the others lie."""
    rng = np.random.default_rng(0)
    slow = constant("slow", 0.0, 1e-3)
    tailed = 1.1 * slow.step_s * np.where(rng.random((time_model.DRAWS, 1)) < 0.05, 0.8, 1.0)
    ((_, decided),) = decision.standings(
        [slow, replace(slow, backend="tailed", label="tailed", step_s=tailed)], [1000], 0.05
    )
    assert decided["outcome"] == "undecided"
    all_near = replace(
        slow,
        backend="near",
        label="near",
        step_s=1.03 * slow.step_s * np.exp(0.02 * rng.standard_normal(slow.step_s.shape)),
    )
    ((_, decided),) = decision.standings([slow, all_near], [1000], 0.05)
    assert decided["outcome"] == "none faster"


def test_step_changes_are_where_the_lines_meet():
    """One backend starts cheap and steps dear, the other the reverse: they meet at fixed / step difference."""
    jobs = [constant("cheap", 0.1, 1e-4), constant("fast", 2.0, 1e-5), constant("never", 3.0, 1e-3)]
    (change,) = crossover.step_changes(jobs)
    assert (change.before, change.after) == ("cheap", "fast")
    assert change.at == pytest.approx(1.9 / 9e-5, rel=0.02)
    assert change.low < change.at < change.high


def test_step_changes_agree_with_the_answer():
    """On each side of a change stands the backend that the totals name there, however far their parts scatter.

    The middles of parts that scatter far do not add up to the middle of their total.
    """
    rng = np.random.default_rng(0)
    scatter = np.exp(0.8 * rng.standard_normal((2, time_model.DRAWS, 1)))
    cheap, twin, fast = constant("cheap", 0.1, 1e-4), constant("twin", 0.1, 1.02e-4), constant("fast", 0.0, 2e-5)
    jobs = [cheap, twin, replace(fast, import_s=1.5 * scatter[0], step_s=2e-5 * scatter[1])]
    for steps in (1, *range(15_000, 35_000, 500), 10**10):
        (ranked, _) = decision.standings(jobs, [steps], margin=0.05)[0]
        (change,) = crossover.step_changes(jobs, around=steps)
        assert (change.before, change.after) == ("cheap", "fast")
        assert ranked[0].cost.backend == (change.before if steps < change.at else change.after), steps
        assert change.low <= change.at <= change.high


def test_batch_changes_are_where_the_totals_meet():
    """Overheads against throughputs: the crossing of two straight lines over the batch is found, with its interval."""
    batches = [2**k for k in range(20)]
    one = constant("small", 0.0, [1e-6 + 4e-9 * n for n in batches])
    two = constant("large", 0.0, [20e-6 + 1e-9 * n for n in batches])
    (change,) = crossover.batch_changes([one, two], batches, steps=1000)
    assert (change.before, change.after) == ("small", "large")
    assert change.at == pytest.approx(19e-6 / 3e-9, rel=0.05)
    assert change.low < change.at < change.high < 2 * change.at


@pytest.mark.parametrize("around", [1, 64, 2**19])
def test_batch_changes_are_found_from_either_side(around):
    """Wherever the search starts, the same two changes come out, in rising order; a lead below the margin is a tie."""
    batches = [2**k for k in range(20)]
    one = constant("one", 0.0, [1e-6 + 9e-9 * n for n in batches])
    two = constant("two", 0.0, [10e-6 + 3e-9 * n for n in batches])
    three = constant("three", 0.0, [200e-6 + 1e-9 * n for n in batches])
    near = constant("near", 0.0, np.median(two.step_s, axis=0) * np.where(np.arange(20) < 10, 0.98, 1.02))
    found = crossover.batch_changes([one, two, three], batches, 1000, around=around)
    assert [(change.before, change.after) for change in found] == [("one", "two"), ("two", "three")]
    assert [change.at for change in found] == pytest.approx([9e-6 / 6e-9, 190e-6 / 2e-9], rel=0.05)
    assert len(crossover.batch_changes([two, near], batches, 1000, around=around)) == 0


def test_a_change_that_may_lie_anywhere_has_an_open_interval():
    """Two backends that differ by less than their scatter: the interval is open at both ends."""
    batches = [2**k for k in range(12)]
    one = constant("one", 0.0, [1e-9 * n * (1 + 0.02 * k) for k, n in enumerate(batches)], scatter=0.4)
    two = constant("other", 0.0, [1e-9 * n * (1 + 0.02 * (6 - k)) for k, n in enumerate(batches)], scatter=0.4)
    (change,) = crossover.batch_changes([one, two], batches, steps=1)
    assert (change.low, change.high) == (0.0, math.inf)


def test_a_change_that_may_lie_below_the_first_batch_has_no_lower_end():
    """If the later backend is ahead at every batch in a tenth of the draws, the low end is 0, the high end known."""
    batches = [2**k for k in range(12)]
    before = constant("one", 0.0, [1e-9 * n * (1 + 0.02 * k) for k, n in enumerate(batches)], scatter=0.05)
    after = constant("other", 0.0, [1e-9 * n * (1 + 0.02 * (3 - k)) for k, n in enumerate(batches)], scatter=0.05)
    (change,) = crossover.batch_changes([before, after], batches, steps=1)
    assert (change.before, change.after, change.low) == ("one", "other", 0.0)
    assert change.at < change.high < batches[-1]


def test_the_interval_of_a_total_holds_95_percent_of_its_draws():
    """Both ends are where 2.5 % of the draws lie beyond, whatever the backends' order."""
    jobs = [constant("slow", 2.0, [0.02], scatter=0.3), constant("fast", 1.0, [0.01], scatter=0.1)]
    ranked, _ = decision.standings(jobs, [100], margin=0.05)[0]
    assert [it.cost.backend for it in ranked] == ["fast", "slow"]
    for it in ranked:
        draws = it.cost.total_s(100)
        assert [(draws < it.low_s).mean(), (draws > it.high_s).mean()] == pytest.approx([0.025] * 2, abs=1e-3)


@pytest.mark.parametrize(
    ("network", "batch", "steps", "best"),
    [("3-2-1", 16, 10, "numpy"), ("3-2-1", 16, 10_000_000, "numba"), ("64-64-64-1", 65_536, 100_000, "torch")],
)
def test_the_recommended_backend_ends_first(known, network, batch, steps, best):
    """Few steps go to the one that starts at once, many to the one that steps fastest; the total is the true one."""
    found = recommendation.from_rows(known, Job(Network.parse(network), batch, steps))
    assert found.backend == best
    step_s = synthetic.true_s(best, network, batch, "train")
    speed = synthetic.SPEEDS[best]
    assert found.total_s == pytest.approx(speed.import_s + 0.15 * speed.compile_s + steps * step_s, rel=0.1)
    assert found.low_s <= found.total_s <= found.high_s
    assert found.basis == MEASURED


def test_changes_around_the_case_lead_to_the_other_backends(known):
    """Along the steps, numpy gives way to numba where their true totals meet; the interval holds that place."""
    found = recommendation.from_rows(known, Job(Network((3, 2, 1)), 16, 1000))
    change = next(change for change in found.step_changes if change.after == "numba")
    fixed = {
        name: synthetic.SPEEDS[name].import_s + 0.15 * synthetic.SPEEDS[name].compile_s for name in ("numpy", "numba")
    }
    step = {name: synthetic.true_s(name, "3-2-1", 16, "train") for name in fixed}
    truth = (fixed["numba"] - fixed["numpy"]) / (step["numpy"] - step["numba"])
    assert change.before == "numpy"
    assert change.low <= truth <= change.high
    assert change.at == pytest.approx(truth, rel=0.1)


def test_a_close_race_is_a_tie_or_undecided_and_never_a_win():
    """Where two totals are equal, both are candidates."""
    same = dict.fromkeys([("torch", "3-2-1", b) for b in synthetic.BATCHES], 1.0)
    options = {"backends": ("torch",), "networks": ("3-2-1",), "phases": ("step", "train"), "failed": None}
    made = synthetic.frame(**options, processes=10, slower=same)
    twin = made[made["arm"] == ""].assign(backend="tests.bench.specimens:Twin")
    import pandas as pd

    both = pd.concat([made, twin], ignore_index=True)
    found = recommendation.from_rows(both, Job(Network((3, 2, 1)), 256, 1000))
    assert found.outcome == "tie"
    assert set(found.candidates) == {"torch", "tests.bench.specimens:Twin"}


def test_a_backend_that_cannot_be_loaded_here_is_not_recommended(known):
    """A plugin that is gone, or a class whose module is not on the path, is left out and named."""
    for gone in ("uninstalled", "no_such_module:Backend"):
        twin = known[(known["backend"] == "numba") & (known["arm"] == "")].assign(backend=gone, lower_quartile_s=1e-9)
        found = recommendation.from_rows(
            pd.concat([known, twin], ignore_index=True), Job(Network((3, 2, 1)), 256, 1000)
        )
        assert gone not in found.candidates
        assert any(f"Not installed here, so left out: {gone}" in note for note in found.notes)


def test_nothing_measured_says_what_to_run(tmp_path, known):
    """Without a stored run, or without the dtype asked for, the error names the command."""
    with pytest.raises(UsageError, match="python -m bench run --quick"):
        bench.recommend("3-2-1", batch=10, root=tmp_path)
    with pytest.raises(UsageError, match=r"float64.*--dtypes float64"):
        recommendation.from_rows(known, Job(Network((3, 2, 1)), 10, 10, dtype="float64"))


def test_the_library_takes_a_network_in_any_form(tmp_path, known):
    """`bench.recommend` takes text, sizes or a `Network`, and gives a name that `backends.load` takes."""
    synthetic.store(known, tmp_path)
    said = {
        bench.recommend(form, batch=16, steps=10, root=tmp_path).backend
        for form in ("3-2-1", (3, 2, 1), Network((3, 2, 1)))
    }
    assert said == {"numpy"}


def test_the_latest_run_over_a_grid_is_rested_on(tmp_path, known):
    """Runs of one backend, of another dtype, or to try the instrument are passed over, until they are asked for."""
    plan = {"groups": [["3-2-1", batch, "float32", "cpu"] for batch in (1, 2, 3)], "phases": ["step"]}
    kinds = {
        "1-whole": {"plan": plan | {"backends": ["numpy", "jax"]}},
        "2-alone": {"plan": plan | {"backends": ["numpy"]}},
        "3-trial": {"plan": plan | {"backends": ["numpy", "jax"]}, "label": "validate"},
        "3-limit": {"plan": plan | {"backends": ["numpy", "jax"]}, "label": "limits"},
        "4-other": {"plan": plan | {"backends": ["numpy", "jax"], "groups": [["3-2-1", 1, "float64", "cpu"]] * 3}},
    }
    for day, (name, fields) in enumerate(kinds.items(), start=1):
        path = synthetic.store(known.assign(run=name, created=f"2025-01-0{day}T00:00:00Z"), tmp_path)
        manifest = json.loads((path / "run.json").read_text())
        (path / "run.json").write_text(json.dumps(manifest | fields))
    assert [run.id for run in basis.runs_for(ANY, root=tmp_path)] == ["1-whole"]
    assert [run.id for run in basis.runs_for(ANY, ["3-trial"], tmp_path)] == ["3-trial"]


def test_what_limits_the_answer_is_noted(known):
    """Another machine, and a backend that failed, are named."""
    found = recommendation.from_rows(known, Job(Network((3, 2, 1)), 16, 10), where="Measured on another machine.")
    notes = " ".join(found.notes)
    assert notes.startswith("Measured on another machine.")
    assert found.basis == time_model.ELSEWHERE
    assert "compile" not in notes
    cold = recommendation.from_rows(known[known["cache"] == "cold"], Job(Network((3, 2, 1)), 16, 10))
    said = "Compile times of {} were measured with a cold compile cache, not with a warm one."
    assert {said.format("numba, jax"), said.format("jax, numba")} & set(cold.notes)
    assert rests_on(found).endswith("compile cache warm.")
    assert rests_on(cold).endswith(("warm, but cold for numba, jax.", "warm, but cold for jax, numba."))


def test_held_out_cases_are_recommended_with_little_regret():
    """On 12 random networks, batches and steps never seen, at least 90 % of totals are within 10 % of the best."""
    import pandas as pd

    options = {"phases": ("step", "train"), "failed": None, "rounds": 10}
    seen = synthetic.frame(networks=("3-2-1", "8-32-1", "64-64-64-1", "256-128-10"), **options)
    cases = validate.draw(12, seed=1)
    held = [
        synthetic.frame(networks=(case.network,), batches=(case.batch,), processes=2, twin=None, seed=k, **options)
        for k, case in enumerate(cases)
    ]
    found = validate.regrets(seen, pd.concat(held, ignore_index=True), cases)
    assert len(found) == 12
    assert validate.share_good(found) >= 0.9
    assert (found["regret"] >= 0).all()
    assert ((found["regret"] == 0) == (found["recommended"] == found["best"])).all()
    assert (found["basis"] != time_model.MEASURED).all()


@pytest.mark.parametrize("network", ["8-32-1", "20-50-20-2"])
def test_far_more_rows_than_measured_are_known_within_a_factor_of_three(known, network):
    """At 10^8 rows, a hundred times the most measured, the interval holds the truth and is no wider either way."""
    said = recommendation.from_rows(known, Job(Network.parse(network), 10**8, 10))
    assert said.basis == EXTRAPOLATED
    for row in said.rows.itertuples():
        assert 1 / 3 < row.low_s / row.total_s < row.high_s / row.total_s < 3
        assert row.low_s / 1.1 < 10 * synthetic.true_s(row.backend, network, 10**8, "train") < row.high_s * 1.1


def test_drawn_cases_reach_deep_wide_and_many_rows():
    """Among 200 cases are four hidden layers, a width beyond 400 and a million rows; none beyond what is allowed."""
    networks = [Network.parse(case.network) for case in validate.draw(200)]
    assert {len(network.sizes) - 2 for network in networks} == {1, 2, 3, 4}
    assert 400 < max(max(network.sizes) for network in networks) <= 512
    assert 500_000 < max(case.batch for case in validate.draw(200)) <= 1 << 20


def test_a_few_drawn_cases_are_spread_evenly():
    """Of 40 cases every depth has ten, and every tenth of the log ranges of rows and steps has four.

    The least three tenths are left out, because rounding to whole numbers moves cases across their edges.
    """
    cases = validate.draw(40)
    assert Counter(case.network.count("-") - 1 for case in cases) == dict.fromkeys((1, 2, 3, 4), 10)
    for values, most in (([c.batch for c in cases], 1 << 20), ([c.steps for c in cases], 10**6)):
        assert np.histogram(values, np.geomspace(1, most, 11)[3:])[0].tolist() == [4] * 7


def test_drawn_cases_are_the_same_for_a_seed():
    """A seed gives the same cases again, another gives others; none needs more products than allowed."""
    assert validate.draw(5, seed=3) == validate.draw(5, seed=3)
    assert validate.draw(5, seed=3) != validate.draw(5, seed=4)
