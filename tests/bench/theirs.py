"""A third party's repository with a backend of its own, for tests of the gate: nothing of this project lies in it."""

import subprocess
import sys
import tempfile

BACKEND = '''
import time
from examples.own_backend import OwnBackend

class Mine(OwnBackend):
    """The example's backend, which waits a little in each step."""

    name = "mine"

    def step(self, params, batch, learning_rate):
        end = time.perf_counter() + {wait_s}
        while time.perf_counter() < end:
            pass
        return super().step(params, batch, learning_rate)
'''
NAME = "gated_package.mine:Mine"


def git(folder, *arguments):
    """Run git in a folder; return what it prints."""
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(folder, wait_s, note=""):
    """Write the backend, and commit it; return the commit."""
    (folder / "gated_package").mkdir(exist_ok=True)
    (folder / "gated_package" / "__init__.py").write_text("")
    (folder / "gated_package" / "mine.py").write_text(BACKEND.format(wait_s=wait_s) + note)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", f"wait {wait_s}{note}")
    return git(folder, "rev-parse", "HEAD").strip()


def repository(tmp_path, monkeypatch):
    """Make an empty repository, and make it the current folder, from which packages are imported."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / ".gitignore").write_text("__pycache__/\n")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for module in [name for name in sys.modules if name.startswith("gated_package")]:
        del sys.modules[module]
    return folder


def fast_and_now(tmp_path, monkeypatch):
    """Make a repository with a backend that waits 100 us at the tag ``fast``, and 150 us now."""
    folder = repository(tmp_path, monkeypatch)
    commit(folder, 100e-6)
    git(folder, "tag", "fast")
    commit(folder, 150e-6)
    return folder


def left_over(folder):
    """Return the temporary folders of bases and bisections that are still there."""
    kinds = ("backprop-bench-base-", "backprop-bench-bisect-")
    return [path.name for path in folder.parent.iterdir() if path.name.startswith(kinds)]
