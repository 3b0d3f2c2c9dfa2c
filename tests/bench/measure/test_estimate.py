"""Guesses before anything was measured: of the right size, and the same on a busy machine."""

import numpy as np
import pytest

from backends import Network
from bench.measure import estimate
from bench.workload.work import flop


def test_the_rate_of_products_is_that_of_this_machine():
    """Two probes agree within a third, whatever else runs: they count the time that the thread had its core."""
    one, two = (estimate.flop_rate.__wrapped__("float32") for _ in range(2))
    assert one == pytest.approx(two, rel=1 / 3)
    assert 1e8 < one < 1e14


def test_a_step_takes_longer_for_more_rows_and_phases_are_parts_of_it(monkeypatch):
    """Large steps are products over the rate, tiny ones a call; the parts of a step take less than the whole."""
    monkeypatch.setattr(estimate, "flop_rate", lambda dtype: 1e11)
    network = Network((784, 512, 10))
    seconds = [estimate.step_s(network, rows) for rows in (1, 1_000, 100_000)]
    assert seconds == sorted(seconds)
    assert seconds[2] == pytest.approx(flop(network, 100_000) / (0.7 * 1e11), rel=0.1)
    assert seconds[0] < 1e-3
    for phase in ("place", "forward", "backward", "update"):
        assert estimate.phase_s(network, 1_000, phase) < seconds[1]
    assert estimate.phase_s(network, 1, "train") == 3e-3
    assert np.isfinite(estimate.phase_s(network, 1_000, "step"))
