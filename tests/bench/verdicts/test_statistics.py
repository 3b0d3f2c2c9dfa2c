"""Process estimates, intervals and verdicts: closed forms against draws, and what is promised against simulation."""

import math

import numpy as np
import pytest

from bench.basics.names import FASTER, SLOWER, TIE, UNDECIDED
from bench.verdicts import statistics
from bench.verdicts.statistics import CASE
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


def test_what_a_turn_adds_to_all_arms_is_told_from_what_is_their_own():
    """Arms that share a machine of two speeds are told apart to 1 %, where their medians may be off by a half."""
    rng = np.random.default_rng(7)
    off, off_alone = [], []
    for _ in range(50):
        speed = np.where(np.cumsum(rng.random(60) < 0.1) % 2, 1.75, 1.0)
        turns = [own * speed * np.exp(0.01 * rng.standard_normal(60)) for own in (1.0, 1.1, 5.0)]
        turns[1][speed == 1.75] *= np.where(rng.random((speed == 1.75).sum()) < 0.1, 1 / 1.75, 1.0)
        found = statistics.side_by_side(turns)
        alone = np.log([np.median(arm[:30]) for arm in turns])
        off.append(np.abs(found - found[0] - np.log([1.0, 1.1, 5.0])).max())
        off_alone.append(abs(alone[1] - np.log(np.median(turns[0][30:])) - math.log(1.1)))
    assert max(off) < 0.01
    assert max(off_alone) > 0.3


def test_arms_with_fewer_turns_or_spoiled_ones_are_compared_by_the_turns_they_share():
    """A slow arm has few turns; a spoiled one is nothing; an arm alone is the mean of its middle half."""
    speed = np.array([1.0, 2.0, 2.0, 1.0, 2.0, 1.0, 2.0, 2.0])
    turns = [list(3e-6 * speed), list(6e-6 * speed), list(30e-6 * speed[:3])]
    turns[1][2] = None
    found = np.exp(statistics.side_by_side(turns))
    assert found[1:] / found[0] == pytest.approx([2.0, 10.0])
    assert 3e-6 <= found[0] <= 6e-6
    assert np.exp(statistics.side_by_side([[1.0, 2.0, 2.0, 9.0, None]])) == pytest.approx([2.0])


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


def test_moderated_variances_meet_in_the_middle():
    """Variances that differ by chance alone become one; those that differ far beyond it are left as they are."""
    rng = np.random.default_rng(3)
    alike = 4e-4 * rng.chisquare(3, 200) / 3
    spread, dof = statistics.moderate(alike, np.full(200, 3.0), most_dof=15)
    assert np.log(spread).std() < 0.25 * np.log(alike).std()
    assert dof.max() <= 18
    apart = alike * np.exp(rng.normal(0, 4, 200))
    spread, dof = statistics.moderate(apart, np.full(200, 3.0), most_dof=15)
    assert np.log(spread).std() > 0.7 * np.log(apart).std()
    assert dof.max() < 6


def test_what_is_expected_counts_for_no_more_than_the_processes_behind_it():
    """However many cells nearly agree, they lend no more degrees of freedom than ``most_dof``."""
    rng = np.random.default_rng(3)
    nearly_alike = 4e-4 * rng.chisquare(3, 400) / 3 * np.exp(rng.normal(0, 0.7, 400))
    _, unbounded = statistics.moderate(nearly_alike, np.full(400, 3.0), most_dof=1e6)
    _, bounded = statistics.moderate(nearly_alike, np.full(400, 3.0), most_dof=2)
    assert 3 + 2 < unbounded.max() < 1e3
    assert bounded.max() <= 3 + 2


