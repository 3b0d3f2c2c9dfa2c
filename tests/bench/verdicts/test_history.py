"""Steps in the history of a cell: found where they were planted, and not made up from noise."""

import numpy as np
import pytest

from bench.verdicts import history
from tests.bench import synthetic


@pytest.mark.parametrize("at", [2, 5, 8])
def test_planted_step_is_found_where_it_is(at):
    """A step of 20 % among noise of 1 % is found at the very run at which it was planted."""
    logs = np.log(1e-3) + np.random.default_rng(at).normal(0, 0.01, 10)
    logs[at:] += np.log(1.2)
    assert history.change_points(logs) == [at]


def test_two_steps_are_found_in_order():
    """A slow-down that a later run takes back is two steps."""
    logs = np.random.default_rng(0).normal(0, 0.01, 15)
    logs[5:10] += 0.3
    assert history.change_points(logs) == [5, 10]


def test_noise_alone_rarely_steps():
    """In 400 histories of 12 runs without a step, at most 5 % show one, whatever the noise."""
    rng = np.random.default_rng(1)
    wrong = [bool(history.change_points(rng.normal(0, noise, 12))) for noise in (0.01, 0.05, 0.2) for _ in range(400)]
    assert np.mean(wrong) <= 0.05


def test_step_within_the_margin_is_passed_over():
    """A step smaller than the margin is no step, however sure; one larger than it is."""
    logs = np.repeat([0.0, np.log(1.045)], 6)
    assert history.change_points(logs, margin=0.05) == []
    assert history.change_points(logs, margin=0.01) == [6]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_runs_have_no_step(count):
    """Fewer than two runs on each side show nothing."""
    assert history.change_points(np.arange(count) * 1.0) == []


def test_stored_runs_give_the_step_of_the_slower_backend_alone():
    """Of six runs, the last three with numba at 1.5 times its time: numba's cells step at the fourth, no other does."""
    steps = list(history.steps(history.levels(synthetic.over_time())))
    assert [(step.cell[-1], step.run, step.commit) for step in steps] == [("numba", "run-3", "commit3")]
    assert steps[0].commit_before == "commit2"
    assert steps[0].ratio == pytest.approx(1.5, rel=0.1)
