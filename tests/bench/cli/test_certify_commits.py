"""`certify --commits`: which commits, which backends each changed, and going on with what is missing."""

import json
import sys

import pytest

from bench.cli import certify_commits, main
from bench.measure import base_code
from bench.verdicts import gate_trials
from tests.bench.theirs import git

NOTES = {"backends/numba_tanh.py": " (unimportable)", "backends/jax_wide.py": " (too old)"}
STUB = '''
"""A gate that fails for a commit that says so, and for one that is too old unless it is checked out."""
import json, subprocess, sys
options = {flag: sys.argv[sys.argv.index(flag) + 1] for flag in ("--against", "--backends")}
change = sys.argv[sys.argv.index("--change") + 1] if "--change" in sys.argv else "HEAD"
said = subprocess.run(["git", "show", "-s", change], capture_output=True, text=True).stdout
if "unimportable" in said or ("too old" in said and change != "HEAD"):
    sys.exit("error: the base could not be measured")
cell = dict(backend=options["--backends"], network="3-2-1", batch=1, ratio=1.5, low=1.4, high=1.6, verdict="slower")
print(json.dumps(dict(passed=False, cells=[cell, {**cell, "verdict": "tie", "ratio": 1.0}], lost=[], notes=[])))
'''


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository whose commits change numba's file, a shared one, none of the package, and jax's file."""
    folder = tmp_path / "project"
    (folder / "backends" / "conformance").mkdir(parents=True)
    git(tmp_path, "init", "-q", "project")
    files = (
        "backends/base.py",
        "backends/numba_tanh.py",
        "README.md",
        "backends/conformance/x.py",
        "backends/jax_wide.py",
    )
    for place, file in enumerate(files):
        (folder / file).write_text(str(place))
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", f"change {file}{NOTES.get(file, '')}")
    stub = tmp_path / "gate.py"
    stub.write_text(STUB)
    monkeypatch.setattr(certify_commits, "GATE", (sys.executable, str(stub)))
    monkeypatch.setattr(base_code, "CHECKOUT", folder)
    return folder


def test_commits_are_those_that_changed_a_backend_with_its_owner(repository):
    """Commits outside the backends' own files do not count; a shared file is every backend's."""
    found = [names for _, names in certify_commits.commits(repository, 10)]
    assert found == [("jax",), ("numba",), ("numpy", "numba", "jax", "torch")]


def test_outcomes_are_kept_and_only_the_missing_are_gated(repository, tmp_path, capsys, monkeypatch):
    """One record a commit, with the reason where there is no verdict; a second call gates none again."""
    command = ["certify", "--commits", "2", "--results", str(tmp_path / "kept"), "--json"]
    assert main(command) == 1
    jax, numba = json.loads(capsys.readouterr().out)["commits"]
    assert (jax["backends"], jax["slower"], jax["tie"], jax["changed"][0]["ratio"]) == (["jax"], 1, 1, 1.5)
    assert numba["fault"] == "error: the base could not be measured"
    assert len(git(repository, "worktree", "list").splitlines()) == 1
    monkeypatch.setattr(certify_commits, "GATE", ("false",))
    main(command)
    assert json.loads(capsys.readouterr().out)["commits"] == [jax, numba]
    assert len(gate_trials.outcomes(gate_trials.file_of("commits", tmp_path / "kept"))) == 2
