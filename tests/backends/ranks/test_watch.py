"""How long a rank waits for the others, by a clock that the tests move: the machine may be busy, or asleep."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from backends.ranks import RanksError, watch
from backends.ranks.watch import LOOKS_S, Watch

LIMIT_S = 100.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A clock for the watch, whose seconds are set."""
    moved = SimpleNamespace(now_s=1000.0)
    monkeypatch.setattr(watch, "time", SimpleNamespace(monotonic=lambda: moved.now_s, sleep=time.sleep))
    yield moved
    moved.now_s = 0.0  # its thread looks on, and must not find that the wait lasts


def wait_for_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Return once the thread has warned."""
    until_s = time.monotonic() + 60
    while "has waited" not in caplog.text:
        assert time.monotonic() < until_s, "no warning"
        time.sleep(0.01)


def test_a_wait_beyond_the_limit_ends_the_process(clock: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    """A wait that lasts longer than the limit ends with a sentence, after a warning well before it."""
    ended, errors = threading.Event(), []

    def end(error: RanksError) -> None:
        errors.append(error)
        ended.set()
        threading.Event().wait()  # the process would be gone

    with Watch(1, LIMIT_S, end):
        clock.now_s += 6
        wait_for_warning(caplog)
        clock.now_s += LIMIT_S - 6
        assert not ended.wait(3 * LOOKS_S)
        clock.now_s += 1
        assert ended.wait(60)
    assert "waited 100 s for the other ranks" in str(errors[0])
    assert "rank 1 has waited 6 s" in caplog.text


def test_a_slow_rank_is_waited_for(clock: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    """A wait within the limit is warned of, and goes on."""
    errors: list[RanksError] = []
    with Watch(0, LIMIT_S, errors.append):
        clock.now_s += 70
        wait_for_warning(caplog)
        clock.now_s += 1.4
    assert not errors
    assert "rank 0 goes on after waiting 71.4 s" in caplog.text


def test_what_is_not_waited_for_has_no_limit(clock: SimpleNamespace, caplog: pytest.LogCaptureFixture) -> None:
    """Time outside the block is nobody's wait."""
    errors: list[RanksError] = []
    watched = Watch(0, LIMIT_S, errors.append)
    with watched:
        pass
    clock.now_s += 2 * LIMIT_S
    time.sleep(3 * LOOKS_S)
    assert not errors
    assert not caplog.text
