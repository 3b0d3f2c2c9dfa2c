"""Campaigns end to end, on backends whose time or fault is known."""

import errno
import itertools
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import backends
from backends import Network
from backends.conformance.cell import CLAIMS
from bench import results
from bench.basics.errors import UsageError
from bench.basics.names import AA, CASE, PHASES
from bench.measure import campaign, child, lock, process
from bench.measure.cell import Group
from bench.measure.instructions import Assignment
from bench.measure.plan import Plan
from bench.measure.timing import Effort
from bench.results.journal import Journal, JournalFull, JournalRemoved

SPECIMENS = Path(__file__).resolve().parents[1]  # the folder of `specimens`
QUICK = Effort(timed_s=0.03, warm_up_s=0.03)


@pytest.fixture(autouse=True)
def specimens(monkeypatch):
    """Let the processes of processes find the specimens."""
    checkout = str(SPECIMENS.parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([checkout, str(SPECIMENS)]))


def groups(*batches):
    """Return groups of the specimens' network."""
    return tuple(Group(Network((1, 1, 1)), batch, "float64", "cpu") for batch in batches)


def measure(root, *names, batches=(1,), phases=("step",), processes=1, effort=QUICK, **fields):
    """Run a campaign over specimens; return its outcome and its rows."""
    plan = Plan(
        groups(*batches), phases, tuple(f"specimens:{name}" for name in names), processes=processes, effort=effort
    )
    plan = Plan(**{**vars(plan), **fields})
    outcome = campaign.carry_out(campaign.create(plan, CASE, ["test"], root=root))
    return outcome, results.load(outcome.run)


@pytest.mark.timing
def test_a_slow_first_call_is_compile_time_and_not_speed(tmp_path):
    """A step of 0.3 s at first and 20 us after is reported as 20 us within 10 %, and 0.3 s of compile time."""
    _, frame = measure(tmp_path, "SlowFirstCall")
    row = frame.iloc[0]
    assert row.status == "ok"
    assert row.lower_quartile_s == pytest.approx(20e-6, rel=0.1)
    assert row.median_s == pytest.approx(20e-6, rel=0.1)
    assert row.compile_s == pytest.approx(0.3, rel=0.1)
    assert row.first_call_s == pytest.approx(0.3, rel=0.1)
    assert row.iterations > 10


@pytest.mark.timing
def test_compile_time_of_a_loop_survives_the_search_for_its_length(tmp_path):
    """The first `train` of a process compiles; that later ones of more steps do not makes it no cheaper."""
    _, frame = measure(tmp_path, "SlowFirstTrain", phases=("train",))
    row = frame.iloc[0]
    assert row.status == "ok"
    assert row.steps > 20  # 10 would take 2 ms as single steps
    assert row.compile_s == pytest.approx(0.3, rel=0.1)


def test_loading_counts_what_the_largest_network_of_a_process_needs(monkeypatch):
    """A backend may load more for a larger network: it is asked for that one while the import is timed."""
    asked, load = [], backends.load
    monkeypatch.setattr(
        backends, "load", lambda name, network, *rest: asked.append(network) or load(name, network, *rest)
    )
    cells = [Assignment(sizes, 1, "float32", "cpu", "step", 0, 0.1) for sizes in ("3-2-1", "8-32-4-1", "1-1-1")]
    child.start_framework(types.SimpleNamespace(backend="numpy", assignments=cells))
    assert list(map(str, asked)) == ["8-32-4-1"]


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


def test_work_that_is_only_dispatched_is_timed_at_its_true_cost(tmp_path):
    """A step that only notes its work, which is done in synchronize in 50 us, is reported as 50 us."""
    _, frame = measure(tmp_path, "OnlyDispatches")
    row = frame.iloc[0]
    assert (row.status, row.reason) == ("ok", "")
    assert row.minimum_s >= 50e-6
    assert row.lower_quartile_s == pytest.approx(50e-6, rel=0.2)


def test_a_backend_that_does_not_wait_for_its_work_is_not_timed(tmp_path):
    """A synchronize that returns before the results are there costs the backend its rows, be a step ever so short."""
    outcome, frame = measure(tmp_path, "NeverWaits", "OnlyWhenAsked")
    assert frame.status.tolist() == ["failed"] * 2
    assert frame.median_s.isna().all()
    for line in outcome.failures:
        assert re.search(r"synchronize\(\) returned about 0\.\d+ s before the step's results were there", line)


