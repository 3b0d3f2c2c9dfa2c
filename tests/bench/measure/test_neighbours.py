"""Two measurements at once on one machine: each says so, and one that was killed does not count."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from bench import results
from bench.cli import main
from bench.measure import neighbours
from bench.verdicts import conditions

SPECIMENS = Path(__file__).resolve().parents[1]  # the folder of `specimens`
GRID = ["--networks", "1-1-1", "--dtypes", "float64", "--phases", "step", "--aa", "none", "--threads", "1"]
MANY = ",".join(map(str, range(1, 101)))  # it looks around at the beginning and the end of each cell
LONG = ["run", *GRID, "--backends", "specimens:Exact", "--batches", MANY, "--blocks", "1", "--cell-time", "1s"]
SHORT = ["run", *GRID, "--backends", "specimens:Exact", "--batches", "1", "--blocks", "1", "--cell-time", "20ms"]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """Keep locks and results to this test, and let processes find the specimens."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SPECIMENS.parents[1]), str(SPECIMENS)]))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def other(tmp_path):
    """Return a campaign in a process of its own that has begun, with results elsewhere, and does not come to an end."""
    root = tmp_path / "elsewhere"
    command = [sys.executable, "-m", "bench", *LONG, "--results", str(root)]
    with open(tmp_path / "other.txt", "w") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        deadline_s = time.monotonic() + 60
        while not list(neighbours.folder().glob("*.lock")) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        yield process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)


def measure():
    """Run the short campaign in a process of its own; return what it printed, the id of the run and its rows."""
    done = subprocess.run([sys.executable, "-m", "bench", *SHORT], capture_output=True, text=True, check=True)
    run = results.latest()
    return done, run.id, results.load(run)


def test_both_campaigns_say_that_they_were_not_alone(other, tmp_path):
    """The later one warns in one line and goes on; the rows of each, and so every comparison, name the other."""
    done, short_run, frame = measure()
    long_run = results.runs(tmp_path / "elsewhere")[0].id
    assert f"warning: run {long_run} is measuring here too: times suffer" in done.stderr.splitlines()
    assert set(frame["receipt_beside"]) == {f"run {long_run}"}
    assert f"Measured at the same time as run {long_run}" in conditions.busy(frame)
    assert f"Measured at the same time as run {long_run}" in " ".join(done.stdout.split())
    assert f"run {short_run} is measuring here too" in (tmp_path / "other.txt").read_text()


def test_a_campaign_that_was_killed_is_no_neighbour(other):
    """The lock that SIGKILL left behind disturbs nobody, and is cleared away."""
    other.kill()
    other.wait()
    assert list(neighbours.folder().glob("*.lock"))
    done, _, frame = measure()
    assert "measuring here too" not in done.stderr
    assert set(frame["receipt_beside"]) == {""}
    assert not list(neighbours.folder().glob("*.lock"))


def test_a_measurement_of_ceilings_is_a_neighbour_too(capsys, monkeypatch):
    """Ceilings warn of what else is measured, and are announced while they last."""
    from bench.limits import probes

    def look(*_):
        seen.append(sorted(path.stem for path in neighbours.folder().glob("*.lock")))
        raise KeyboardInterrupt

    seen = []
    monkeypatch.setattr(probes, "measure", look)
    with neighbours.announced("run x"):
        assert main(["ceilings"]) == 130
    assert seen == [[f"ceilings {os.getpid()}", "run x"]]
    assert capsys.readouterr().err.splitlines()[0] == "warning: run x is measuring here too: times suffer"


def test_a_machine_without_a_place_for_locks_measures_all_the_same(monkeypatch, tmp_path):
    """Where the folder cannot be made, nobody is announced and nobody is seen."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with neighbours.announced("run x") as others:
        assert others.now() == ()
