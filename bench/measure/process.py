"""Run the processes of a lap in turns: their environment, their specs, their pipes, their ends.

Nothing is written to the store here; `run_lap` yields what happened, and `bench.measure.campaign` keeps it.

Tests: `tests/bench/measure/test_turns.py`, `tests/bench/measure/test_campaign_faults.py`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from backends import tuned
from bench.basics.names import TIMEOUT
from bench.measure.base_code import BaseCode
from bench.measure.failures import classify_exit
from bench.measure.instructions import Instructions

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NPROC",  # XLA's
)
CACHE_VARIABLES = {
    "NUMBA_CACHE_DIR": "numba",
    "JAX_COMPILATION_CACHE_DIR": "jax",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "XDG_CACHE_HOME": "xdg",
}
KEEP_EVERY_COMPILATION = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # its default keeps only what took a second to compile
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
SHARE_THE_ACCELERATOR = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # its default takes three quarters of the memory
OWN_VARIABLES = frozenset(
    (*THREAD_VARIABLES, *CACHE_VARIABLES, *KEEP_EVERY_COMPILATION, *SHARE_THE_ACCELERATOR, "PYTHONHASHSEED")
)
"""Variables that every measured process gets from here, whatever the user's environment says."""

POLL_S = 0.5

Event = dict[str, Any]


