"""Each backend at its best number of threads: in the choice, in the joint map, in the stopping rule, in jobs."""

import numpy as np
import pandas as pd
import pytest

from backends import Network, available
from bench.advice import overview, recommendation
from bench.advice.job import Job
from bench.verdicts import compare, pairs, statistics
from bench.verdicts.stopping import open_cells
from bench.verdicts.thread_choice import choose, possible
from tests.bench import synthetic
from tests.bench.synthetic import Noise
from tests.bench.verdicts.test_pairs import scattered

GRID = {"networks": ("3-2-1",), "batches": (64, 4_096), "phases": ("step", "train"), "failed": None, "twin": None}
QUIET = Noise(process=0.005)
TIMES = ["median_s", "lower_quartile_s", "minimum_s"]


def both(factors, processes=4, **options):
    """Return a run with two threads and with one, which takes a backend ``factors`` times as long; others as long."""
    options = {**GRID, "noise": QUIET, "processes": processes, **options}
    two = synthetic.frame(**options)
    one = synthetic.frame(**options, seed=1).assign(threads=1)
    scale = one["backend"].map(lambda backend: factors.get(backend, 1.0))
    one[TIMES] = one[TIMES].mul(scale, axis=0)
    for name in ("turn_s", "round_s"):
        one[name] = [[factor * time for time in times] for factor, times in zip(scale, one[name], strict=True)]
    return pd.concat([two, one], ignore_index=True)


def test_the_best_number_of_threads_is_the_largest_that_is_as_fast():
    """Half the time with one thread makes one the best; equal times and longer ones leave it at two."""
    frame = both({"numpy": 0.5, "torch": 2.0})
    estimates = statistics.cell_estimates(frame[frame["phase"] == "step"])
    chosen = choose(estimates)
    assert dict(zip(chosen["backend"], chosen["best_threads"], strict=True)) == {
        "numpy": 1, "numba": 2, "jax": 2, "torch": 2,
    }  # fmt: skip
    assert set(chosen["threads"]) == {2}
    assert len(chosen) == 4 * 2
    left = {name: set(rows["threads"]) for name, rows in possible(estimates, chosen).groupby("backend")}
    assert left == {"numpy": {1}, "numba": {1, 2}, "jax": {1, 2}, "torch": {2}}


def test_choosing_threads_by_the_estimates_raises_few_false_alarms():
    """Of grids in which two of four backends are behind by just the margin, with one thread as with two, few hold a
    backend that is called slower; as `test_pairs` asks of one number of threads.
    """
    rng = np.random.default_rng(0)
    truth = np.repeat([[0.0, 0.0, np.log(1.05), np.log(1.05)]], 12, axis=0)
    false = 0
    for _ in range(60):
        of_both = [scattered(truth, 3, rng).assign(threads=threads) for threads in (1, 2)]
        best = choose(pd.concat(of_both, ignore_index=True))
        false += (pairs.against_fastest(best)[0]["verdict"] == "slower").any()
    assert false <= 8


def test_scatter_with_many_threads_does_not_hide_a_lead_with_one():
    """Jax is ahead of all with one thread; that its own processes with two threads scatter widely costs no verdict."""
    frame = both({"jax": 0.02}, processes=4)
    steps = frame[frame["phase"] == "step"]
    hit = (steps["backend"] == "jax") & (steps["threads"] == 2) & (steps["process"] == 1)
    steps.loc[hit, TIMES] *= 40
    for name in ("turn_s", "round_s"):
        steps.loc[hit, name] = steps.loc[hit, name].map(lambda times: [40 * time for time in times])
    best = compare.compare(steps).best
    assert [(cell.outcome, cell.best_threads["jax"]) for cell in best.itertuples()] == [("fastest", 1)] * 2


def test_the_joint_map_compares_each_backend_at_its_best():
    """Jax with one thread beats all that have two; the map names it with its number of threads."""
    frame = both({"jax": 0.02})
    comparison = compare.compare(frame[frame["phase"] == "step"])
    assert len(comparison.best) == 2
    for cell in comparison.best.itertuples():
        assert (cell.outcome, cell.backends, cell.best_threads["jax"]) == ("fastest", ["jax"], 1)
        assert cell.tried_threads == [1, 2]
    assert compare.compare(synthetic.frame(**GRID)).best.empty


def test_a_cell_that_one_number_of_threads_decides_is_not_open():
    """Two backends alike with two threads are decided if one of them is twice as fast with one."""
    near = synthetic.true_s("numba", "3-2-1", 64) / synthetic.true_s("jax", "3-2-1", 64)
    options = {"phases": ("step",), "batches": (64,), "slower": {("jax", "3-2-1", 64): 1.05 * near}}
    apart = both({"jax": 0.5}, noise=Noise(process=0.01), **options)
    assert open_cells(apart.to_dict("records")) == {}
    alike = open_cells(both({}, 3, noise=Noise(process=0.02), **options).to_dict("records"))
    arms = set().union(*(it.contenders for it in alike.values()))
    assert {threads for _, threads in arms} <= {1, 2}
    assert {backend for backend, _ in arms} == {"jax", "numba"}


@pytest.mark.parametrize("factors", [{}, {"numba": 0.5}])
def test_the_map_of_jobs_and_the_recommendation_agree_on_threads(factors):
    """Whole jobs are compared at each backend's best number, as a recommendation does."""
    if missing := {"numba", "jax", "torch"} - set(available()):
        pytest.skip(f"recommend names no backend that is not installed: {', '.join(sorted(missing))}")
    frame = both(factors)
    jobs = overview.fastest_for_jobs(frame, steps=10_000_000)
    assert len(jobs) == 2
    for job in jobs.itertuples():
        said = recommendation.from_rows(frame, Job(Network.parse(job.network), job.batch, 10_000_000))
        assert (job.backends[0], job.best_threads[said.backend]) == (said.backend, said.threads)
        if factors:
            assert (said.backend, said.threads) == ("numba", 1)


def test_a_number_of_threads_tried_at_few_shapes_says_nothing_beyond_them():
    """One thread, measured at two batches alone, is not recommended for a batch far from both."""
    frame = both({"numba": 0.5}, batches=(1, 64, 4_096, 65_536))
    frame = frame[(frame["threads"] == 2) | frame["batch"].isin([64, 4_096])]
    network = Network((3, 2, 1))
    assert recommendation.from_rows(frame, Job(network, 500, 10_000_000)).threads == 1
    assert recommendation.from_rows(frame, Job(network, 65_536, 10_000_000)).threads == 2
