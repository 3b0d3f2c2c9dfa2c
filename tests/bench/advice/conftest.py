"""A made-up run whose truth is known, for the tests of advice."""

import pytest

from tests.bench import synthetic
from tests.bench.synthetic import Noise


@pytest.fixture(scope="session")
def known():
    """Return rows of a run over three networks."""
    networks = ("3-2-1", "8-32-1", "64-64-64-1")
    return synthetic.frame(noise=Noise(process=0.01), networks=networks, phases=("step", "train"), failed=None)
