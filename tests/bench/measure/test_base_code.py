"""The base of a gate: taken out of git, a folder or an installed version, and removed on every way out."""

import os
import subprocess
import sys

import pytest

from bench.basics.errors import UsageError
from bench.measure.base_code import base_code, differing_dependencies
from tests.bench import theirs
from tests.bench.theirs import BACKEND, NAME, left_over


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with a backend that waits 100 us at the tag ``fast``, and 150 us now; the current folder."""
    return theirs.fast_and_now(tmp_path, monkeypatch)


def test_revision_gives_the_package_as_it_was(repository):
    """The package of a revision is that revision's, without the rest of the repository; its folder goes afterwards."""
    with base_code("fast", [NAME]) as base:
        assert "0.0001\n" in (base.path / "gated_package" / "mine.py").read_text()
        assert [path.name for path in base.path.iterdir()] == ["gated_package"]
        assert len(base.revision) == 40
        assert not base.dirty
    assert left_over(repository) == []


def test_uncommitted_changes_are_known(repository):
    """A checkout with changes to tracked files is said to have them."""
    (repository / "gated_package" / "mine.py").write_text(BACKEND.format(wait_s=1.0))
    with base_code("fast", [NAME]) as base:
        assert base.dirty


def test_folder_is_taken_as_it_stands(repository, tmp_path):
    """A folder gives its package, be it at its top or below ``src``."""
    other = tmp_path / "other"
    (other / "src" / "gated_package").mkdir(parents=True)
    (other / "src" / "gated_package" / "mine.py").write_text("# other")
    with base_code(str(other), [NAME]) as base:
        assert (base.path / "gated_package" / "mine.py").read_text() == "# other"
        assert base.revision == ""


@pytest.mark.parametrize(
    ("spec", "backends", "words"),
    [
        ("no-such-branch", [NAME], "no such revision"),
        ("fast", [NAME, "numpy"], "one package"),
        ("fast", ["no_such_package.x:Y"], "no package 'no_such_package'"),
    ],
)
def test_what_is_not_there_is_an_error_and_leaves_nothing(repository, spec, backends, words):
    """A revision or a package that does not exist is wrong usage, in words that say which; no folder stays."""
    with pytest.raises(UsageError, match=words), base_code(spec, backends):
        pass
    assert left_over(repository) == []


def test_error_inside_leaves_nothing(repository):
    """The folder goes on an interrupt as well."""
    with pytest.raises(KeyboardInterrupt), base_code("fast", [NAME]):
        raise KeyboardInterrupt
    assert left_over(repository) == []


def test_shallow_clone_names_the_command_that_helps(repository, tmp_path, monkeypatch):
    """In a clone without the revision, the error says how to get it."""
    shallow = tmp_path / "shallow"
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{repository}", str(shallow)], check=True)
    monkeypatch.chdir(shallow)
    monkeypatch.syspath_prepend(str(shallow))
    with pytest.raises(UsageError, match="git fetch --unshallow"), base_code("HEAD~1", [NAME]):
        pass


def test_no_git_says_what_else_there_is(repository, monkeypatch):
    """Without git on the path, the error offers a folder or a version."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="==VERSION"), base_code("fast", [NAME]):
        pass


def test_interpreter_that_is_not_there_is_refused(repository):
    """An interpreter that does not exist is wrong usage."""
    with pytest.raises(UsageError, match="no such program"), base_code("fast", [NAME], "no-such-python"):
        pass


def test_dependencies_that_differ_are_said_by_side():
    """A dependency that only one side declares, or in another version, is a line that says which side."""
    lines = list(differing_dependencies(["numpy>=2", "torch>=2.6"], ["numpy>=2", "torch>=2.7"]))
    assert lines == ["only the base declares torch>=2.6", "only the change declares torch>=2.7"]


@pytest.mark.timing
def test_planted_slow_down_in_the_source_fails_the_gate(repository, tmp_path, project):
    """A backend whose source became half as slow again since ``fast`` fails the gate; against itself it passes."""
    grid = ["--networks", "3-2-1", "--batches", "1", "--backends", NAME]
    environment = {**os.environ, "PYTHONPATH": str(project), "TMPDIR": str(tmp_path)}
    status = {}
    for base, budget in (("fast", "8s"), ("HEAD", "3s")):  # it takes less to find nothing
        reports = ["--junit", str(tmp_path / f"{base}.xml"), "--markdown", str(tmp_path / f"{base}.md")]
        command = [sys.executable, "-m", "bench", "gate", "--against", base, "--budget", budget, *grid, *reports]
        done = subprocess.run(
            [*command, "--results", str(tmp_path / "kept")],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        status[base] = done.returncode
        assert done.returncode in (0, 1), done.stderr
    assert status == {"fast": 1, "HEAD": 0}
    assert 'failures="1"' in (tmp_path / "fast.xml").read_text()
    assert "slower" in (tmp_path / "fast.md").read_text()
    assert left_over(repository) == []
