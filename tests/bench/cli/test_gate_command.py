"""`gate` as typed: baselines by name, what is refused, and what it says before it starts."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from bench.cli import main
from tests.bench import theirs
from tests.bench.theirs import BACKEND, NAME, commit, git, left_over

SMALL = ("--networks", "3-2-1", "--batches", "1", "--budget", "2s", "--processes", "2")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with a backend that waits 100 us at the tag ``fast``, and 150 us now; the current folder."""
    return theirs.fast_and_now(tmp_path, monkeypatch)


def test_saved_baseline_is_found_by_its_name(tmp_path, capsys):
    """A baseline is saved under a name, measured again as candidate, and its weakness is said both times."""
    kept = ["--results", str(tmp_path)]
    assert main(["gate", "--save-baseline", "before", "--backends", "numpy", *SMALL, *kept]) == 0
    saved = " ".join(capsys.readouterr().out.split())
    assert "--baseline before --candidate here" in saved
    assert "do not take turns" in saved
    assert main(["gate", "--baseline", "before", *kept]) == 2
    assert "--candidate here" in " ".join(capsys.readouterr().err.split())
    assert main(["gate", "--baseline", "before", "--candidate", "here", *kept, "--json"]) in (0, 1)
    document = json.loads(capsys.readouterr().out)
    assert document["baseline"] != document["candidate"]
    assert any("do not take turns" in note for note in document["notes"])
    assert [(cell["backend"], cell["network"], cell["batch"]) for cell in document["cells"]] == [("numpy", "3-2-1", 1)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--against main"),
        (["--against", "fast", "--baseline", "latest"], "one of"),
        (["--against", "nosuch"], "--against nosuch: no such revision; there are, for example, "),
        (["--against", "fast", "--change", "nosuch"], "--change nosuch: no such revision"),
        (["--change", "fast", "--baseline", "latest"], "--change is for --against"),
        (["--against", "fast", "--python-base", "no-such-python"], "no such program"),
        (["--against", "fast", "--margin", "0"], "expected a share"),
        (["--against", "fast", "--backends", "nosuch"], "nosuch"),
        (["--against", "fast", "--phases", "sideways"], "no phase 'sideways'"),
        (["--against", "fast", "--junit", "."], "--junit . is a folder"),
        (["--baseline", "nosuch"], "gate --save-baseline nosuch"),
    ],
)
def test_wrong_usage_says_what_to_do(repository, tmp_path, capsys, arguments, said):
    """Status 2, the value and the remedy in the message, nothing left behind."""
    backend = [] if any(flag in arguments for flag in ("--backends", "--baseline")) else ["--backends", NAME]
    try:
        status = main(["gate", *arguments, *backend, "--results", str(tmp_path / "none")])
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert left_over(repository) == []


def run_gate(repository, project, tmp_path, *arguments):
    """Run a gate of the third party's backend, with nothing of this project in its folder."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "bench",
            "gate",
            "--backend",
            NAME,
            *SMALL,
            "--results",
            str(tmp_path / "kept"),
            *arguments,
        ],
        env={**os.environ, "PYTHONPATH": str(project), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_base_that_cannot_be_imported_is_no_slow_down(repository, project, tmp_path):
    """A base that raises on import is wrong usage, with its own words and the flags that give another."""
    (repository / "gated_package" / "mine.py").write_text("raise RuntimeError('half-written')")
    git(repository, "commit", "-q", "-a", "-m", "half-written")
    git(repository, "tag", "broken")
    commit(repository, 150e-6)
    done = run_gate(repository, project, tmp_path, "--against", "broken")
    said = " ".join(done.stderr.split())
    assert done.returncode == 2, said
    assert "the base could not be measured" in said
    assert "half-written" in said
    assert "--against or --python-base" in said
    assert left_over(repository) == []


def test_change_that_is_wrong_fails_by_the_claim(repository, project, tmp_path):
    """A change that computes something else fails the gate as a lost cell that names the claim, however fast."""
    wrong = BACKEND.format(wait_s=0.0).replace(
        "return super().step(params, batch, learning_rate)", "return super().step(params, batch, 1.01 * learning_rate)"
    )
    (repository / "gated_package" / "mine.py").write_text(wrong)
    done = run_gate(repository, project, tmp_path, "--against", "fast", "--junit", str(tmp_path / "j.xml"))
    assert done.returncode == 1, done.stderr
    said = " ".join(done.stdout.split())
    assert "LOST" in said
    assert "nonconformant" in said
    assert "gated as it stands" in " ".join(done.stderr.split())
    assert 'message="lost: nonconformant' in (tmp_path / "j.xml").read_text()


def test_interrupt_removes_the_base_with_its_caches(repository, project, tmp_path):
    """SIGINT while it measures: status 130, the base's folder is gone, what was measured is kept."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "bench",
            "gate",
            "--against",
            "fast",
            "--backends",
            NAME,
            "--results",
            str(tmp_path / "kept"),
        ],
        env={**os.environ, "PYTHONPATH": str(project), "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    caches = f"{NAME.replace(':', '.')}base-"
    deadline = time.monotonic() + 60
    while not any('"cell"' in path.read_text() for path in tmp_path.glob("kept/*/*/rows.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list(tmp_path.glob(f"backprop-bench-base-*/.caches/{caches}*"))
    assert left_over(repository) != []
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert b"kept" in err
    assert left_over(repository) == []