def test_a_backend_that_ends_the_program_does_not_vanish(tmp_path):
    """SystemExit costs the phase that raised it, a sudden end of the process its cells; both are told as failures."""
    outcome, frame = measure(tmp_path, "Exits", "ExitsAtOnce", batches=(1, 7), phases=("step", "update"))
    rows = {
        (row.backend.partition(":")[2], row.batch, row.phase): (row.status, row.reason) for row in frame.itertuples()
    }
    assert len(rows) == 8
    assert rows["Exits", 7, "step"] == ("failed", "SystemExit: goodbye")
    assert rows["Exits", 1, "step"] == rows["ExitsAtOnce", 1, "update"] == ("ok", "")
    assert rows["ExitsAtOnce", 7, "update"][0] == "crashed"
    assert "exit status 0" in rows["ExitsAtOnce", 7, "update"][1]
    assert len(outcome.failures) >= 2


def test_every_phase_gives_a_row_with_its_ledger(tmp_path):
    """One process gives a row for each phase, with import, place, work, memory, conformance and the receipt."""
    _, frame = measure(tmp_path, "Exact", batches=(3,), phases=PHASES)
    assert frame.phase.tolist() == list(PHASES)
    assert (frame.status == "ok").all()
    for column in (
        "median_s",
        "first_call_s",
        "import_s",
        "place_s",
        "peak_bytes",
        "conformance_ratio",
        "cpu_per_wall",
    ):
        assert (frame[column] > 0).all(), column
    assert frame.conformance_ratio.between(1e-9, 1).all()
    assert (frame.final_ratio <= 1).all()
    assert (frame.conformance_rows == 3).all()
    claims = json.loads(frame.conformance_claims[0])
    assert list(claims) == list(CLAIMS)
    assert max(claims.values()) == frame.conformance_ratio[0] == claims[frame.conformance_claim[0]]
    assert (frame.minimum_s <= frame.lower_quartile_s).all()
    assert (frame.lower_quartile_s <= frame.median_s).all()
    train = frame[frame.phase == "train"].iloc[0]
    assert train.steps >= 100
    assert train.median_s < 1e-4  # of a step, not of the call
    for field in ("python", "numpy", "framework", "threads_observed", "products", "blas", "commit", "cpu_model"):
        assert f"receipt_{field}" in frame.columns


def test_the_arms_alternate_and_one_runs_twice(tmp_path):
    """Laps go there and back, the A/A arm is a backend of its own, the first process is cold and the second warm."""
    _, frame = measure(tmp_path, "Exact", "SlowFirstCall", processes=2, aa="specimens:Exact")
    frame = frame.sort_values("order")
    arms = [f"{row.backend}{row.arm}" for row in frame.itertuples()]
    assert arms == arms[::-1]
    assert sorted(set(arms)) == [f"specimens:Exact{arm}" for arm in ("", AA)] + ["specimens:SlowFirstCall"]
    assert frame.cache.tolist() == ["cold"] * 3 + ["warm"] * 3


def test_a_fault_costs_only_the_process_in_which_it_happens(tmp_path):
    """Whatever a backend does, the others and its own smaller cells are measured, and each fault has its status."""
    faults = {
        "Raises": "failed",
        "Segfaults": "crashed",
        "OutOfMemory": "out of memory",
        "CannotAllocate": "out of memory",
        "Hangs": "timeout",
        "Ascends": "nonconformant",
    }
    outcome, frame = measure(tmp_path, "Exact", *faults, batches=(1, 7), timeout_s=6.0)
    status = {(row.backend.partition(":")[2], row.batch): row.status for row in frame.itertuples()}
    assert status[("Exact", 1)] == status[("Exact", 7)] == "ok"
    assert {name: status[(name, 7)] for name in faults} == faults
    assert {status[(name, 1)] for name in faults if name != "Ascends"} == {"ok"}
    assert status[("Ascends", 1)] == "nonconformant"  # wrong maths shows in the smallest batch too
    assert len(outcome.failures) == len(faults) + 1
    said = "\n".join(outcome.failures)
    assert "seven is too many" in said
    assert "killed by SIGSEGV; its last words: about to fall" in said
    assert "SIGKILL, as the kernel does when memory runs out" in said
    assert "took over 6 s without a word; allow more with --timeout" in said
    ascending = frame[frame.backend == "specimens:Ascends"]
    assert ascending.median_s.isna().all()
    assert ascending.reason.str.contains("before timing: .*update").all()
    assert (ascending.conformance_ratio > 1).all()


