"""What the tests of `bench` share: they measure the machine's speed once, not for every run that they make."""

import pytest

from bench.machine import speed


@pytest.fixture(autouse=True)
def kept_speed(monkeypatch):
    """Let each run keep the speed that is kept for a day."""
    monkeypatch.setattr(speed, "fresh", lambda: speed.here())
