"""What tests of campaigns share: their processes find the specimens."""

import os

import pytest

from tests.bench.measure.small_campaigns import SPECIMENS


@pytest.fixture
def specimens(monkeypatch):
    """Let the processes of a campaign find the specimens."""
    checkout = str(SPECIMENS.parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([checkout, str(SPECIMENS)]))
