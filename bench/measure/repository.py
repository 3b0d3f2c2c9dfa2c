"""What git says of a repository: its top, the commit of a revision or why there is none; a commit in a worktree.

Tests: `tests/bench/measure/test_base_code.py`.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.basics.errors import UsageError


def git(top: Path, *arguments: str) -> str:
    """Return what git prints, '' if it fails."""
    done = subprocess.run(["git", "-C", str(top), *arguments], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def top_of(root: Path) -> Path:
    """Return the top of the repository that holds a folder.

    Raises:
        UsageError: there is no git, or no repository that git would read.
    """
    instead = "give a folder or ==VERSION instead of a revision, or pip install -e the package from its repository"
    if shutil.which("git") is None:
        raise UsageError(f"a git revision needs git, which is not on the path; {instead}")
    asked = ["git", "-C", str(root), "rev-parse", "--show-toplevel"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        said = next(iter(done.stderr.strip().splitlines()), "git failed").removeprefix("fatal: ")
        raise UsageError(f"{root} is in no repository that git reads ({said}); {instead}")
    return Path(done.stdout.strip())


def revision(spec: str, top: Path, flag: str = "--against") -> str:
    """Return the full commit of a revision.

    Args:
        spec: what a person wrote.
        top: of the repository.
        flag: that it was written after.

    Raises:
        UsageError: there is none; the message says which there are, or how to get it.
    """
    commit = git(top, "rev-parse", "--verify", "--quiet", f"{spec}^{{commit}}").strip()
    if commit:
        return commit
    if git(top, "rev-parse", "--is-shallow-repository").strip() == "true":
        raise UsageError(
            f"{flag} {spec}: this clone is shallow and does not have it; get it: git fetch --unshallow origin "
            f"{shlex.quote(spec)}"
        )
    known = ", ".join(git(top, "for-each-ref", "--count=5", "--format=%(refname:short)", "refs").split()) or "none"
    raise UsageError(f"{flag} {spec}: no such revision; there are, for example, {known}; git fetch brings more")


def is_ancestor(earlier: str, later: str, top: Path) -> bool:
    """Return whether a commit comes before another, and is not the same."""
    if earlier == later:
        return False
    asked = ["git", "-C", str(top), "merge-base", "--is-ancestor", earlier, later]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def worktree(top: Path, commit: str, folder: Path) -> Iterator[Path]:
    """Give a worktree of a repository at a commit; it is removed on every way out.

    Raises:
        UsageError: git cannot make it.
    """
    command = ["git", "-C", str(top), "worktree"]
    added = [*command, "add", "--quiet", "--detach", str(folder), commit]
    try:
        done = subprocess.run(added, capture_output=True, text=True, check=False)
        if done.returncode:
            last = next(iter(done.stderr.strip().splitlines()[::-1]), "git failed")
            raise UsageError(f"no worktree of {commit[:9]}: {last}; git worktree prune may help")
        yield folder
    finally:
        for words in (["remove", "--force", "--force", str(folder)], ["prune"]):
            subprocess.run([*command, *words], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)
