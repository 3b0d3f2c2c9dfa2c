"""The map of whole jobs: for every measured shape what `recommend` says of it."""

from dataclasses import replace

import pandas as pd

from backends import Network
from bench.advice import overview, recommendation
from bench.advice.job import Job
from bench.terminal import comparing, recommending, terminal
from tests.bench import synthetic
from tests.bench.synthetic import Noise


def test_the_map_says_what_recommend_says():
    """For each measured shape the same backend comes first, whatever compiling, importing and placing take."""
    frame = synthetic.frame(
        networks=("3-2-1", "64-64-64-1"), batches=(1, 4_096), noise=Noise(process=0.01), failed=None
    )
    jobs = overview.fastest_for_jobs(frame, steps=2_000)
    assert len(jobs) == 4
    assert set(jobs["phase"]) == {"a job of 2,000 steps"}
    for job in jobs.itertuples():
        said = recommendation.from_rows(frame, Job(Network.parse(job.network), job.batch, 2_000))
        assert job.backends[0] == said.backend
    assert set(jobs["compared"]) == {4}


def test_the_maps_name_first_what_none_is_faster_than():
    """The first is the answer, the others are those that may be as fast; the ratio of the second is kept."""
    cell = {"network": "3-2-1", "batch": 1, "dtype": "float32", "device": "cpu", "threads": 2, "phase": "step"}
    found = {"outcome": "none faster", "backends": ["torch", "numba", "numpy"], "compared": 4}
    with (out := terminal.console()).capture() as shown:
        out.print(comparing.batch_map(pd.DataFrame([cell | found]), ("float32", "cpu", 2, "step")))
    assert "torch (not faster: numba, numpy)" in shown.get()


def test_headline_says_that_no_other_is_faster_beyond_the_margin():
    """X is the backend to use, and its near rivals are named."""
    frame = synthetic.frame(networks=("3-2-1",), batches=(4_096,), noise=Noise(process=0.01), failed=None)
    said = recommendation.from_rows(frame, Job(Network((3, 2, 1)), 4_096, 2_000))
    near = replace(said, backend="torch", outcome="none faster", candidates=("torch", "numba"), margin=0.05)
    text = " ".join(recommending.headline(near).split())
    assert text.startswith("Use torch: ")
    assert "in all; no other is over 5 % faster (near: numba)." in text