def test_a_variance_is_expected_where_turns_scatter():
    """Cells that differ as their turns do lend each other what they differ from that by chance; unknown ones take part.

    Where the turns tell nothing, or too few cells tell it, nothing is gained and nothing lost.
    """
    rng = np.random.default_rng(4)
    noise = np.exp(rng.normal(0, 1.5, 120))
    noise[:5] = math.nan
    expected = 0.3 * np.nan_to_num(noise, nan=1.0)
    variances = expected * rng.chisquare(2, 120) / 2
    alone, few = statistics.moderate(variances, np.full(120, 2.0), most_dof=12)
    followed, many = statistics.moderate(variances, np.full(120, 2.0), 12, noise)
    assert few.max() < 6 < 10 < many.min()
    assert np.abs(np.log(followed / expected))[5:].mean() < 0.5 * np.abs(np.log(alone / expected))[5:].mean()
    assert np.isfinite(followed).all()
    chance = rng.permutation(noise)
    assert statistics.moderate(variances, np.full(120, 2.0), 12, chance)[1] == pytest.approx(few, rel=0.1)
    of_few = [statistics.moderate(variances[:9], np.full(9, 2.0), 12, given) for given in (None, noise[:9])]
    assert np.array_equal(*of_few)


@pytest.mark.parametrize("misfit", [0.5, 1.5])
def test_intervals_hold_where_cells_scatter_by_their_turns(misfit):
    """Of grids whose cells scatter by 2 to 20 %, 93 to 98 % of intervals hold the truth, and few grids raise an alarm.

    It is so if the noise of the turns follows that closely, and if it is mostly something else.
    """
    rng = np.random.default_rng(11)
    held, alarms = [], 0
    for _ in range(100):
        scatter = 0.06 * np.exp(rng.normal(0, 0.7, (20, 1)) + rng.normal(0, 0.4, (20, 4)))
        own = scatter[:, None, :] * rng.standard_normal((20, 3, 4))
        noise = 0.4 * scatter**2 * np.exp(rng.normal(0, misfit, (20, 4)))
        pairs = [(cell, a, b) for cell in range(20) for a in range(4) for b in range(a)]
        differences = [own[cell, :, a] - own[cell, :, b] for cell, a, b in pairs]
        by_turns = [noise[cell, a] + noise[cell, b] for cell, a, b in pairs]
        middle, variance, dof = statistics.means(differences, 30.0, by_turns)
        claims = statistics.weigh(middle, np.sqrt(variance), dof, margin=1e-9)
        held.append(((claims.low <= 1) & (claims.high >= 1)).mean())
        alarms += bool({FASTER, SLOWER} & set(statistics.verdicts(claims)))
    assert 0.93 <= np.mean(held) <= 0.98
    assert alarms <= 12


def test_a_process_is_as_sure_as_its_turns_are_alike():
    """The noise of a process estimate is the variance of the mean of its turns, less what the machine added to all."""
    rng = np.random.default_rng(9)
    rows = synthetic.frame(**SMALL)
    rows = rows[rows["status"] == "ok"]
    turns = [list(1e-3 * np.exp(0.1 * rng.standard_normal(25))) for _ in range(len(rows))]
    speed = np.where(np.arange(25) % 7 < 3, 2.0, 1.0)
    rows = rows.assign(turn_s=[list(np.array(own) * speed) for own in turns])
    _, noises = statistics.estimates_and_noises(rows)
    assert np.sqrt(np.median(noises)) == pytest.approx(0.1 / math.sqrt(25), rel=0.3)
    assert np.isnan(statistics.estimates_and_noises(rows.assign(turn_s=[own[:1] for own in turns]))[1]).all()


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


@pytest.mark.parametrize("in_use", statistics.ESTIMATES)
def test_the_estimate_in_use_does_not_choose_the_algorithm(monkeypatch, in_use):
    """Each estimate is its own, whichever is the default: turns go side by side, a column is taken as it is."""
    monkeypatch.setattr(statistics, "ESTIMATE", in_use)
    rows = synthetic.frame(**SMALL)
    rows = rows[rows["status"] == "ok"]
    assert np.array_equal(statistics.estimates_and_noises(rows, "median_s")[0], np.log(rows["median_s"]))
    turns = statistics.estimates_and_noises(rows, "turn_s")[0]
    assert not np.array_equal(turns, np.log(rows["median_s"]))
    assert np.isfinite(turns).all()
