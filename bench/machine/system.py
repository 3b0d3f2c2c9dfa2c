"""Reading what the system says of itself: small files and short commands, empty text if there is no answer.

Tests: `tests/bench/machine/test_identity.py`.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PROC = Path("/proc")
SYS = Path("/sys")


def read(path: Path) -> str:
    """Return the text of a file without the white space around it; '' if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def output(*command: str) -> str:
    """Return what a command prints; '' if it cannot be run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.SubprocessError, ValueError):
        return ""


def cpu_list(text: str) -> tuple[int, ...]:
    """Return the numbers of a list such as ``0-3,8``; none if it is not one."""
    numbers: list[int] = []
    try:
        for part in filter(None, text.split(",")):
            first, _, last = part.partition("-")
            numbers += range(int(first), int(last or first) + 1)
    except ValueError:
        return ()
    return tuple(numbers)


def cpu_info() -> dict[str, str]:
    """Return the first processor's entries of ``/proc/cpuinfo``; none if it is empty or cannot be read."""
    lines = (line.partition(":") for line in read(PROC / "cpuinfo").split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def kept_file(name: str) -> Path:
    """Return where this program keeps a file for its user that it can make again.

    Raises:
        OSError: this user has no home folder.
    """
    from backends.tuned import user_caches  # and numpy with it

    return user_caches() / "backprop-bench" / name


def usable_cpus() -> tuple[int, ...]:
    """Return the logical processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        try:
            return tuple(sorted(os.sched_getaffinity(0))) or (0,)
        except OSError:
            pass
    return tuple(range(os.cpu_count() or 1))
