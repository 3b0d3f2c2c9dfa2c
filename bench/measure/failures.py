"""Which status a failure gets.

Tests: `tests/bench/measure/test_campaign_faults.py`.
"""

from __future__ import annotations

import signal

from backends import BackendUnavailable

OUT_OF_MEMORY = ("out of memory", "resource_exhausted", "can't allocate memory", "cannot allocate memory", "bad_alloc")


def classify(error: BaseException) -> str:
    """Return the status of a cell that raised an error; each framework has its own error for memory that ran out."""
    if isinstance(error, BackendUnavailable):
        return "unavailable"
    said = f"{type(error).__name__}: {error}".lower()
    if isinstance(error, MemoryError) or any(words in said for words in OUT_OF_MEMORY):
        return "out of memory"
    return "failed"


def told(error: BaseException) -> str:
    """Return an error as the reason of a row: its class, and its message if it has one."""
    words = str(error).encode("utf-8", "backslashreplace").decode()
    return f"{type(error).__name__}: {words}"[:500] if words else type(error).__name__


def classify_exit(returncode: int, peak_share: float) -> tuple[str, str]:
    """Return status and reason of a process that ended on its own.

    Args:
        returncode: as `subprocess` gives it: minus the signal.
        peak_share: most memory that it was seen to use, as a share of the machine's.
    """
    if returncode >= 0:
        return "crashed", f"the process ended with exit status {returncode}"
    name = signal.Signals(-returncode).name
    if returncode == -signal.SIGKILL:
        used = f"; it was seen using {peak_share:.0%} of memory" if peak_share else ""
        return "out of memory", f"the process was killed by {name}, as the kernel does when memory runs out{used}"
    return "crashed", f"the process was killed by {name}"
