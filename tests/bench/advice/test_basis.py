"""Which stored runs an answer rests on, and when they are another machine's."""

from __future__ import annotations

import json

import pytest

from backends import Network
from bench import results
from bench.advice import basis, recommendation
from bench.advice.job import Job
from bench.advice.time_model import ELSEWHERE, MEASURED
from bench.basics.names import CASE
from bench.machine import machine_id, speed
from bench.machine.speed import Speed
from tests.bench import synthetic

NOW = Speed("", "numpy 2", {"1": {"product": 1e11, "bandwidth": 3e10}})


@pytest.fixture(autouse=True)
def this_speed(monkeypatch):
    """Let this machine be as fast as `NOW`, without measuring."""
    monkeypatch.setattr(speed, "here", lambda: NOW)
    monkeypatch.setattr(speed, "measured", lambda: NOW)
    monkeypatch.setattr(speed, "_keep", lambda _: None)
    monkeypatch.setattr(speed.here, "cache_clear", lambda: None, raising=False)


def stored(root, name, factor=1.0, machine=None, environment="", day=1):
    """Store a made-up run whose product was faster by a factor than it is here."""
    frame = synthetic.frame(networks=("3-2-1",), batches=(1, 16, 256), phases=("step",), processes=2, failed=None)
    frame = frame.assign(run=name, machine=machine or machine_id(), created=f"2025-01-0{day}T00:00:00Z")
    path = synthetic.store(frame.assign(receipt_environment=environment), root)
    manifest = json.loads((path / "run.json").read_text())
    was = Speed("", "numpy 2", {"1": {"product": factor * 1e11, "bandwidth": 3e10}})
    (path / "run.json").write_text(json.dumps(manifest | {"speed": was.to_dict()}))
    return results.open_run(path)


def test_a_run_of_this_machine_is_measured_here(tmp_path):
    """The id and the speed agree: the answer says measured here, and notes no other machine."""
    stored(tmp_path, "own", factor=1.1)
    found = recommendation.recommend("3-2-1", 16, 10, root=tmp_path)
    assert found.basis == MEASURED
    assert not any("machine" in note for note in found.notes)


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_a_look_alike_of_another_speed_is_another_machine(tmp_path, factor):
    """The same id at twice or half the speed: the answer says which rate differs by how much, and not measured here."""
    stored(tmp_path, "look-alike", factor)
    found = recommendation.recommend("3-2-1", 16, 10, root=tmp_path)
    assert found.basis == ELSEWHERE
    assert set(found.rows["basis"]) == {ELSEWHERE}
    assert (
        f"matrix product with 1 thread runs at {'0.500' if factor == 2 else '2.00'}x the stored rate" in found.notes[0]
    )


def test_a_run_of_this_machine_is_preferred(tmp_path):
    """An older run of this machine comes before a newer one of another or of a look-alike."""
    stored(tmp_path, "own", day=1)
    stored(tmp_path, "look-alike", 2.0, day=2)
    stored(tmp_path, "other", machine="4x-other-abcdef", day=3)
    assert [run.id for run in basis.runs_for(Job(Network((3, 2, 1)), 16), root=tmp_path)] == ["own"]


def test_a_measured_case_joins_only_runs_of_its_conditions(tmp_path):
    """A run of another environment, speed or machine is left out of the answer beside a case measured now."""
    measured = stored(tmp_path, "case")
    alike = stored(tmp_path, "alike")
    others = [
        stored(tmp_path, "slowed", environment="JAX_DISABLE_JIT=1"),
        stored(tmp_path, "look-alike", 2.0),
        stored(tmp_path, "other", machine="4x-other-abcdef"),
    ]
    assert basis.joined(measured, [alike, *others]) == (alike, measured)


