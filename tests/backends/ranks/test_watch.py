"""How long a rank waits for the others."""

from __future__ import annotations

import threading
import time

import pytest

from backends.ranks import RanksError
from backends.ranks.watch import Watch


def test_a_wait_beyond_the_limit_ends_the_process(caplog: pytest.LogCaptureFixture) -> None:
    """A wait that lasts longer than the limit ends with a sentence, after a warning at half of it."""
    ended, errors = threading.Event(), []

    def end(error: RanksError) -> None:
        errors.append(error)
        ended.set()
        threading.Event().wait(5)  # the process would be gone

    begun_s = time.monotonic()
    with Watch(1, 0.4, end):
        assert ended.wait(5)
    assert 0.4 <= time.monotonic() - begun_s < 2
    assert "waited 0.4 s for the other ranks" in str(errors[0])
    assert "rank 1 has waited" in caplog.text


def test_a_slow_rank_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """A wait within the limit is warned of, and goes on."""
    errors: list[RanksError] = []
    with Watch(0, 2.0, errors.append):
        time.sleep(1.4)
    assert not errors
    assert "rank 0 goes on after waiting 1.4 s" in caplog.text


def test_what_is_not_waited_for_has_no_limit(caplog: pytest.LogCaptureFixture) -> None:
    """Time outside the block is nobody's wait."""
    errors: list[RanksError] = []
    watch = Watch(0, 0.2, errors.append)
    with watch:
        pass
    time.sleep(0.5)
    assert not errors
    assert not caplog.text
