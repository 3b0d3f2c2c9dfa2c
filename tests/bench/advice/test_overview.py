"""The map of whole jobs: for every measured shape what `recommend` says of it."""

from backends import Network
from bench.advice import overview, recommendation
from bench.advice.job import Job
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
