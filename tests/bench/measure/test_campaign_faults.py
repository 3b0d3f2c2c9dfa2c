"""Backends that crash, hang, leave or compute wrong cost a campaign their own cells and no more."""

import time
from dataclasses import replace

import psutil
import pytest

from bench import results
from bench.basics.names import CASE, OK, TIMEOUT
from bench.measure import campaign
from bench.measure.cell import Cell, Group, Process
from bench.measure.plan import Plan
from bench.results.columns import ALWAYS
from tests.bench.measure.small_campaigns import QUICK, groups, measure

pytestmark = pytest.mark.usefixtures("specimens")


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


def hangs_at_seven(launches, *_):
    """Tell what `run_lap` would, at once, of processes of which those of `Hangs` hang in a batch of seven rows."""
    for position, launch in enumerate(launches):
        told = launch.instructions
        process = Process(told.order, told.lap, told.backend, told.arm, told.threads)
        for it in told.assignments:
            cell = Cell(Group.make(it.network, it.rows, it.dtype, it.device), it.phase)
            yield position, {"event": "begin", "cell": cell.columns()}
            if it.rows == 7 and told.backend == "specimens:Hangs":
                yield position, {"event": "lost", "status": TIMEOUT, "reason": "it hung", "seconds": 5.0}
                break
            row = {**dict.fromkeys(ALWAYS, 1), **process.columns(), **cell.columns(), "status": OK}
            yield position, {"event": "row", "row": row}
        else:
            yield position, {"event": "end", "seconds": 0.5}


@pytest.mark.parametrize(("budget_s", "tried"), [(4.0, [0]), (600.0, [0, 1, 2])])
def test_a_backend_that_hung_is_tried_again_only_if_there_is_time(tmp_path, monkeypatch, budget_s, tried):
    """A hang costs one timeout of a budget without room for another; the other backends go on."""
    monkeypatch.setattr(campaign, "run_lap", hangs_at_seven)
    plan = Plan(groups(7, 9), ("step",), ("specimens:Exact", "specimens:Hangs"), processes=3, effort=QUICK)
    run = campaign.create(replace(plan, timeout_s=5.0, budget_s=budget_s), CASE, root=tmp_path)
    outcome = campaign.carry_out(run)
    ended = [record for _, record in results.records(run) if record["record"] == "process"]
    processes = {name: [it["process"] for it in ended if it["backend"] == name] for name in plan.backends}
    assert processes == {"specimens:Exact": [0, 1, 2], "specimens:Hangs": tried}
    assert any("it hung" in line for line in outcome.failures)


@pytest.mark.parametrize(("processes", "ended"), [(2, 1), (4, 2)])
def test_a_lap_that_does_not_fit_is_left_out(tmp_path, processes, ended):
    """The second of two if the first has used the budget up; of more, the first two are measured whatever they take."""
    outcome, _ = measure(tmp_path, "Exact", processes=processes, budget_s=1e-3)
    assert outcome.processes == ended
    assert outcome.stopped == f"the budget of 0.001 s holds {ended} of {processes} processes of each backend"


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


def test_a_campaign_ends_when_its_time_is_over(tmp_path, monkeypatch):
    """Whatever a backend does, all processes end at the deadline, and what was measured is kept."""
    clock, later_s = time.monotonic, []
    monkeypatch.setattr(time, "monotonic", lambda: clock() + sum(later_s))

    def let_time_pass(state):
        if "specimens:Hangs: " in state.text and "n=7" in state.text and not later_s:
            later_s.append(3600.0)

    plan = Plan(groups(1, 7), ("step",), ("specimens:Exact", "specimens:Hangs"), processes=1, effort=QUICK)
    run = campaign.measure(plan, CASE, root=tmp_path, report=let_time_pass, most_s=600.0)
    frame = results.load(run)
    assert set(frame["status"]) == {"ok", "timeout"}
    assert frame[frame["status"] == "timeout"]["reason"].str.contains("the time for all of them was over").all()
    assert run.manifest["complete"] or results.open_run(run.path).manifest["complete"]


def test_what_a_backend_started_ends_with_its_process(tmp_path, monkeypatch):
    """Also a process in a session of its own."""
    monkeypatch.setenv("SPECIMEN_FLAG", str(tmp_path / "flag"))
    measure(tmp_path / "results", "LeavesOthersBehind")
    other = int((tmp_path / "flag").read_text())
    assert not psutil.pid_exists(other) or psutil.Process(other).status() == psutil.STATUS_ZOMBIE


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
