"""What tests of campaigns share: their processes find the specimens."""

import pytest

from tests.bench.measure.small_campaigns import PATH


@pytest.fixture
def specimens(monkeypatch):
    """Let the processes of a campaign find the specimens."""
    monkeypatch.setenv("PYTHONPATH", PATH)
