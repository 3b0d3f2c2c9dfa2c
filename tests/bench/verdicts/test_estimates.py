"""What turns side by side say of each arm, on made-up turns whose truth is known."""

import math

import numpy as np
import pytest

from bench.verdicts import estimates
from tests.bench import synthetic

SMALL = {"networks": ("3-2-1",), "batches": (1, 4_096), "phases": ("step", "train"), "failed": None}


def test_what_a_turn_adds_to_all_arms_is_told_from_what_is_their_own():
    """Arms that share a machine of two speeds are told apart to 1 %, where their medians may be off by a half."""
    rng = np.random.default_rng(7)
    off, off_alone = [], []
    for _ in range(50):
        speed = np.where(np.cumsum(rng.random(60) < 0.1) % 2, 1.75, 1.0)
        turns = [own * speed * np.exp(0.01 * rng.standard_normal(60)) for own in (1.0, 1.1, 5.0)]
        turns[1][speed == 1.75] *= np.where(rng.random((speed == 1.75).sum()) < 0.1, 1 / 1.75, 1.0)
        found = estimates.side_by_side(turns)
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
    found = np.exp(estimates.side_by_side(turns))
    assert found[1:] / found[0] == pytest.approx([2.0, 10.0])
    assert 3e-6 <= found[0] <= 6e-6
    assert np.exp(estimates.side_by_side([[1.0, 2.0, 2.0, 9.0, None]])) == pytest.approx([2.0])


def test_a_process_is_as_sure_as_its_turns_are_alike():
    """The noise of a process estimate is the variance of the mean of its turns, less what the machine added to all."""
    rng = np.random.default_rng(9)
    rows = synthetic.frame(**SMALL)
    rows = rows[rows["status"] == "ok"]
    turns = [list(1e-3 * np.exp(0.1 * rng.standard_normal(25))) for _ in range(len(rows))]
    speed = np.where(np.arange(25) % 7 < 3, 2.0, 1.0)
    rows = rows.assign(turn_s=[list(np.array(own) * speed) for own in turns])
    _, noises = estimates.estimates_and_noises(rows)
    assert np.sqrt(np.median(noises)) == pytest.approx(0.1 / math.sqrt(25), rel=0.3)
    assert np.isnan(estimates.estimates_and_noises(rows.assign(turn_s=[own[:1] for own in turns]))[1]).all()


@pytest.mark.parametrize("in_use", estimates.ESTIMATES)
def test_the_estimate_in_use_does_not_choose_the_algorithm(monkeypatch, in_use):
    """Each estimate is its own, whichever is the default: turns go side by side, a column is taken as it is."""
    monkeypatch.setattr(estimates, "ESTIMATE", in_use)
    rows = synthetic.frame(**SMALL)
    rows = rows[rows["status"] == "ok"]
    assert np.array_equal(estimates.estimates_and_noises(rows, "median_s")[0], np.log(rows["median_s"]))
    turns = estimates.estimates_and_noises(rows, "turn_s")[0]
    assert not np.array_equal(turns, np.log(rows["median_s"]))
    assert np.isfinite(turns).all()
