"""A child process in the hands of its parent: stop it, continue it, end it with all that it started, say how it ended.

Tests: `tests/bench/measure/test_turns.py`, `tests/bench/measure/test_campaign_faults.py`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time

from bench.basics.names import TIMEOUT
from bench.measure.failures import classify_exit


class WatchedProcess:
    """A child process that can be stopped, continued and ended, with the most memory that it was seen to use."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._peak_share = 0.0
        self._timed_out = ""

    def look(self) -> None:
        """Note the memory in use; how a process ended is judged by the most."""
        import psutil

        with contextlib.suppress(psutil.Error):
            self._peak_share = max(self._peak_share, psutil.Process(self._process.pid).memory_percent() / 100)

    def time_out(self, reason: str) -> None:
        """End the process because its time is up."""
        self._timed_out = reason if self._process.poll() is None else ""
        self.kill()

    def signal(self, number: int) -> None:
        """Send a signal to the process and all that it started; nothing happens if it has ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def stop(self) -> None:
        """Stop all its threads, and return when they are stopped.

        Threads of OpenBLAS and OpenMP that have nothing to do keep a core busy for some milliseconds.
        """
        self.signal(signal.SIGSTOP)
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            return
        import psutil  # macOS has waitid from Python 3.13

        with contextlib.suppress(psutil.Error):
            while psutil.Process(self._process.pid).status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                time.sleep(1e-4)

    def kill(self) -> None:
        """End the process and all that it started, also in separate sessions."""
        started = self._descendants() if self._process.poll() is None else []
        self.signal(signal.SIGKILL)
        for process in started:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        self._process.wait()

    def _descendants(self) -> list[int]:
        """Return the ids of the processes that this one started, directly or through others."""
        import psutil

        try:
            return [child.pid for child in psutil.Process(self._process.pid).children(recursive=True)]
        except psutil.Error:
            return []

    def verdict(self) -> tuple[str, str]:
        """Return status and reason of a process that closed its connection and did not say that it ends."""
        if self._timed_out:
            return TIMEOUT, self._timed_out
        try:
            returncode = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "crashed", "the process closed its pipe and went on"
        return classify_exit(returncode, self._peak_share)
