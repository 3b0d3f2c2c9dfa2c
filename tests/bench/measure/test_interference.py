"""Which rounds are set aside: on made-up rounds, and beside a process that competes for the processor."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from bench.measure.interference import Round, spoiled
from bench.measure.timing import Effort, calibrate, summarise, timed_round, warm_up


def quiet(count=40, wall_s=1e-3, scatter=0.02, share=1.0, seed=0):
    """Return rounds of a quiet machine."""
    walls = wall_s * np.random.default_rng(seed).lognormal(0, scatter, count)
    return [Round(float(wall), share * float(wall), 0) for wall in walls]


def test_quiet_rounds_are_all_kept():
    """Nothing is set aside where nothing was disturbed, whatever the scatter and the share of the processor."""
    for share in (0.01, 1.0, 2.0):
        for scatter in (0.0, 0.02, 0.1):
            assert sum(spoiled(quiet(200, scatter=scatter, share=share))) <= 2


@pytest.mark.parametrize(
    "hit",
    [Round(4e-3, 1e-3, 1), Round(1.3e-3, 1.28e-3, 2), Round(8e-3, 8e-3, 0), Round(1.5e-3, 1e-3, 0)],
    ids=["lost its core", "switched away", "far out", "stolen"],
)
def test_disturbed_rounds_are_set_aside(hit):
    """A round that is slow and shows why, or that is far out, is set aside; its neighbours are kept."""
    rounds = quiet()
    rounds[5] = rounds[11] = hit
    assert [k for k, aside in enumerate(spoiled(rounds)) if aside] == [5, 11]


def test_a_spinning_team_that_lost_a_core_is_recognised():
    """Rounds in which one of two threads waited for its core stand out by their share of the processors."""
    for lost in (Round(20e-3, 21e-3, 0), Round(1.4e-3, 1.6e-3, 0)):
        assert spoiled(quiet(share=2.0) + [lost] * 12) == [False] * 40 + [True] * 12


def test_slow_rounds_without_a_sign_are_kept():
    """A backend that is 30 % slower every third round keeps those: that is its own time."""
    rounds = [Round(wall, wall, 0) for wall in [1e-3, 1.02e-3, 1.3e-3] * 20]
    assert not any(spoiled(rounds))


def test_a_switch_that_cost_nothing_is_kept():
    """A round that was switched away and is not slower stays."""
    rounds = quiet()
    rounds[3] = rounds[3]._replace(switches=5)
    rounds[3] = rounds[3]._replace(wall_s=min(one.wall_s for one in rounds))
    assert not any(spoiled(rounds))


def test_threads_that_displace_each_other_are_kept():
    """A backend that switches in most of its slower rounds does so of its own: they are part of its time."""
    walls = np.random.default_rng(0).lognormal(0, 0.2, 200) * 1e-3
    rounds = [Round(float(wall), 1.5 * float(wall), int(wall > 1e-3)) for wall in walls]
    assert not any(spoiled(rounds))


def test_at_least_half_of_the_rounds_is_kept():
    """However much is disturbed, the faster half remains."""
    rounds = [Round(1e-3 * (1 + k % 7), 1e-4, 3) for k in range(50)]
    assert sum(spoiled(rounds)) <= 25
    assert spoiled(rounds[:3]) == [False] * 3


@pytest.mark.timing
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processor affinity")
def test_a_competing_process_moves_the_median_by_less_than_a_tenth():
    """Beside a process that computes on the same core, the median stays within 10 % and rounds are set aside."""
    before = os.sched_getaffinity(0)
    core = max(before)
    effort = Effort(timed_s=0.03, warm_up_s=0.05)

    def work(calls):
        for _ in range(calls):
            sum(range(1500))

    def medians():
        rounds = [timed_round(work, schedule.iterations) for _ in range(schedule.rounds)]
        return summarise(rounds, schedule.iterations, schedule.in_a_turn)

    hog = f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\nwhile True: pass"
    rival = subprocess.Popen([sys.executable, "-c", hog], stdout=subprocess.PIPE)
    os.sched_setaffinity(0, {core})
    alone, beside = [], []
    try:
        rival.stdout.readline()
        rival.send_signal(signal.SIGSTOP)
        schedule = calibrate(work, warm_up(work, effort.warm_up_s), effort)
        for _ in range(40):  # in short turns, so that what else the machine does meets both
            for found, order in ((alone, signal.SIGSTOP), (beside, signal.SIGCONT)):
                rival.send_signal(order)
                time.sleep(0.01)
                found.append(medians())
    finally:
        rival.kill()
        rival.stdout.close()
        rival.wait()
        os.sched_setaffinity(0, before)
    ratio = np.median([other.median_s / one.median_s for one, other in zip(alone, beside, strict=True)])
    assert 0.9 < ratio < 1.1
    assert sum(one.set_aside for one in beside) > sum(one.set_aside for one in alone)
    assert sum(one.involuntary_switches for one in beside) > 10
