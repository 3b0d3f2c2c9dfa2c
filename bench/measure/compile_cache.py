"""Where the framework of a process keeps what it compiled, and which groups it has compiled there already.

Cold runs begin with empty caches, which are removed when the run ends: the first process of a backend shows what
compiling costs with a cold cache, later processes with a warm one. Caches of warm runs are kept for the next run, and
emptied if the code or Python changes. Caches are in the user's cache folder and never among results, because frameworks
execute what is in them, and results may come from other people.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from backends.tuned import user_caches
from bench.basics.files import read_text, write_text

STAMP = "stamp.json"
PROGRAM = "backprop-bench"
MOST_LETTERS = 80

logger = logging.getLogger(__name__)


class CompileCache:
    """The cache folder of one arm.

    Args:
        path: the folder, created if missing, emptied if it belongs to other code.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = path / STAMP
        self._code = code_digest()
        stored = _read(self._stamp)
        if stored.get("code") != self._code:
            shutil.rmtree(path, ignore_errors=True)
            stored = {}
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.groups: set[str] = set(stored.get("groups", []))

    def add(self, groups: Iterable[str]) -> None:
        """Remember that groups have been compiled; if there is no room for that, the next run compiles anew."""
        self.groups |= set(groups)
        try:
            write_text(self._stamp, json.dumps({"code": self._code, "groups": sorted(self.groups)}))
        except OSError as error:
            logger.warning("the compile cache is not kept: %s: %s", self.path, error.strerror)


def _read(stamp: Path) -> dict[str, list[str] | str]:
    try:
        stored = json.loads(read_text(stamp))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


def compiled(machine: str, backend: str, threads: int) -> frozenset[str]:
    """Return the groups of which the caches kept on a machine hold what a backend of this code compiled."""
    stamp = folder_of_caches(machine) / file_name(f"{backend}-{threads}") / STAMP
    stored = _read(stamp)
    return frozenset(stored.get("groups", ()) if stored.get("code") == code_digest() else ())


def folder_of_caches(name: str) -> Path:
    """Return the folder of the caches of a run, or of all warm runs on a machine, by its ``name``.

    It is below the user's cache folder; below the one for temporary files if that cannot be written to.
    """
    try:
        folder = user_caches() / PROGRAM / "compiled" / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError as error:
        logger.info("%s", error)
    return Path(tempfile.mkdtemp(prefix=f"{PROGRAM}-"))


def file_name(text: str) -> str:
    """Return a text as part of the name of a file: plain letters, not too many; what was lost is in a short hash."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", ".", text)
    if plain == text.replace(":", ".") and len(plain) <= MOST_LETTERS:
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[:MOST_LETTERS]}-{digest}"


def code_digest() -> str:
    """Return a hash of this checkout's backends and of Python's version."""
    import backends

    digest = hashlib.sha256(platform.python_version().encode())
    for path in sorted(Path(backends.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
