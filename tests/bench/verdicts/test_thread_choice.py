"""Each backend at its best number of threads: in the choice, in the joint map, in the stopping rule, in jobs."""

import pandas as pd
import pytest

from backends import Network, available
from bench.advice import overview, recommendation
from bench.advice.job import Job
from bench.verdicts import compare, statistics
from bench.verdicts.stopping import open_cells
from bench.verdicts.thread_choice import choose
from tests.bench import synthetic
from tests.bench.synthetic import Noise

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


def test_fewer_threads_are_chosen_only_if_they_are_proven_faster():
    """Half the time with one thread is chosen; equal times and longer ones leave it at two."""
    frame = both({"numpy": 0.5, "torch": 2.0})
    chosen, possible = choose(statistics.cell_estimates(frame[frame["phase"] == "step"]))
    assert dict(zip(chosen["backend"], chosen["best_threads"], strict=True)) == {
        "numpy": 1, "numba": 2, "jax": 2, "torch": 2,
    }  # fmt: skip
    assert set(chosen["threads"]) == {2}
    assert len(chosen) == 4 * 2
    left = {name: set(rows["threads"]) for name, rows in possible.groupby("backend")}
    assert left == {"numpy": {1}, "numba": {1, 2}, "jax": {1, 2}, "torch": {2}}


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
    assert {threads for _, threads in alike} <= {1, 2}
    assert set().union(*alike.values()) == {"jax", "numba"}


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
