"""Answers carried over between two stored runs, judged by the second: what is held out, what is lost, what is said."""

from __future__ import annotations

import json

import pytest

from bench import results
from bench.advice import held_out_transfer
from bench.basics.errors import UsageError
from bench.cli import main
from tests.bench import synthetic
from tests.bench.synthetic import Noise

OPTIONS = {
    "networks": ("3-2-1", "64-64-64-1"),
    "batches": (1, 64, 4_096),
    "phases": ("step", "train"),
    "noise": Noise(process=0.01),
    "failed": None,
    "twin": None,
    "rounds": 6,
    "processes": 2,
}
SHAPES = [(network, batch) for network in OPTIONS["networks"] for batch in OPTIONS["batches"]]


def stored(folder, factors, name, **options):
    """Store a run on which each backend takes some factor as long, under another name and machine."""
    slower = {(backend, *shape): factor for backend, factor in factors.items() for shape in SHAPES}
    made = synthetic.frame(run=name, slower=slower, **{**OPTIONS, **options}).assign(machine=f"machine-{name}")
    return results.open_run(synthetic.store(made, folder))


def test_anchors_mend_what_another_machine_does_to_one_backend(tmp_path):
    """A machine on which jax takes eight times as long: as they were, answers are wrong; carried over, they hold."""
    there = stored(tmp_path, {}, "there", seed=1)
    here = stored(tmp_path, {"jax": 8.0, "numba": 6.0}, "here", seed=2)
    cases = held_out_transfer.losses(there, here)
    assert held_out_transfer.share_good(cases) >= held_out_transfer.LEAST_SHARE
    assert held_out_transfer.share_good(cases, "as_it_was") < held_out_transfer.share_good(cases)
    assert (cases["true_s"] >= cases["best_s"]).all()


def test_anchors_are_not_judged(tmp_path):
    """Every measured shape but the few anchors is asked about, for each number of steps."""
    runs = [stored(tmp_path, {}, name, seed=seed) for seed, name in enumerate(("there", "here"))]
    cases = held_out_transfer.losses(*runs, steps=(10, 1_000))
    assert cases.groupby(["network", "batch"]).size().tolist() == [2] * (len(SHAPES) - 3)


def test_the_command_fails_when_answers_are_wrong(tmp_path, capsys, monkeypatch):
    """Status 1 below 85 %, 0 at or above; the document holds each case; one run alone is refused."""
    stored(tmp_path, {}, "there", seed=1)
    stored(tmp_path, {"numba": 4.0}, "here", seed=2)
    command = ["validate", "--transfer", "there", "--truth", "here", "--results", str(tmp_path)]
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["passed"]
    assert (document["known"], document["truth"]) == (["there"], "here")
    assert document["share"] == sum(row["loss"] <= 0.15 for row in document["rows"]) / len(document["rows"])
    monkeypatch.setattr(held_out_transfer, "LEAST_SHARE", 1.01)
    assert main(command) == 1
    assert "FAILED" in capsys.readouterr().out
    assert main(["validate", "--transfer", "here", "--truth", "here", "--results", str(tmp_path)]) == 2


def test_runs_without_a_common_backend_are_refused(tmp_path):
    """Nothing can be carried over from numba to jax."""
    there = stored(tmp_path, {}, "there", backends=("numba",))
    here = stored(tmp_path, {}, "here", backends=("jax",))
    with pytest.raises(UsageError, match="no backend in common"):
        held_out_transfer.losses(there, here)
