"""The speed probe: what it measures, what it calls another machine, and what a busy moment does to it."""

from __future__ import annotations

import json
import subprocess

import pytest

from bench.machine import speed
from bench.machine.speed import Speed

RATES = {
    "1": {"product": 1e11, "tanh": 2e9, "bandwidth": 3e10, "calls": 1e6},
    "2": {"product": 2e11, "bandwidth": 5e10},
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep what a test measures out of the user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(speed.VARIABLE)  # the other tests' runs keep the speed of the day, see `conftest`
    speed.here.cache_clear()
    yield
    speed.here.cache_clear()


def scaled(factor: float, kind: str = "product", by: str = "x") -> Speed:
    """Return `RATES` with one kind of work faster by a factor."""
    return Speed(
        "", by, {t: {k: r * (factor if k == kind else 1) for k, r in kinds.items()} for t, kinds in RATES.items()}
    )


def test_the_probe_measures_every_rate_within_three_seconds():
    """One thread gives product, tanh, bandwidth and calls; more threads all but calls; what it takes is asserted in CPU
    time, since the machine may be busy.
    """
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = speed.measured(0.4)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert set(found.rates["1"]) == {"product", "tanh", "bandwidth", "calls"}
    assert all(rate > 1e4 for kinds in found.rates.values() for rate in kinds.values())
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3.0
    assert "numpy" in found.by
    assert Speed.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize(("factor", "other"), [(0.79, True), (0.81, False), (1.0, False), (1.24, False), (1.26, True)])
def test_another_machine_is_one_beyond_the_bounds(factor, other):
    """Less than 0.8 or more than 1.25 of a stored rate is another machine; the text names the rate and the ratio."""
    said = speed.difference(scaled(factor), scaled(1.0))
    assert bool(said) == other
    if other:
        assert f"matrix product with 1 thread runs at {factor:.3f}"[:-1] in said
        assert "2 threads" in said


def test_rates_of_other_software_are_compared_by_bandwidth_alone():
    """Another numpy may have a faster product on the same machine; the memory has the same bandwidth."""
    assert speed.difference(scaled(2.0, by="numpy 9"), scaled(1.0)) == ""
    assert "memory bandwidth" in speed.difference(scaled(2.0, "bandwidth", by="numpy 9"), scaled(1.0))


def test_a_busy_moment_makes_no_other_machine(monkeypatch):
    """A rate that was low when it was kept is measured again before it is said to differ, and the best counts."""
    answers = [scaled(0.5), scaled(1.0)]
    monkeypatch.setattr(speed, "measured", lambda: answers.pop(0))
    assert speed.difference_here(scaled(1.0)) == ""
    assert not answers
    assert speed.here() == scaled(1.0)


def test_a_slower_machine_is_told_from_a_busy_one(monkeypatch):
    """A rate that stays low when it is measured again is another machine's."""
    monkeypatch.setattr(speed, "measured", lambda: scaled(0.5))
    assert "0.500x the stored rate" in speed.difference_here(scaled(1.0))


def test_the_speed_is_kept_for_a_day(monkeypatch, tmp_path):
    """A second process reads what the first measured, until it is a day old."""
    import os

    calls = []
    monkeypatch.setattr(speed, "measured", lambda: calls.append(1) or scaled(1.0))
    assert speed.here() == scaled(1.0)
    speed.here.cache_clear()
    assert speed.here() == scaled(1.0)
    assert len(calls) == 1
    path = speed.cache_path()
    os.utime(path, (0, path.stat().st_mtime - speed.KEPT_S - 1))
    speed.here.cache_clear()
    speed.here()
    assert len(calls) == 2


@pytest.mark.parametrize(
    "stored", [None, 3, {}, {"rates": 3}, {"rates": {"1": 2}}, {"rates": {"1": {"product": "fast"}}}]
)
def test_a_missing_or_damaged_probe_says_nothing(stored, monkeypatch):
    """A stored run without a probe, or with a broken one, is no other machine, and nothing is measured for it."""
    monkeypatch.setattr(speed, "measured", lambda: pytest.fail("measured"))
    assert speed.difference_here(Speed.from_dict(stored)) == ""


def test_a_probe_that_cannot_run_says_nothing(monkeypatch):
    """A probe that fails leaves no rates, and no traceback."""

    def fails(*_, **__):
        raise subprocess.CalledProcessError(1, "probe")

    monkeypatch.setattr(subprocess, "run", fails)
    assert speed.measured().rates == {}
    assert speed.difference_here(scaled(1.0)) == ""


def test_a_run_keeps_a_speed_of_its_own(monkeypatch):
    """A run keeps no day-old speed; a busy moment is measured again, and answers take the new speed."""
    monkeypatch.setattr(speed, "measured", lambda: scaled(1.0))
    speed.here()
    moments = [scaled(1.1)]
    monkeypatch.setattr(speed, "measured", lambda: moments.pop(0))
    assert speed.fresh() == scaled(1.1)
    assert speed.here() == scaled(1.1)
    moments[:] = [scaled(0.5), scaled(0.7)]
    assert speed.fresh() == scaled(0.7)
    moments[:] = [Speed()]
    assert speed.fresh() == scaled(0.7)


def test_runs_keep_the_speed_of_the_day_where_they_are_told_so(monkeypatch):
    """The first of many runs measures, and the others keep what it did."""
    monkeypatch.setenv(speed.VARIABLE, speed.KEPT)
    moments = [scaled(1.0), scaled(1.1)]
    monkeypatch.setattr(speed, "measured", lambda: moments.pop(0))
    assert [speed.fresh() for _ in range(2)] == [scaled(1.0)] * 2
    assert moments == [scaled(1.1)]
