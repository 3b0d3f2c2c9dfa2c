"""Where the framework of a process keeps what it compiled, and which groups it has compiled there already.

A campaign's caches start empty, so that the first process of a backend shows what compiling costs cold, later ones
warm. A quick campaign keeps them from one run to the next instead; a change of the code or of Python empties them.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Iterable
from pathlib import Path

STAMP = "stamp.json"


class CompileCache:
    """The cache folder of one arm.

    Args:
        path: the folder, created where missing, emptied where it belongs to other code.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = path / STAMP
        self._code = code_digest()
        stored = self._read()
        if stored.get("code") != self._code:
            shutil.rmtree(path, ignore_errors=True)
            stored = {}
        path.mkdir(parents=True, exist_ok=True)
        self.groups: set[str] = set(stored.get("groups", []))

    def add(self, groups: Iterable[str]) -> None:
        """Remember that groups have been compiled."""
        self.groups |= set(groups)
        self._stamp.write_text(json.dumps({"code": self._code, "groups": sorted(self.groups)}), encoding="utf-8")

    def _read(self) -> dict[str, list[str] | str]:
        try:
            stored = json.loads(self._stamp.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stored if isinstance(stored, dict) else {}


def code_digest() -> str:
    """Return a hash of this checkout's backends and of Python's version."""
    import backends

    digest = hashlib.sha256(platform.python_version().encode())
    for path in sorted(Path(backends.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
