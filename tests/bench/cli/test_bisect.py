"""`history --bisect`: the first slow commit of sixteen, and a checkout that stays as it was."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from bench.cli import bisect, main
from tests.bench import theirs
from tests.bench.theirs import BACKEND, NAME, commit, git, left_over

CELL = f"{NAME} 3-2-1 n=1 step"
PLANTED = 11
"""The commit that becomes slow, out of sixteen."""

STUB = '''
"""A gate whose ratio is that of the waits in the two sources; a source that says BROKEN cannot be measured."""
import json, re, subprocess, sys, time
options = {flag: sys.argv[sys.argv.index(flag) + 1] for flag in ("--against", "--change")}
def wait_s(commit):
    source = subprocess.run(["git", "show", commit + ":gated_package/mine.py"], capture_output=True, text=True).stdout
    if "BROKEN" in source:
        sys.exit("error: it does not even import")
    return float(re.search(r"perf_counter\\(\\) \\+ ([0-9.e-]+)", source)[1])
time.sleep({delay_s})
ratio = wait_s(options["--change"]) / wait_s(options["--against"])
verdict = "slower" if ratio > 1.05 else "tie"
cell = dict(ratio=ratio, low=0.99 * ratio, high=1.01 * ratio, verdict=verdict)
print(json.dumps(dict(cells=[cell], lost=[])))
'''


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of 16 commits, of which the twelfth makes the backend wait three times as long; its commits."""
    return history(tmp_path, monkeypatch, 16, PLANTED)


def history(tmp_path, monkeypatch, commits, planted):
    """Make a repository of some commits, which are slow from the planted one on; return its folder and its commits."""
    folder = theirs.repository(tmp_path, monkeypatch)
    waits_s = [100e-6] * planted + [300e-6] * (commits - planted)
    return folder, [commit(folder, wait_s, f"\n# commit {number}\n") for number, wait_s in enumerate(waits_s)]


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Put a gate that takes no time in the place of the gate."""
    script = tmp_path / "gate.py"
    script.write_text(STUB.replace("{delay_s}", "0"))
    monkeypatch.setattr(bisect, "GATE", (sys.executable, str(script)))
    return script


def state(folder):
    """Return what a bisection might leave behind: worktrees, refs, the commit that is checked out, changes."""
    asked = (["worktree", "list"], ["for-each-ref"], ["rev-parse", "HEAD"], ["status", "--porcelain"])
    return [git(folder, *words) for words in asked]


def test_first_slow_commit_of_sixteen_is_named(repository, stub, capsys):
    """The planted commit is named after at most four steps, and the checkout is as it was."""
    folder, commits = repository
    before = state(folder)
    assert main(["history", "--bisect", CELL, "--good", commits[0], "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["first_slow"] == commits[PLANTED]
    assert document["against_parent"]["verdict"] == "slower"
    assert 3 <= len(document["steps"]) <= 4
    assert state(folder) == before


def test_commits_that_cannot_be_measured_are_skipped(repository, stub, capsys, monkeypatch):
    """If the commits around the planted one are broken, none is named, and those that are possible are said."""
    folder, commits = repository
    source = folder / "gated_package" / "mine.py"
    git(folder, "checkout", "-q", "-b", "broken", commits[PLANTED - 1])
    source.write_text("BROKEN")
    git(folder, "commit", "-q", "-a", "-m", "break it")
    source.write_text(BACKEND.format(wait_s=300e-6))
    git(folder, "commit", "-q", "-a", "-m", "mend it, slower")
    assert main(["history", "--bisect", CELL, "--good", commits[PLANTED - 1]]) == 1
    out = capsys.readouterr().out
    assert "skipped: error: it does not even import" in out
    assert "No commit is named" in out


def test_without_a_slow_down_nothing_is_searched(repository, stub, capsys):
    """If the bad commit is not proven slower than the good one, no commit is named and the status is 1."""
    _, commits = repository
    assert main(["history", "--bisect", CELL, "--good", commits[0], "--bad", commits[5]]) == 1
    assert "not proven" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bisect", CELL], "--good REV"),
        (["--bisect", CELL, "--good", "nosuch"], "--good nosuch: no such revision"),
        (["--bisect", CELL, "--good", "HEAD", "--bad", "HEAD~3"], "the other way round"),
        (["--bisect", "numba step", "--good", "HEAD~3"], "expected a cell"),
        (["--bisect", "no_such_package.x:Y 3-2-1 n=1 step", "--good", "HEAD~3"], "no_such_package"),
        (["--good", "HEAD~3"], "for --bisect"),
    ],
)
def test_wrong_usage_says_what_to_do(repository, stub, tmp_path, capsys, arguments, said):
    """What cannot be searched is status 2, in words that name the value."""
    assert main(["history", *arguments, "--results", str(tmp_path / "none")]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_interrupt_removes_the_worktree(repository, tmp_path, project):
    """SIGINT in the middle of a step: status 130, no worktree, no reference, no temporary folder stays."""
    folder, commits = repository
    before = state(folder)
    script = tmp_path / "slow_gate.py"
    script.write_text(STUB.replace("{delay_s}", "2"))
    program = (
        "import sys; from bench.cli import bisect, main;"
        f"bisect.GATE = (sys.executable, {str(script)!r});"
        f"sys.exit(main(['history', '--bisect', {CELL!r}, '--good', {commits[0]!r}]))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{project}{os.pathsep}{folder}"}
    process = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while state(folder)[0] == before[0] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert state(folder)[0] != before[0]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert state(folder) == before
    assert left_over(folder) == []


@pytest.fixture
def three_commits(tmp_path, monkeypatch):
    """A repository of three commits, the last of which makes the backend slow; its folder and its commits."""
    return history(tmp_path, monkeypatch, 3, 2)


@pytest.mark.timing
def test_real_gates_name_the_slow_commit(project, tmp_path, three_commits):
    """With the gate itself, in a few seconds for each commit, the planted commit of three is named."""
    folder, commits = three_commits
    before = state(folder)
    command = [
        sys.executable,
        "-m",
        "bench",
        "history",
        "--bisect",
        CELL,
        "--good",
        commits[0],
        "--budget",
        "4s",
        "--json",
    ]
    environment = {**os.environ, "PYTHONPATH": str(project), "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    assert json.loads(done.stdout)["first_slow"] == commits[2]
    assert state(folder) == before
    assert left_over(folder) == []
