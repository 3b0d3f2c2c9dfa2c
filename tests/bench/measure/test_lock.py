"""A run is measured by one process at a time, in a folder of its own."""

import errno

import pytest

from bench.basics.errors import UsageError
from bench.basics.names import CASE
from bench.measure import campaign, lock
from bench.measure.plan import Plan
from tests.bench.measure.small_campaigns import groups


def test_two_processes_never_measure_one_run(tmp_path):
    """A run that is being measured cannot be taken up by another process."""
    run = campaign.create(Plan(groups(1), ("step",), ("specimens:Exact",)), CASE, root=tmp_path)
    from filelock import FileLock

    with FileLock(run.path / lock.LOCK), pytest.raises(UsageError, match="measured by another process"):
        campaign.carry_out(run)


def test_a_folder_without_locks_is_measured_in_with_a_warning(tmp_path, monkeypatch, caplog):
    """Some folders on a network know no locks: that is said, and is no reason not to measure."""

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", no_locks)
    run = campaign.create(Plan(groups(1), ("step",), ("specimens:Exact",)), CASE, root=tmp_path)
    with lock.held(run):
        pass
    assert "has no locks" in caplog.text


def test_two_runs_begun_at_once_have_folders_of_their_own(tmp_path):
    """Run ids never collide, even in the same second."""
    plan = Plan(groups(1), ("step",), ("specimens:Exact",))
    assert len({campaign.create(plan, CASE, root=tmp_path).path for _ in range(5)}) == 5
