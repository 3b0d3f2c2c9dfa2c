"""Other measurements that run on this machine now: two campaigns at once disturb each other, and both should say so.

Each measurement holds a lock named after it, in one folder of the user for temporary files, whichever results folder or
checkout it belongs to. A lock that nobody holds was left by a process that was killed, and is ignored.
"""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

SUFFIX = ".lock"


class Neighbours:
    """The other measurements; ``lock_path`` is this measurement's lock, ``None`` if it can keep none."""

    def __init__(self, lock_path: Path | None) -> None:
        self._lock_path = lock_path

    def now(self) -> tuple[str, ...]:
        """Return the names of the others that are measuring now."""
        if self._lock_path is None:
            return ()
        return tuple(path.stem for path in sorted(self._lock_path.parent.glob(f"*{SUFFIX}")) if self._is_held(path))

    def _is_held(self, path: Path) -> bool:
        if path == self._lock_path:
            return False
        try:
            with FileLock(path, timeout=0):
                path.unlink(missing_ok=True)
        except Timeout:
            return True
        except OSError:
            return False
        return False


@contextmanager
def announced(name: str) -> Iterator[Neighbours]:
    """Let other processes know that ``name`` is being measured, as long as this lasts; give its `Neighbours`."""
    lock = None
    with suppress(OSError, Timeout):  # no place for temporary files is no reason not to measure
        folder().mkdir(mode=0o700, exist_ok=True)
        lock = FileLock(folder() / f"{name}{SUFFIX}", timeout=1.0)
        lock.acquire()
    if lock is None or not lock.is_locked:
        yield Neighbours(None)
        return
    path = Path(lock.lock_file)
    try:
        yield Neighbours(path)
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def folder() -> Path:
    """Return where the locks are."""
    user = str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()
    return Path(tempfile.gettempdir()) / f"backprop-bench-{user}"


def warning(names: tuple[str, ...]) -> str:
    """Return one line that names the others."""
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} measuring here too: times suffer"
