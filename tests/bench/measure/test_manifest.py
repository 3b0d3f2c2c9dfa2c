"""What a manifest keeps of the command that made a run."""

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from backends import Network
from bench import cli, results
from bench.basics.names import CASE, COMPARISON, LIMITS
from bench.cli import run as cli_run
from bench.measure import campaign, manifest
from bench.measure.cell import Group
from bench.measure.plan import Plan

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ([f"{CHECKOUT}/bench/__main__.py", "run", "--quick"], "python -m bench run --quick"),
        (["/srv/me/venv/bin/backprop-bench", "run", "--label", "a b"], "backprop-bench run --label 'a b'"),
        (["/srv/me/my script.py", "3"], "python 'my script.py' 3"),
        (["-c"], "python -c"),
        (
            [f"{CHECKOUT}/bench/__main__.py", "run", "--results", f"{CHECKOUT}/mine"],
            "python -m bench run --results mine",
        ),
        (["x", "run", f"--results={CHECKOUT}/mine", "--label", "/tmp/x"], "x run --results=mine --label /tmp/x"),
        ([], ""),
    ],
)
def test_the_command_can_be_copied(arguments, command):
    """Words as a shell reads them, without the path of interpreter, script or checkout."""
    assert manifest.copyable(arguments) == command


def test_the_stored_command_makes_the_same_plan(tmp_path, monkeypatch, capsys):
    """What a real run stores is its own command line, names no folder of the checkout, and can be run again."""
    flags = ["--networks", "1-1-1", "--batches", "1,7", "--dtypes", "float64", "--phases", "step", "--processes", "1"]
    flags += ["--cell-time", "20ms", "--backends", "specimens:Exact", "--aa", "none", "--label", "two words"]
    environment = os.environ | {"PYTHONPATH": f"{CHECKOUT}{os.pathsep}{CHECKOUT / 'tests' / 'bench'}"}
    command = [sys.executable, "-m", "bench", "run", *flags]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    (path,) = tmp_path.glob("results/*/*/run.json")
    stored = json.loads(path.read_text())
    assert str(CHECKOUT) not in json.dumps(stored)
    assert stored["command"] == f"python -m bench run {shlex.join(flags)}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(CHECKOUT / "tests" / "bench")
    assert cli.main([*shlex.split(stored["command"])[3:], "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"] == stored["plan"]


def test_a_run_stored_without_a_command_can_be_resumed(tmp_path):
    """What was typed plays no part in going on with a run."""
    plan = Plan((Group(Network((1, 1, 1)), 1, "float64", "cpu"),), ("step",), ("no_such_module:Backend",), processes=1)
    run = campaign.create(plan, CASE, root=tmp_path)
    campaign.check_resumable(run)
    assert campaign.carry_out(run).processes == 1


@pytest.mark.parametrize(
    "created", ["2100-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+23:59"]
)
def test_a_run_dated_otherwise_does_not_block_a_new_one(tmp_path, created):
    """After a clock step back the new run is dated after the one before and is the latest; no date ends the command."""
    plan = Plan((Group(Network((1, 1, 1)), 1, "float64", "cpu"),), ("step",), ("numpy",))
    earlier = campaign.create(plan, COMPARISON, root=tmp_path)
    manifest.write_manifest(earlier.path, {**earlier.manifest, "created": created})
    later = campaign.create(plan, COMPARISON, root=tmp_path)
    (later.path / "rows.jsonl").write_text("{}\n")
    (earlier.path / "rows.jsonl").write_text("{}\n")
    assert results.latest(tmp_path).id == (earlier.id if created.startswith("9999") else later.id)


def test_resume_goes_on_with_a_comparison_and_no_case(tmp_path, capsys):
    """An interrupted ``recommend --measure`` is not what ``run --resume`` goes on with."""
    plan = Plan((Group(Network((1, 1, 1)), 1, "float64", "cpu"),), ("step",), ("numpy",), processes=1)
    run = campaign.create(plan, COMPARISON, root=tmp_path)
    campaign.create(plan, CASE, root=tmp_path)
    assert cli.main(["run", "--resume", "--dry-run", "--json", "--results", str(tmp_path)]) == 0
    assert cli_run._to_resume(argparse.Namespace(resume="latest", results=tmp_path)).id == run.id


def test_the_pace_is_of_the_latest_runs_of_each_purpose(tmp_path, monkeypatch):
    """A run of limits still teaches what its idioms and peers take after some comparisons without them."""
    read = []
    monkeypatch.setattr(manifest, "records", lambda run: read.append(run.purpose) or [])
    plan = Plan((Group.make("1-1-1", 1, "float64", "cpu"),), ("step",), ("numpy",))
    for purpose in (LIMITS, COMPARISON, COMPARISON, COMPARISON):
        campaign.create(plan, purpose, root=tmp_path)
    campaign.earlier_pace(tmp_path)
    assert sorted(read) == [COMPARISON, COMPARISON, LIMITS]
