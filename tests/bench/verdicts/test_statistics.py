"""Intervals and verdicts: closed forms against draws, and what is promised against simulation."""

import math

import numpy as np
import pytest

from bench.basics.names import FASTER, SLOWER, TIE, UNDECIDED
from bench.verdicts import statistics
from bench.verdicts.estimates import CASE
from tests.bench import synthetic
from tests.bench.synthetic import Noise

SMALL = {"networks": ("3-2-1",), "batches": (1, 4_096), "phases": ("step", "train"), "failed": None}


def test_a_cell_has_its_time_and_an_interval_about_it():
    """Without noise between processes the time is the process estimate itself, and the interval holds it."""
    estimates = statistics.cell_estimates(synthetic.frame(noise=Noise(0.01, 0.0, 0.0, 0.0, 0.0), **SMALL))
    for row in estimates.itertuples():
        truth = synthetic.true_s(row.backend, row.network, row.batch, row.phase)
        assert row.seconds == pytest.approx(truth, rel=0.03)
        assert row.low_s < row.seconds < row.high_s
    assert set(estimates["processes"]) == {4}


def test_rows_that_failed_have_no_figure():
    """A cell that failed is no cell of the comparison, even where it was timed before."""
    made = synthetic.frame(**{**SMALL, "failed": "broken"})
    made.loc[made["backend"] == "torch", "status"] = "nonconformant"
    assert set(statistics.cell_estimates(made)["backend"]) == {"numpy", "numba", "jax"}


@pytest.mark.parametrize("processes", [3, 4, 6])
def test_intervals_of_few_blocks_hold_the_truth(processes):
    """The 95 % interval of a ratio holds the true one in at least 90 % of 600 cases of three to six processes."""
    held = []
    for seed in range(25):
        made = synthetic.frame(processes=processes, rounds=12, seed=seed, **SMALL)
        estimates = statistics.cell_estimates(made).set_index([*CASE, "backend", "arm"], drop=False)
        for one, other in (("numpy", "jax"), ("numba", "torch"), ("jax", "torch")):
            pair = [estimates.xs((name, ""), level=("backend", "arm")) for name in (one, other)]
            found = statistics.ratios(pair[0], pair[1].loc[pair[0].index])
            for case, low, high in zip(pair[0].index, found.low, found.high, strict=True):
                where = dict(zip(CASE, case, strict=True))
                key = (where["network"], where["batch"], where["phase"])
                truth = synthetic.true_s(other, *key) / synthetic.true_s(one, *key)
                held.append(low <= truth <= high)
    assert len(held) >= 200
    assert np.mean(held) >= 0.90


def test_rounds_in_common_are_compared_round_by_round():
    """What slows both arms of a round says nothing of their ratio: its interval stays narrow, its times grow."""
    quiet = synthetic.frame(("numpy", "jax"), twin=None, noise=Noise(0.002, 0.01, 0.0, 0.0, 0.0), **SMALL)
    loud = quiet.copy()
    state = loud["process"].map({0: 1.0, 1: 1.7, 2: 1.1, 3: 1.4})
    loud["turn_s"] = [[factor * one for one in turns] for factor, turns in zip(state, loud["turn_s"], strict=True)]
    halves = []
    for made in (quiet, loud):
        estimates = statistics.cell_estimates(made)
        one, other = (estimates[estimates["backend"] == name].reset_index() for name in ("numpy", "jax"))
        found = statistics.ratios(one, other)
        halves.append((np.log(found.high / found.low).max(), np.log(one["high_s"] / one["low_s"]).min()))
    (ratio, _), (ratio_loud, time_loud) = halves
    assert ratio_loud == pytest.approx(ratio, rel=1e-6)
    assert time_loud > 20 * ratio_loud