def test_a_group_that_was_lost_is_not_tried_again(tmp_path):
    """After a crash, later processes of that backend leave the group out, and measure what was not reached."""
    _, frame = measure(tmp_path, "Segfaults", batches=(7, 9), processes=2)
    rows = {(row.process, row.batch): (row.status, row.reason) for row in frame.itertuples()}
    assert rows[(0, 7)][0] == rows[(1, 7)][0] == "crashed"
    assert rows[(0, 9)][1].startswith("not reached, lost at 1-1-1 n=7 float64 cpu step: ")
    assert rows[(1, 7)][1].startswith("left out: an earlier process")
    assert rows[(1, 9)] == ("ok", "")


def test_a_backend_that_hung_is_tried_again_only_if_there_is_time(tmp_path):
    """A hang costs one timeout of a budget without room for another; the other backends go on."""
    plan = Plan(groups(7, 9), ("step",), ("specimens:Exact", "specimens:Hangs"), processes=3, effort=QUICK)
    plan = replace(plan, timeout_s=5.0, budget_s=60.0)
    tried = {}
    for budget_s in (9.0, 600.0):
        run = campaign.create(replace(plan, budget_s=budget_s), CASE, root=tmp_path)
        outcome = campaign.carry_out(run)
        ended = [record for _, record in results.records(run) if record["record"] == "process"]
        tried[budget_s] = [record["process"] for record in ended if record["backend"] == "specimens:Hangs"]
        assert any("took over 5 s without a word" in line for line in outcome.failures)
    assert tried == {9.0: [0], 600.0: [0, 1, 2]}


def test_a_hang_costs_one_timeout_whatever_the_numbers_of_threads(tmp_path):
    """The other processes of a backend that hung end at once; nothing says of their cells that they hung."""
    plan = Plan(
        groups(1, 7), ("step",), ("specimens:Hangs", "specimens:Exact"), threads=(1, 2), processes=1, effort=QUICK
    )
    run = campaign.create(replace(plan, timeout_s=6.0), CASE, root=tmp_path)
    outcome = campaign.carry_out(run)
    ended = [record for _, record in results.records(run) if record["record"] == "process"]
    reasons = sorted(record["reason"] for record in ended if record["backend"] == "specimens:Hangs")
    assert reasons[0] == "left out: another process of this backend hung"
    assert reasons[1].startswith("the process took over 6 s without a word")
    assert len([record for record in ended if record["group"]]) == 1
    assert {record["status"] for record in ended if record["backend"] == "specimens:Exact"} == {"ok"}
    assert len(outcome.failures) == 1


def test_a_campaign_ends_when_its_time_is_over(tmp_path):
    """Whatever a backend does, all processes end at the deadline, and what was measured is kept."""
    begun_s = time.monotonic()
    plan = Plan(groups(1, 7), ("step",), ("specimens:Exact", "specimens:Hangs"), processes=1, effort=QUICK)
    run = campaign.measure(plan, CASE, root=tmp_path, most_s=15.0)
    assert time.monotonic() - begun_s < 25.0
    frame = results.load(run)
    assert set(frame["status"]) == {"ok", "timeout"}
    assert frame[frame["status"] == "timeout"]["reason"].str.contains("the time for all of them was over").all()
    assert run.manifest["complete"] or results.open_run(run.path).manifest["complete"]


def test_what_a_backend_says_of_itself_costs_no_row(tmp_path):
    """A `describe` that raises, or returns numbers of numpy, leaves every row there; the receipt tells the fault."""
    outcome, frame = measure(tmp_path, "CannotDescribe", "DescribesInNumpy")
    assert outcome.failures == []
    receipts = frame.set_index(frame.backend.str.partition(":")[2])
    assert receipts.receipt_describe_fault["CannotDescribe"] == "RuntimeError: I am nobody"
    assert receipts.receipt_threads["DescribesInNumpy"] == 1
    assert receipts.receipt_share["DescribesInNumpy"] == 0.5


def test_what_a_backend_started_ends_with_its_process(tmp_path, monkeypatch):
    """Also a process in a session of its own."""
    monkeypatch.setenv("SPECIMEN_FLAG", str(tmp_path / "flag"))
    measure(tmp_path / "results", "LeavesOthersBehind")
    other = int((tmp_path / "flag").read_text())
    assert not psutil.pid_exists(other) or psutil.Process(other).status() == psutil.STATUS_ZOMBIE


def test_a_run_whose_rows_were_removed_is_an_error(tmp_path):
    """Rows that nobody could read any more end the campaign, with the file's name."""
    plan = Plan(groups(1), ("step",), ("specimens:Exact",), processes=2, effort=QUICK)
    run = campaign.create(plan, CASE, root=tmp_path)
    with pytest.raises(JournalRemoved, match=r"rows\.jsonl was removed"):
        campaign.carry_out(run, report=lambda _: (run.path / results.ROWS).unlink(missing_ok=True))