@pytest.mark.parametrize(("rows", "environment", "day", "joins"), [
    (16, "", 2, True), (256, "", 2, False), (16, "JAX_DISABLE_JIT=1", 2, False), (16, "", 1, False),
])  # fmt: skip
def test_a_case_timed_later_is_rested_on_without_measuring_again(tmp_path, rows, environment, day, joins):
    """After ``--measure`` the same question finds what was measured: this very case, conditions alike, no newer run."""
    stored(tmp_path, "wide", day=1 if joins or day == 2 else 2)
    case = stored(tmp_path, "case", environment=environment, day=day)
    plan = {"groups": [["3-2-1", rows, "float32", "cpu"]], "phases": ["step"], "backends": ["numpy", "numba"]}
    (case.path / "run.json").write_text(json.dumps(case.manifest | {"purpose": CASE, "plan": plan}))
    found = [run.id for run in basis.runs_for(Job(Network((3, 2, 1)), 16), root=tmp_path)]
    assert found == (["wide", "case"] if joins else ["wide"])


def test_an_interrupted_run_comes_after_one_that_was_not(tmp_path):
    """A few seconds of a run that Ctrl-C ended do not replace the minutes of the run before."""
    stored(tmp_path, "whole", day=1)
    path = stored(tmp_path, "cut off", day=2).path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"complete": False}))
    assert [run.id for run in basis.runs_for(Job(Network((3, 2, 1)), 16), root=tmp_path)] == ["whole"]


def test_what_slowed_a_run_is_noted_with_its_remedy(tmp_path):
    """An answer from a run under a variable that slows says so in one line."""
    stored(tmp_path, "slowed", environment="JAX_DISABLE_JIT=1")
    notes = " ".join(recommendation.recommend("3-2-1", 16, 10, root=tmp_path).notes)
    assert "JAX_DISABLE_JIT=1: JAX runs operation by operation; unset it" in notes


def test_rows_that_say_little_of_their_process_are_rested_on(tmp_path):
    """A receipt of which only the environment is left limits no answer."""
    path = stored(tmp_path, "old").rows_path
    rows = [
        json.loads(line) | {"receipt_cpu_features": None, "receipt_tuned": None}
        for line in path.read_text().splitlines()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert recommendation.recommend("3-2-1", 16, 10, root=tmp_path).runs == ("old",)


@pytest.mark.parametrize(
    "plan", [3, [], {"groups": 3}, {"groups": [3], "phases": ["step"], "backends": ["a", "b"]}, {"phases": None}]
)
def test_a_run_with_a_damaged_plan_is_passed_over(tmp_path, plan):
    """A manifest whose plan is no plan hides no other run and raises nothing."""
    stored(tmp_path, "sound", day=1)
    path = stored(tmp_path, "damaged", day=2).path
    manifest = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(manifest | {"plan": plan or {"groups": None}}))
    job = Job(Network((3, 2, 1)), 16, device="cuda") if plan == 3 else Job(Network((3, 2, 1)), 16)
    expected = [] if plan == 3 else ["sound"]
    assert [run.id for run in basis.runs_for(job, root=tmp_path)] == expected


def test_an_interrupted_run_hides_no_earlier_one(tmp_path):
    """A later run that Ctrl-C ended before it compared backends, without rows or with one backend's, is passed over."""
    stored(tmp_path, "whole", day=1)
    for day, (name, backends) in enumerate({"empty": (), "alone": ("numpy",)}.items(), start=2):
        rows = stored(tmp_path, name, day=day).rows_path
        lines = rows.read_text().splitlines(keepends=True)
        rows.write_text("".join(line for line in lines if json.loads(line)["backend"] in backends))
    assert recommendation.recommend("3-2-1", 16, 10, root=tmp_path).runs == ("whole",)


def test_a_run_of_one_shape_is_rested_on_if_there_is_no_other(tmp_path):
    """Two backends on one network and batch are an answer; a run of many shapes comes first, though it is older."""
    path = stored(tmp_path, "narrow", day=2).rows_path
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if json.loads(line)["batch"] == 16))
    assert recommendation.recommend("3-2-1", 20, 10, root=tmp_path).runs == ("narrow",)
    stored(tmp_path, "whole", day=1)
    assert recommendation.recommend("3-2-1", 20, 10, root=tmp_path).runs == ("whole",)