def test_runs_without_a_round_in_common_are_compared_by_their_means():
    """Blocks of two runs are no pairs, even where their numbers agree: the variances add."""
    made = [synthetic.frame(run=name, seed=seed, **SMALL) for seed, name in enumerate(("before", "after"))]
    before, after = (statistics.cell_estimates(own) for own in made)
    found = statistics.ratios(before, after)
    expected = statistics.quantile(0.975, [1e4])[0] * np.sqrt(before["variance"] + after["variance"])
    assert (np.log(found.high / found.ratio) >= expected.to_numpy() * 0.999).all()


def test_one_process_alone_leans_on_the_others():
    """A cell with a single process takes its scatter from the others; where nothing is known, nothing is decided."""
    made = synthetic.frame(**SMALL)
    single = made[(made["backend"] != "numpy") | (made["process"] == 0)]
    row = statistics.cell_estimates(single).query("backend == 'numpy'").iloc[0]
    assert row["processes"] == 1
    assert row["low_s"] < row["seconds"] < row["high_s"]
    alone = statistics.cell_estimates(made[made["process"] == 0])
    assert alone["low_s"].isna().all()
    found = statistics.ratios(alone.iloc[:2], alone.iloc[2:4])
    assert list(statistics.verdicts(found)) == [UNDECIDED, UNDECIDED]


@pytest.mark.parametrize(
    ("ratio", "error", "verdict"),
    [
        (0.80, 0.01, FASTER),
        (1.25, 0.01, SLOWER),
        (1.01, 0.01, TIE),
        (1.01, 0.05, UNDECIDED),
        (1.06, 0.02, UNDECIDED),
        (1.25, 0.20, UNDECIDED),
        (1.20, math.nan, UNDECIDED),
    ],
)
def test_a_verdict_needs_the_whole_interval(ratio, error, verdict):
    """Faster, slower: the whole interval lies beyond the margin; tie: inside; anything else is undecided."""
    found = statistics.weigh([math.log(ratio)], [error], [20.0], margin=0.05)
    assert list(statistics.verdicts(found)) == [verdict]
    edge = 1.05
    said = FASTER if found.high[0] < 1 / edge else SLOWER if found.low[0] > edge else None
    said = TIE if found.low[0] > 1 / edge and found.high[0] < edge else said or UNDECIDED
    assert said == verdict


def test_a_claim_about_one_ratio_is_made_as_soon_as_its_interval_says_so():
    """Each ratio alone is faster, slower or a tie exactly if its 95 % interval lies beyond the margin, or inside it."""
    rng = np.random.default_rng(5)
    count, edge = 2_000, 1.05
    found = statistics.weigh(
        rng.normal(0, 0.06, count), rng.uniform(1e-3, 0.04, count), rng.uniform(2, 30, count), 0.05
    )
    beyond = [found.high < 1 / edge, found.low > edge, (found.low > 1 / edge) & (found.high < edge)]
    expected = np.select(beyond, [FASTER, SLOWER, TIE], UNDECIDED)
    assert (statistics.verdicts(found, together=False) == expected).all()
    assert set(expected) == {FASTER, SLOWER, TIE, UNDECIDED}


def test_holm_is_bonferroni_for_the_least_and_never_falls():
    """Adjusted p-values follow Holm's definition; one that is missing does not count."""
    adjusted = statistics.holm([0.03, 0.01, math.nan, 0.02, 0.9])
    assert adjusted[[0, 1, 3, 4]] == pytest.approx([0.06, 0.04, 0.06, 0.9])
    assert math.isnan(adjusted[2])


def test_a_grid_of_equals_raises_no_alarm():
    """Of 200 grids of 60 equal pairs, verdicts held together find a difference in about 5 %, each alone in most."""
    rng = np.random.default_rng(5)
    alarms, alone = 0, 0
    for _ in range(200):
        logs = 0.02 * rng.standard_t(8, 60)
        found = statistics.weigh(logs, np.full(60, 0.02), np.full(60, 8.0), margin=1e-9)
        alarms += bool({FASTER, SLOWER} & set(statistics.verdicts(found)))
        alone += bool({FASTER, SLOWER} & set(statistics.verdicts(found, together=False)))
    assert alarms <= 18
    assert alone >= 150