def test_a_process_lost_on_a_full_disk_is_no_fault_of_its_backend(tmp_path, monkeypatch):
    """The campaign ends as on any full disk, and the cells of that process are measured again on resuming."""
    usage = types.SimpleNamespace(free=0)
    monkeypatch.setattr(campaign.shutil, "disk_usage", lambda path: usage)
    run = campaign.create(Plan(groups(7), ("step",), ("specimens:Segfaults",), effort=QUICK), CASE, root=tmp_path)
    with pytest.raises(JournalFull, match="no space left"):
        campaign.carry_out(run)
    assert list(results.records(run)) == []


def test_time_in_which_the_campaign_was_suspended_is_no_ones_work(monkeypatch):
    """After Ctrl-Z and an hour, a process that waits for its turn is not ended for taking too long."""
    moments = itertools.count(0.0, 3600.0)
    monkeypatch.setattr(process.time, "monotonic", lambda: next(moments))
    suspended = process._Child.__new__(process._Child)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        suspended._socket, suspended._pending, suspended._worked_s, suspended._timeout_s = ours, b"", 0.0, 60.0
        suspended._deadline_s = math.inf
        theirs.sendall(b'{"event": "begin"}\n')
        assert next(suspended._lines()) == b'{"event": "begin"}'
    assert suspended._worked_s < 2.0


def test_a_state_that_went_wrong_while_timed_is_found_afterwards(tmp_path):
    """A backend that computes right at first and wrong after hundreds of steps is not ranked."""
    _, frame = measure(tmp_path, "WrongOnceTrained")
    row = frame.iloc[0]
    assert row.status == "nonconformant"
    assert row.reason.startswith("after timing: ")
    assert row.conformance_ratio <= 1 < row.final_ratio


def test_a_backend_that_is_not_there_is_recorded_with_the_reason(tmp_path):
    """A module that cannot be imported is 'unavailable' in every cell, with the words of the import."""
    plan = Plan(groups(1), ("step",), ("no_such_module:Backend",), processes=1, effort=QUICK)
    outcome = campaign.carry_out(campaign.create(plan, CASE, root=tmp_path))
    frame = results.load(outcome.run)
    assert frame.status.tolist() == ["unavailable"]
    assert "No module named 'no_such_module'" in outcome.failures[0]


def test_a_process_has_the_threads_that_were_asked_for(tmp_path):
    """The number of threads and the processors are set before anything is imported."""
    _, frame = measure(tmp_path, "Exact", threads=(1,))
    assert frame.receipt_threads_observed.tolist() == [1]
    assert frame.receipt_affinity.tolist() == [1]


def test_every_thread_variable_and_cache_is_set_before_the_start(tmp_path, monkeypatch):
    """The environment of a process says its threads in every library's words, whatever was set outside."""
    monkeypatch.setenv("OMP_NUM_THREADS", "99")
    own = process.environment(3, tmp_path)
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    assert [own[f"{name}_NUM_THREADS"] for name in names] == ["3"] * 4
    assert own["NPROC"] == "3"
    for name in ("NUMBA_CACHE_DIR", "JAX_COMPILATION_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        assert own[name].startswith(str(tmp_path))


def test_pytest_benchmark_reads_what_a_process_leaves(tmp_path):
    """pytest-benchmark's own compare reads the files, and they hold seconds of one call."""
    outcome, frame = measure(tmp_path, "SlowFirstCall", processes=2)
    files = sorted((outcome.run.path / "benchmarks").glob("*.json"))
    assert len(files) == 2
    stored = json.loads(files[0].read_text())["benchmarks"][0]
    assert stored["stats"]["median"] == pytest.approx(frame.median_s[0], rel=0.2)
    assert stored["extra_info"]["calls_in_a_round"] == frame.iterations[0]
    compared = subprocess.run(
        [sys.executable, "-m", "pytest_benchmark", "compare", *map(str, files)], capture_output=True, text=True
    )
    assert compared.returncode == 0, compared.stderr
    assert "1-1-1-n=1-float64-cpu-step" in compared.stdout


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


def test_the_budget_ends_a_campaign_after_a_whole_round(tmp_path):
    """A campaign that would outlast its budget stops when every arm has the same number of processes."""
    outcome, frame = measure(tmp_path, "Exact", "SlowFirstCall", processes=6, budget_s=0.5)
    assert outcome.stopped == "the budget of 0.5 s holds 2 of 6 processes of each backend"
    assert frame.groupby("backend").process.nunique().tolist() == [2, 2]


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
