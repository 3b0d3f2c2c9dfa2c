"""Every backend of a grid against the fastest of its case, weighed at once."""

import numpy as np
import pandas as pd
import pytest

from bench.verdicts import compare, pairs, statistics
from tests.bench import synthetic


@pytest.fixture(scope="module")
def frame():
    """A run in which some cases are won, some tied and some undecided."""
    noise = synthetic.Noise(process=0.05, round=0.05)
    slower = {(backend, "3-2-1", 1_048_576): factor for backend, factor in (("numba", 1.0), ("jax", 1.02))}
    return synthetic.frame(phases=("step",), processes=3, rounds=12, noise=noise, slower=slower, seed=5)


def test_each_other_is_weighed_and_the_fastest_of_a_case_bears_its_outcome(frame):
    """The first of a case says what `compare` says of the case; the others, what is proven of them against it."""
    estimates = statistics.cell_estimates(frame)
    found, count = pairs.against_fastest(estimates[estimates["arm"] == ""])
    expected = compare.compare(frame)
    assert count == expected.pairs == 3 * found["case"].nunique()
    first = found.drop_duplicates("case")
    assert first["verdict"].tolist() == expected.winners["outcome"].tolist()
    assert (first["to_fastest"] == 1.0).all()
    others = found[found["case"].duplicated()]
    assert (others["to_fastest_low"] < others["to_fastest"]).all()
    slower = others[others["verdict"] == "slower"]
    assert (slower["to_fastest_low"] > 1.05).all()
    assert {"fastest", "undecided"} <= set(first["verdict"])


def test_pair_of_equals_is_a_tie():
    """Two backends of one speed tie, and so does the one that happens to be first."""
    still = synthetic.Noise(process=0.001, round=0.002, hit_share=0.0)
    twice = synthetic.frame(("numpy",), ("3-2-1",), (256,), ("step",), twin="numpy", failed=None, noise=still)
    estimates = statistics.cell_estimates(twice)
    both = estimates.assign(backend=["numpy", "copy"], arm="")
    found, count = pairs.against_fastest(both)
    assert (count, found["verdict"].tolist()) == (1, ["tie", "tie"])


def test_a_backend_that_rested_in_slow_laps_is_not_the_fastest_by_that():
    """Two slow laps after it was proven slower change neither who is fastest nor the ratio of the times shown."""
    alike = synthetic.Noise(process=0.001, round=0.002, hit_share=0.0)
    run = synthetic.frame(("numba", "numpy"), ("3-2-1",), (256,), ("step",), processes=4, failed=None, noise=alike)
    run = run[(run["arm"] == "") & ((run["backend"] == "numba") | (run["process"] < 2))]
    seconds = np.where(run["process"] < 2, 1.0, 4.0) * np.where(run["backend"] == "numba", 1.0, 1.5)
    run = run.assign(median_s=seconds, turn_s=[[turn_s] for turn_s in seconds])
    found, _ = pairs.against_fastest(statistics.cell_estimates(run))
    assert found["backend"].tolist() == ["numba", "numpy"]
    assert found["verdict"].tolist() == ["fastest", "slower"]
    shown = found["seconds"] / found["seconds"].iloc[0]
    assert shown.to_numpy() == pytest.approx(found["to_fastest"].to_numpy(), rel=0.01)


def test_backend_alone_is_the_fastest(frame):
    """Where nothing can be compared, the only backend is the fastest of its case, one time itself."""
    estimates = statistics.cell_estimates(frame[frame["backend"] == "numpy"])
    found, count = pairs.against_fastest(estimates)
    assert count == 0
    assert set(found["verdict"]) == {"fastest"}
    assert set(found["to_fastest"]) == {1.0}


def scattered(truth, laps, rng, scatter=0.04):
    """Estimates of cells whose log times are ``truth[case, backend]``, in laps that hit all backends alike."""
    cells = []
    for case, of_case in enumerate(truth):
        spread = scatter * np.exp(0.5 * rng.standard_normal())
        of_lap = 0.1 * rng.standard_normal(laps)
        for backend, log_s in enumerate(of_case):
            logs = log_s + of_lap + spread * rng.standard_normal(laps)
            key = dict.fromkeys(statistics.CASE, 0) | {"batch": case, "backend": backend, "arm": ""}
            by_lap = {("run", lap): log for lap, log in enumerate(logs)}
            noises = dict.fromkeys(by_lap, np.nan)
            spread_s = {"log_s": logs.mean(), "processes": laps, "variance": logs.var(ddof=1) / laps, "dof": laps - 1.0}
            cells.append(key | spread_s | {"process_logs": by_lap, "process_noises": noises})
    return pd.DataFrame(cells)


@pytest.mark.parametrize("slow", [1, 2, 3])
def test_backends_on_the_edge_of_the_margin_are_seldom_called_slower(slow):
    """Of grids in which some of four backends are behind by just the margin, few hold one that is called slower.

    At most 5 % may: of 60 grids, more than 8 would be less likely than one in a thousand.
    """
    rng = np.random.default_rng(slow)
    truth = np.zeros((12, 4))
    truth[:, -slow:] = np.log(1.05)
    grids = [pairs.against_fastest(scattered(rng.permuted(truth, axis=1), 3, rng))[0] for _ in range(60)]
    assert sum((grid["verdict"] == "slower").any() for grid in grids) <= 8


@pytest.mark.parametrize("slow", [1, 3])
def test_backends_on_the_edge_of_the_margin_are_seldom_called_as_good_as_any(slow):
    """Of cases in which some of four backends are behind by just the margin, few name one of these.

    At most 5 % may: of 720 cases, more than 54 would be less likely than one in a thousand.
    """
    rng = np.random.default_rng(slow)
    truth = np.zeros((12, 4))
    truth[:, -slow:] = np.log(1.05)
    wrong = 0
    for _ in range(60):
        grid = rng.permuted(truth, axis=1)
        first = pairs.against_fastest(scattered(grid, 3, rng))[0].drop_duplicates("case")
        named = first[first["verdict"] != "undecided"]
        wrong += sum(grid[case, backend] > 0 for case, backend in zip(named["batch"], named["backend"], strict=True))
    assert wrong <= 54


@pytest.mark.parametrize(
    ("verdicts", "kind"),
    [
        (["slower", "slower"], "fastest"),
        (["tie", "slower"], "tie"),
        (["not faster", "tie"], "none faster"),
        (["not faster", "undecided"], "undecided"),
    ],
)
def test_outcome_is_the_weakest_claim_about_those_that_may_be_the_best(verdicts, kind):
    """What is slower does not count; one that is open leaves the whole open."""
    found = pairs.outcome(["a", "b", "c"], ["fastest", *verdicts])
    others = [name for name, verdict in zip("bc", verdicts, strict=True) if verdict != "slower"]
    assert found == {"outcome": kind, "backends": ["a", *others], "compared": 3}


def test_fastest_is_found_among_many_that_are_far_behind():
    """Two laps prove most leads of 40 %: what is far behind anyhow does not count against those that are near."""
    rng = np.random.default_rng(0)
    truth = np.tile([0.0, 0.35, 1.2, 1.2], (19, 1))
    grids = [pairs.against_fastest(scattered(rng.permuted(truth, axis=1), 2, rng))[0] for _ in range(25)]
    won = [(grid.drop_duplicates("case")["verdict"] == "fastest").mean() for grid in grids]
    assert np.mean(won) > 0.65
