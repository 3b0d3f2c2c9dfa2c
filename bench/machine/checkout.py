"""The commit of this project's checkout.

Tests: `tests/bench/machine/test_identity.py`.
"""

from __future__ import annotations

from pathlib import Path

from bench.machine.system import output

ROOT = Path(__file__).resolve().parents[2]


def commit() -> tuple[str, bool]:
    """Return the commit of this checkout and whether files differ from it; ``("", False)`` outside a checkout.

    An installed copy may lie inside a user's repository: the commit counts only if that repository tracks this file.
    """
    if not output("git", "-C", str(ROOT), "ls-files", "--", "bench/__init__.py").strip():
        return "", False
    revision = output("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD").strip()
    changed = output("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no", "backends", "bench")
    return revision, bool(revision and changed.strip())
