"""Campaigns that are cut off, by a kill, Ctrl-C, a full disk or their budget, and how they go on."""

import signal
import subprocess
import sys
import types

import psutil
import pytest

from bench import results
from bench.basics.errors import UsageError
from bench.basics.names import CASE
from bench.measure import campaign
from bench.measure.plan import Plan
from bench.results.journal import Journal, JournalFull, JournalRemoved
from tests.bench.measure.small_campaigns import QUICK, SPECIMENS, groups, measure

pytestmark = pytest.mark.usefixtures("specimens")


def test_a_fault_that_a_resumed_run_mends_is_no_failure(tmp_path):
    """Of a cell that is measured again, since its group was cut off before its other phase, the last attempt counts."""
    plan = Plan(groups(1), ("step", "update"), ("specimens:Exact",), processes=1, effort=QUICK)
    run = campaign.create(plan, CASE, root=tmp_path)
    (process,) = next(iter(plan.laps()))
    failed = {
        "record": "cell",
        **process.columns(),
        "attempt": 0,
        **plan.cells[0].columns(),
        "status": "failed",
    }
    with Journal(run.path / results.ROWS) as journal:
        journal.append({**failed, "reason": "it was the weather"})
    outcome = campaign.carry_out(run)
    assert outcome.failures == []
    assert results.load(run).status.tolist() == ["ok", "ok"]


def test_a_killed_campaign_goes_on_and_loses_only_the_group_in_flight(tmp_path, monkeypatch):
    """After SIGKILL in the middle of a process, a resumed run has every cell of every process once."""
    monkeypatch.setenv("SPECIMEN_FLAG", str(tmp_path / "flag"))
    backends = ("specimens:Exact", "specimens:KillsItsParent")
    plan = Plan(groups(1, 5), ("step",), backends, processes=2, effort=QUICK)
    run = campaign.create(plan, CASE, root=tmp_path / "results")
    go = (
        "import pathlib; from bench import results; from bench.measure import campaign; "
        f"campaign.carry_out(results.open_run(pathlib.Path({run.path.as_posix()!r})))"
    )
    killed = subprocess.run([sys.executable, "-c", go], cwd=SPECIMENS.parents[1])
    assert killed.returncode == -signal.SIGKILL
    before = results.load(run)
    assert set(before[before.backend == "specimens:KillsItsParent"].batch) <= {1}
    assert not results.open_run(run.path).manifest["complete"]
    outcome = campaign.carry_out(results.open_run(run.path))
    after = results.load(run)
    assert outcome.processes == 4
    assert (after.status == "ok").all()
    assert sorted(zip(after.backend, after.process, after.batch, strict=True)) == [
        (name, process, batch) for name in backends for process in (0, 1) for batch in (1, 5)
    ]
    kept = before.merge(after, on=["order", "backend", "batch", "median_s"])
    assert sorted(kept.backend) == list(backends)  # of the first batch, which both had ended
    assert set(kept.batch) == {1}
    assert results.open_run(run.path).manifest["complete"]


def test_interrupting_leaves_no_process_behind(tmp_path):
    """On Ctrl-C no process is left behind, and what was measured is kept."""
    plan = Plan(groups(1, 7), ("step",), ("specimens:Hangs",), effort=QUICK)
    run = campaign.create(plan, CASE, root=tmp_path)

    def interrupt(state):
        if "n=7" in state.text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        campaign.carry_out(run, report=interrupt)
    assert results.load(run).batch.tolist() == [1]
    assert [child for child in psutil.Process().children() if "bench.measure.child" in child.cmdline()] == []


def test_a_run_of_other_code_is_not_resumed(tmp_path):
    """A run that was begun on another machine or commit is refused, and the field is named."""
    run = campaign.create(Plan(groups(1), ("step",), ("specimens:Exact",)), CASE, root=tmp_path)
    campaign.check_resumable(run)
    run.manifest["commit"] = "0123456789ab"
    with pytest.raises(UsageError, match="begun with commit '0123456789ab'"):
        campaign.check_resumable(run)


def test_a_full_disk_is_an_error_that_keeps_what_is_there(tmp_path, monkeypatch):
    """When no record can be written any more, the campaign ends with that error, and its rows are readable."""
    append, kept = Journal.append, []

    def full_after_two(self, record):
        if len(kept) == 2:
            raise JournalFull(28, f"no space left for {self.path}; earlier records are kept")
        kept.append(record)
        append(self, record)

    monkeypatch.setattr(Journal, "append", full_after_two)
    run = campaign.create(Plan(groups(1, 2), ("step",), ("specimens:Exact",), effort=QUICK), CASE, root=tmp_path)
    with pytest.raises(JournalFull, match="earlier records are kept"):
        campaign.carry_out(run)
    assert len(results.load(run)) == 2


def test_a_process_lost_on_a_full_disk_is_no_fault_of_its_backend(tmp_path, monkeypatch):
    """The campaign ends as on any full disk, and the cells of that process are measured again on resuming."""
    usage = types.SimpleNamespace(free=0)
    monkeypatch.setattr(campaign.shutil, "disk_usage", lambda path: usage)
    run = campaign.create(Plan(groups(7), ("step",), ("specimens:Segfaults",), effort=QUICK), CASE, root=tmp_path)
    with pytest.raises(JournalFull, match="no space left"):
        campaign.carry_out(run)
    assert list(results.records(run)) == []


def test_a_run_whose_rows_were_removed_is_an_error(tmp_path):
    """Rows that nobody could read any more end the campaign, with the file's name."""
    plan = Plan(groups(1), ("step",), ("specimens:Exact",), processes=2, effort=QUICK)
    run = campaign.create(plan, CASE, root=tmp_path)
    with pytest.raises(JournalRemoved, match=r"rows\.jsonl was removed"):
        campaign.carry_out(run, report=lambda _: (run.path / results.ROWS).unlink(missing_ok=True))


def test_the_budget_ends_a_campaign_after_a_whole_round(tmp_path):
    """A campaign that would outlast its budget stops when every arm has the same number of processes."""
    outcome, frame = measure(tmp_path, "Exact", "SlowFirstCall", processes=6, budget_s=0.5)
    assert outcome.stopped == "the budget of 0.5 s holds 2 of 6 processes of each backend"
    assert frame.groupby("backend").process.nunique().tolist() == [2, 2]
