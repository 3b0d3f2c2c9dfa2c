"""The arms of a lap take turns on the same cores."""

import itertools
import math
import socket

import pytest

from bench.measure import lap
from bench.measure.timing import Effort
from tests.bench.measure.small_campaigns import measure

pytestmark = pytest.mark.usefixtures("specimens")


def test_arms_of_a_round_take_turns_and_never_work_at_once(tmp_path, monkeypatch):
    """Calls of two arms alternate in short turns while both processes are alive, and no two calls overlap."""
    monkeypatch.setenv("SPECIMEN_FLAG", str(tmp_path / "calls"))
    measure(tmp_path / "results", "NotesItsCalls", aa="specimens:NotesItsCalls", effort=Effort(timed_s=0.08))
    calls = sorted(tuple(map(int, line.split())) for line in (tmp_path / "calls").read_text().splitlines())
    assert len({process for _, _, process in calls}) == 2
    assert all(ended <= begun for (_, ended, _), (begun, _, _) in itertools.pairwise(calls))
    handovers = sum(one[2] != other[2] for one, other in itertools.pairwise(calls))
    assert handovers >= 6  # eight turns each, there and back


def test_an_arm_that_waits_is_stopped_with_all_its_threads(tmp_path, monkeypatch):
    """A thread that goes on by itself does nothing while the other arm has its turn."""
    monkeypatch.setenv("SPECIMEN_FLAG", str(tmp_path / "calls"))
    measure(tmp_path / "results", "NeverRests", aa="specimens:NeverRests", effort=Effort(timed_s=0.05))
    calls, idle = (
        [tuple(map(int, line.split())) for line in (tmp_path / name).read_text().splitlines()]
        for name in ("calls", "calls-idle")
    )
    assert len({process for _, process in idle}) == 2
    seen = [moment for moment, other in idle for begun, ended, own in calls if own != other and begun < moment < ended]
    assert not seen


def test_time_in_which_the_campaign_was_suspended_is_no_ones_work(monkeypatch):
    """After Ctrl-Z and an hour, a process that waits for its turn is not ended for taking too long."""
    moments = itertools.count(0.0, 3600.0)
    monkeypatch.setattr(lap.time, "monotonic", lambda: next(moments))
    suspended = lap._Worker.__new__(lap._Worker)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        suspended._socket, suspended._pending, suspended._worked_s, suspended._timeout_s = ours, b"", 0.0, 60.0
        suspended._deadline_s = math.inf
        theirs.sendall(b'{"event": "begin"}\n')
        assert next(suspended._lines()) == b'{"event": "begin"}'
    assert suspended._worked_s < 2.0
