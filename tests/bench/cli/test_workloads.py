"""The flags of a workload: both ways to name it give the same, and what cannot be is refused."""

from __future__ import annotations

import json
import sys

import pytest

from bench import results
from bench.cli import main
from bench.limits import probes

RUN = ["run", "--networks", "2-3-2", "--batches", "40", "--phases", "step,train", "--processes", "1"]
RUN += ["--cell-time", "5ms", "--warm", "--aa", "none", "--backends", "numpy"]
ADAM = ["--activation", "relu", "--loss", "cross-entropy", "--optimizer", "adam", "--rows-per-step", "16"]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """Keep results apart, in a plain terminal, and leave out the ceilings that a run measures between its laps."""
    monkeypatch.setattr(probes, "between_laps", lambda _: lambda lap: None)
    monkeypatch.setenv("BACKPROP_BENCH_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")


def test_flags_and_the_network_s_text_name_the_same_workload(capsys):
    """The plan of a run is the same whichever way its workload is named."""
    assert main([*RUN, *ADAM, "--dry-run", "--json"]) == 0
    by_flags = json.loads(capsys.readouterr().out)["plan"]["groups"]
    text = "2-3-2/relu/cross-entropy/adam/rows_per_step=16"
    assert main([*RUN[:2], text, *RUN[3:], "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"]["groups"] == by_flags == [[text, 40, "float32", "cpu"]]


def test_a_workload_is_measured_proven_and_kept_with_its_columns(capsys):
    """Mini-batches of relu, cross-entropy and Adam: a call of train is a pass over the rows, and every claim holds."""
    assert main([*RUN, *ADAM]) == 0
    frame = results.load()
    kept = ["activation", "loss", "optimizer", "rows_per_step"]
    assert frame[kept].drop_duplicates().to_numpy().tolist() == [["relu", "cross-entropy", "adam", 16]]
    assert frame.set_index("phase")["steps"].to_dict() == {"step": 1, "train": 3}
    assert (frame["status"] == "ok").all()
    assert (frame["conformance_ratio"] > 0).all()
    assert (frame["conformance_ratio"] < 1).all()
    capsys.readouterr()
    assert main(["compare", "--activation", "relu", "--rows-per-step", "16"]) == 0
    assert "2-3-2/relu" in capsys.readouterr().out
    assert main(["compare", "--activation", "tanh"]) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--activation", "swish"], "expected one of tanh, relu, sigmoid, identity, got 'swish'"),
        (["run", "--loss", "hinge"], "expected one of mse, cross-entropy, got 'hinge'"),
        (["run", "--optimizer", "adam:beta1=2"], "beta1 of adam must be at least 0 and less than 1, got 2.0"),
        (["run", "--rows-per-step", "0"], "expected a whole number of 1 or more, got '0'"),
        (["run", "--networks", "3-2-1/relu", "--activation", "sigmoid"], "says relu, and --activation says sigmoid"),
        (["run", "--networks", "3-2-1", "--loss", "cross-entropy"], "needs one output a class, at least 2, got 1"),
        ([*RUN, "--rows-per-step", "41"], "--rows-per-step 41 is more than the 40 rows of the batch"),
        (
            ["recommend", "--network", "3-2-1", "--batch", "4", "--rows-per-step", "5"],
            "--rows-per-step must be from 1 to the 4 rows of the batch, got 5",
        ),
        (
            ["recommend", "--network", "3-2-1", "--batch", "40", "--rows-per-step", "5", "--fresh"],
            "leave --rows-per-step out and ask for a batch of 5 rows",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_measured(capsys, arguments, says):
    """The error names the value and what was expected, and the status is 2."""
    with pytest.raises(SystemExit, match="2"):
        sys.exit(main(arguments))
    assert says in " ".join(capsys.readouterr().err.split())


def test_default_networks_that_cannot_have_the_loss_are_left_out(capsys):
    """A network of one output has no cross-entropy: the plan says so and goes on with the others."""
    assert main(["run", "--loss", "cross-entropy", "--backends", "numpy", "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert {group[0] for group in plan["groups"]} == {"784-512-10/cross-entropy"}
    assert "3-2-1: cross-entropy needs one output a class, at least 2" in plan["left_out"]