def environment(threads: int, cache: Path, code: Path | None = None) -> dict[str, str]:
    """Return the environment of a process: threads, set before anything is imported, and a compile cache.

    Args:
        threads: for every framework.
        cache: folder of its compile cache.
        code: a folder to import from before all others.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    variables |= {name: str(threads) for name in THREAD_VARIABLES}
    variables |= {name: str(cache / folder) for name, folder in CACHE_VARIABLES.items()}
    variables |= KEEP_EVERY_COMPILATION | SHARE_THE_ACCELERATOR
    variables[tuned.VARIABLE] = str(tuned.path() or tuned.OFF)  # the folder of caches is another one there
    checkout = str(Path(__file__).resolve().parents[2])
    path = [*([str(code)] if code else []), checkout, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return variables | {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONHASHSEED": "0",
    }


class Launch(NamedTuple):
    """A process to start.

    Attributes:
        instructions: what it is told.
        log_path: the file for what it prints.
        cache: the folder of its compile cache.
        code: other code for it to run, and the interpreter for that.
    """

    instructions: Instructions
    log_path: Path
    cache: Path
    code: BaseCode | None = None


def run_lap(
    launches: Sequence[Launch], timeout_s: float, deadline_s: float = math.inf
) -> Generator[tuple[int, Event], None, None]:
    """Run some fresh processes side by side, of which one at a time works; yield what they tell.

    A process works until it asks to wait for its turn (`Channel.wait`), and the turn goes to the one that is furthest
    behind: all prepare a cell before any is timed at it, and then its rounds are timed in short turns, there and back
    (A B C, C B A), until all have theirs. So whatever the machine does meanwhile, a neighbour on the same core say,
    hits all alike, and their ratio hardly feels it; and no two ever compute at once: who waits is stopped, with all
    its threads.

    Args:
        launches: the processes, in the order in which they start.
        timeout_s: seconds of work without a word after which a process is ended; waiting does not count.
        deadline_s: reading of `time.monotonic` at which all that are left are ended.

    Yields:
        The position of a launch and an event: ``begin`` (a cell is about to be measured), ``row`` (a cell's record),
        and at the end either ``end``, or ``lost`` with status and reason if the process crashed or was killed; both
        with ``seconds`` of work.
    """
    children: list[_Child] = []
    try:
        for position, launch in enumerate(launches):
            child = _Child(position, launch, timeout_s, deadline_s)
            children.append(child)
            yield from child.leave() if child.alike_hung(children) else child.work()
        while waiting := [child for child in children if child.waits_for]:
            child = min(waiting, key=_Child.behind)
            if child.alike_hung(children):
                yield from child.leave()
                continue
            child.grant()
            yield from child.work()
    finally:
        for child in children:
            child.close()


class _Child:
    """One process."""

    def __init__(self, position: int, launch: Launch, timeout_s: float, deadline_s: float) -> None:
        self.waits_for: tuple[int, int, int] | None = None
        self.hung = False
        self._code = launch.instructions.backend, launch.code
        self._position, self._log_path = position, launch.log_path
        self._timeout_s, self._deadline_s = timeout_s, deadline_s
        self._worked_s = 0.0
        self._pending = b""
        self._socket, theirs = socket.socketpair()
        python, code = (launch.code.python, launch.code.path) if launch.code else (sys.executable, None)
        with theirs, launch.log_path.open("wb") as log:
            process = subprocess.Popen(
                # -P: a file of the current folder may be named like a module of the standard library.
                [python, "-P", "-m", "bench.measure.child", str(theirs.fileno())],
                env=environment(launch.instructions.threads, launch.cache, code),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._watch = _Watch(process)
        with contextlib.suppress(OSError):  # it is gone; `work` will say how
            self._socket.sendall(launch.instructions.to_json().encode() + b"\n")

    def behind(self) -> tuple[int, ...]:
        """Return what the least of comes first: how far this process is, then its place in turn, there and back."""
        assert self.waits_for
        back = self.waits_for[-1] % 2
        return (*self.waits_for, -self._position if back else self._position)

    def alike_hung(self, children: Sequence[_Child]) -> bool:
        """Return whether another process of the same code hung: this one would take as long to find that out."""
        return any(child.hung and child._code == self._code for child in children)

    def leave(self) -> Iterator[tuple[int, Event]]:
        """End the process, of which another one hung."""
        self.waits_for = None
        reason = "left out: another process of this backend hung"
        lost = {"event": "lost", "status": TIMEOUT, "reason": reason, "seconds": self._worked_s, "by_another": True}
        yield self._position, lost
        self.close()

    def grant(self) -> None:
        """Let the process go on."""
        self.waits_for = None
        with contextlib.suppress(OSError):  # it is gone; `work` will say how
            self._watch.signal(signal.SIGCONT)
            self._socket.sendall(b"\n")

    def work(self) -> Iterator[tuple[int, Event]]:
        """Yield events until the process waits for its turn or is over."""
        for line in self._lines():
            event: Event = json.loads(line)
            if event["event"] == "waits":
                self.waits_for = (event["cell"], event["stage"], event["turn"])
                self._watch.stop()
                return
            if event["event"] in ("end", "lost"):
                yield self._position, event | {"seconds": self._worked_s}
                self.close()  # whatever it still has to tidy up is of no use
                return
            yield self._position, event
        status, reason = self._watch.verdict()
        self.hung = status == TIMEOUT
        reason += _last_words(self._log_path)
        yield self._position, {"event": "lost", "status": status, "reason": reason, "seconds": self._worked_s}
        self.close()

    def close(self) -> None:
        """End the process, if it has not ended."""
        self._socket.close()
        self._watch.kill()

    def _lines(self) -> Iterator[bytes]:
        """Yield whole lines until the process closes its end or its time is up; one cut short is dropped.

        What came is read before the time is looked at. Time counts as work as far as this process sees it pass: one
        that was suspended, by Ctrl-Z say, sees a gap, which is nobody's work.
        """
        silent_s = 0.0
        while True:
            *whole, self._pending = self._pending.split(b"\n")
            yield from whole
            begun_s = time.monotonic()
            if begun_s > self._deadline_s:
                self._watch.time_out("the time for all of them was over")
                return
            ready = select.select([self._socket], [], [], POLL_S)[0]
            passed_s = min(time.monotonic() - begun_s, 2 * POLL_S)
            self._worked_s += passed_s
            silent_s += passed_s
            if not ready:
                if silent_s >= self._timeout_s:
                    silence = f"the process took over {self._timeout_s:g} s without a word"
                    self._watch.time_out(f"{silence}; allow more with --timeout")
                    return
                self._watch.look()
                continue
            try:
                data = self._socket.recv(1 << 16)
            except ConnectionResetError:
                return
            if not data:
                return
            silent_s = 0.0
            self._pending += data


class _Watch:
    """One child process: what memory it was seen to use, and how it ended."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._peak_share = 0.0
        self._timed_out = ""

    def look(self) -> None:
        """Note the memory in use."""
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
        """Stop all its threads, and see them stopped: idle ones of OpenBLAS and OpenMP spin on for milliseconds."""
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
        """Return the ids of all processes that the process started, and those started."""
        import psutil

        try:
            return [child.pid for child in psutil.Process(self._process.pid).children(recursive=True)]
        except psutil.Error:
            return []

    def verdict(self) -> tuple[str, str]:
        """Return status and reason of a process that closed its pipe without a farewell."""
        if self._timed_out:
            return TIMEOUT, self._timed_out
        try:
            returncode = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "crashed", "the process closed its pipe and went on"
        return classify_exit(returncode, self._peak_share)


def _last_words(log_path: Path) -> str:
    """Return the last line that a process printed, before any dump of its stack, as the end of a sentence."""
    printed = log_path.read_text(errors="replace").partition("Fatal Python error")[0]
    lines = [line.strip(". ") for line in printed.splitlines() if line.strip(". ")]
    return f"; its last words: {lines[-1][:200]}" if lines else ""
