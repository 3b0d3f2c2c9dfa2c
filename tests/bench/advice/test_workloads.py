"""Recommendations for workloads: each rests on its own kind, or says that it is estimated."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from backends import Network, parse_optimizer
from bench.advice import basis, recommendation, usable
from bench.advice.job import Job
from bench.advice.time_model import ESTIMATED, INTERPOLATED
from tests.bench import synthetic

TIMES = ("median_s", "lower_quartile_s", "minimum_s")
FEW = {"networks": ("3-2-1", "32-64-1"), "batches": (16, 256, 4096), "phases": ("step", "train"), "processes": 2}


def rows_of(words="", slower=1.0):
    """Return made-up rows of networks with some words behind their sizes, all as much slower."""
    frame = synthetic.frame(**FEW, failed=None)
    scaled = {name: frame[name] * slower for name in TIMES}
    scaled["turn_s"] = frame["turn_s"].map(lambda turns: [slower * seconds for seconds in turns])
    return frame.assign(network=frame["network"] + words, **scaled)


def job(network="8-32-1", optimizer="descent", rows_per_step=None, rows=1000):
    """Return a job of a network that was not measured."""
    return Job(Network.parse(network), rows, optimizer=parse_optimizer(optimizer), rows_per_step=rows_per_step)


def step_s(frame, asked):
    """Return the seconds of a step by backend, and what they rest on."""
    advice = recommendation.from_rows(frame, asked)
    return advice.rows.set_index("backend")["step_s"].to_dict(), advice


def test_unlike_workloads_never_blend():
    """Rows of another activation, optimiser or of mini-batches change no time of a workload that was measured."""
    others = [rows_of("/relu", 3.0), rows_of("/adam", 5.0), rows_of("/rows_per_step=4", 7.0)]
    alone, advice = step_s(rows_of(), job())
    among, mixed = step_s(pd.concat([rows_of(), *others], ignore_index=True), job())
    assert among == pytest.approx(alone, rel=1e-12)
    assert mixed.basis == advice.basis == INTERPOLATED
    assert not any("estimated" in note for note in mixed.notes)


def test_a_workload_never_measured_is_an_estimate_by_work():
    """Relu is taken to be faster than tanh and Adam slower than descent, and both are called estimates."""
    usual, _ = step_s(rows_of(), job())
    relu, said = step_s(rows_of(), job("8-32-1/relu"))
    adam, _ = step_s(rows_of(), job("64-64-64-1", "adam", rows=16))
    descent, _ = step_s(rows_of(), job("64-64-64-1", rows=16))
    assert all(relu[name] < usual[name] for name in ("numpy", "numba", "torch"))
    assert all(adam[name] > descent[name] for name in ("numpy", "numba", "torch"))
    assert said.basis == ESTIMATED
    assert any("--measure, or python -m bench run --activation relu" in note for note in said.notes)


def test_a_mini_batch_step_is_estimated_from_a_batch_as_large():
    """A step of 256 rows out of a million takes about what a step of a batch of 256 takes."""
    whole, _ = step_s(rows_of(), job(rows=256))
    small, said = step_s(rows_of(), job(rows=1_000_000, rows_per_step=256))
    assert said.basis == ESTIMATED
    assert all(small[name] == pytest.approx(whole[name], rel=0.1) for name in whole)


def test_a_backend_that_lacks_the_workload_is_left_out_with_the_reason(monkeypatch):
    """One that says so, and one from elsewhere that was never measured on such a workload, are no candidates."""
    frame = rows_of()
    frame.loc[frame["backend"] == "jax", "backend"] = "tests.bench.specimens:Exact"
    monkeypatch.setattr(usable, "lacking", lambda entry, _: "has no relu" if entry.name == "torch" else "")
    advice = recommendation.from_rows(frame, job("8-32-1/relu"))
    assert set(advice.rows["backend"]) == {"numpy", "numba"}
    assert "torch has no relu, so it is left out." in advice.notes
    assert "tests.bench.specimens:Exact was never measured on such a workload, so it is left out." in advice.notes


def test_the_run_of_the_job_s_kind_comes_first(tmp_path, monkeypatch):
    """A later run of relu is no basis for tanh, and is the basis for relu."""
    monkeypatch.setattr(basis, "elsewhere", lambda _: "")
    for day, (name, words) in enumerate((("usual", ""), ("other", "/relu")), start=1):
        made = rows_of(words).assign(run=name, created=pd.Timestamp(f"2025-01-0{day}T00:00:00Z"))
        path = synthetic.store(made, tmp_path)
        groups = [[f"{network}{words}", rows, "float32", "cpu"] for network in FEW["networks"] for rows in (16, 256)]
        plan = {"groups": groups, "phases": ["step", "train"], "backends": ["numpy", "numba"]}
        manifest = json.loads((path / "run.json").read_text())
        (path / "run.json").write_text(json.dumps(manifest | {"plan": plan}))
    assert [run.id for run in basis.runs_for(job(), root=tmp_path)] == ["usual"]
    assert [run.id for run in basis.runs_for(job("3-2-1/relu"), root=tmp_path)] == ["other"]
    assert [run.id for run in basis.runs_for(job("3-2-1/sigmoid"), root=tmp_path)] == ["usual"]
