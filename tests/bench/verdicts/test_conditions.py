"""What makes two runs unlike, so that they are compared only by force."""

from __future__ import annotations

import json

import pytest

from bench import cli, results
from bench.machine.speed import Speed
from bench.verdicts import conditions
from tests.bench import synthetic


def stored(root, name, environment="", product=1e11, tuned=None):
    """Store a made-up run with its environment and the speed of its machine."""
    frame = synthetic.frame(networks=("3-2-1",), batches=(1, 16), phases=("step",), processes=3, failed=None)
    kept = {} if tuned is None else {"receipt_tuned": tuned}
    path = synthetic.store(frame.assign(run=name, receipt_environment=environment, **kept), root)
    manifest = json.loads((path / "run.json").read_text())
    manifest["speed"] = Speed("", "numpy 2", {"1": {"product": product}}).to_dict()
    (path / "run.json").write_text(json.dumps(manifest))
    return results.open_run(path)


@pytest.mark.parametrize("command", [["compare"], ["gate", "--baseline"]])
@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"environment": "OPENBLAS_CORETYPE=Haswell"}, "environment: '' against 'OPENBLAS_CORETYPE=Haswell'"),
        ({"tuned": "numpy-long-rows=32768"}, "tuned: '' against 'numpy-long-rows=32768'"),
        ({"product": 0.5e11}, "speed of the machine: 'matrix product with 1 thread runs at 0.500x the stored rate'"),
    ],
)
def test_runs_of_another_environment_or_speed_are_compared_only_by_force(tmp_path, capsys, command, other, says):
    """Compare and gate refuse with the reason, and go on with --force."""
    stored(tmp_path, "before")
    stored(tmp_path, "after", **other)
    flags = ["before", "--candidate", "after"] if command[0] == "gate" else ["before", "after"]
    assert cli.main([*command, *flags, "--results", str(tmp_path)]) == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert cli.main([*command, *flags, "--results", str(tmp_path), "--force"]) in (0, 1)


def test_runs_of_before_there_were_tuned_constants_had_the_defaults(tmp_path):
    """A run that does not say what was tuned is compared with one that says nothing was."""
    before, after = (results.load(stored(tmp_path, name, tuned=said)) for name, said in [("a", None), ("b", "")])
    assert "receipt_tuned" not in before
    assert conditions.unlike_between(before, after) == {}


def test_runs_without_a_speed_are_compared(tmp_path):
    """Runs of earlier versions have no speed, which says nothing."""
    runs = [stored(tmp_path, name) for name in ("before", "after")]
    runs[0].manifest.pop("speed")
    assert conditions.unlike_speed(*runs) == {}


def test_a_quota_that_held_a_run_back_is_said():
    """A process that its quota stopped 65 times is no quiet one; one that was never stopped is."""
    frame = synthetic.frame(networks=("3-2-1",), batches=(1,), phases=("step",), processes=2, failed=None)
    said = conditions.busy(frame.assign(receipt_throttled_periods=65))
    assert "quota held a process of this run back 65 times" in said
    assert conditions.busy(frame.assign(receipt_throttled_periods=0)) == ""
