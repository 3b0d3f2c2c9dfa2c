"""Assertions about times are repeated while other processes compute, and count on a quiet machine."""

import os
import subprocess
import sys

import psutil
import pytest

from tests import disturbed

SPIN = "import time\nwhile time.process_time() < 0.5: pass"


@pytest.fixture
def machine(monkeypatch):
    """A machine on which others take the processor time that is appended."""
    taken_s = []
    monkeypatch.setattr(disturbed, "processor_s_of_others", lambda: sum(taken_s))
    return taken_s


def test_a_claim_that_fails_on_a_quiet_machine_fails(machine):
    """It is called once."""
    calls = []

    def claim():
        calls.append(1)
        raise AssertionError("too slow")

    with pytest.raises(AssertionError, match="too slow"):
        disturbed.judge(claim)
    assert len(calls) == 1


def test_a_claim_that_fails_beside_others_is_tried_again(machine):
    """Until it holds."""
    calls = []

    def claim():
        calls.append(1)
        machine.append(60.0)
        assert len(calls) == 3

    disturbed.judge(claim)
    assert len(calls) == 3


def test_a_claim_that_never_met_a_quiet_machine_is_skipped(machine):
    """The reason says how much the others took."""

    def claim():
        machine.append(60.0)
        raise AssertionError("too slow")

    with pytest.raises(pytest.skip.Exception, match=r"could not be judged: other processes took .* cores"):
        disturbed.judge(claim)


def test_an_error_is_no_question_of_time(machine):
    """Whatever else the machine does."""

    def claim():
        machine.append(60.0)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        disturbed.judge(claim)


def test_others_are_all_but_this_process_and_its_children(monkeypatch):
    """On a machine that did one second in all, what a child took that has ended is taken off, and idle time is."""
    times = psutil.cpu_times()._replace(**{name: 0.0 for name in psutil.cpu_times()._fields})
    monkeypatch.setattr(psutil, "cpu_times", lambda: times._replace(user=1.0, idle=7.0))
    ours_s = sum(os.times()[:4])
    assert disturbed.processor_s_of_others() == pytest.approx(1.0 - ours_s, abs=0.2)
    subprocess.run([sys.executable, "-c", SPIN], check=True)
    assert disturbed.processor_s_of_others() < 1.0 - ours_s - 0.4
