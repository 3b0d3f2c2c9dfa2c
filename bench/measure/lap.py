"""Run the processes of a lap in turns, and yield what they report.

Nothing is stored here: `bench.measure.campaign` keeps what `run_lap` yields. The process itself is
`bench.measure.child`.

Tests: `tests/bench/measure/test_turns.py`, `tests/bench/measure/test_campaign_faults.py`.
"""

from __future__ import annotations

import contextlib
import json
import math
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.basics.names import TIMEOUT
from bench.measure.base_code import BaseCode
from bench.measure.instructions import Instructions
from bench.measure.process_environment import environment
from bench.measure.watched_process import WatchedProcess

POLL_S = 0.5

Event = dict[str, Any]


class Launch(NamedTuple):
    """A process to start.

    Attributes:
        instructions: what it is told.
        log_path: the file for what it prints.
        cache: the folder of its compile cache.
        code: the code of another version to run, with its interpreter; ``None`` for the code here.
    """

    instructions: Instructions
    log_path: Path
    cache: Path
    code: BaseCode | None = None


def run_lap(
    launches: Sequence[Launch], timeout_s: float, deadline_s: float = math.inf
) -> Generator[tuple[int, Event], None, None]:
    """Start some processes, let one at a time work, and yield what they report.

    A process works until it asks to wait for its turn (`Channel.wait`). The next turn goes to the process that has made
    the least progress. So every process prepares a cell before any is timed at it. Then the rounds of the cell are
    timed in short turns, in the order A B C, C B A, and so on. Slow spells of the machine, such as a neighbour on the
    same core, hit all processes alike, and the ratios of their times hardly change. Waiting processes are stopped with
    all their threads, so that no two ever compute at the same time.

    Args:
        launches: the processes, in the order in which they start.
        timeout_s: seconds of work without a word after which a process is ended; waiting does not count.
        deadline_s: reading of `time.monotonic` at which all that are left are ended.

    Yields:
        The position of a launch and an event: ``begin`` (a cell is about to be measured), ``row`` (a cell's record),
        and at the end either ``end``, or ``lost`` with status and reason if the process crashed or was killed; both
        with ``seconds`` of work.
    """
    workers: list[_Worker] = []
    try:
        for position, launch in enumerate(launches):
            worker = _Worker(position, launch, timeout_s, deadline_s)
            workers.append(worker)
            yield from worker.leave() if worker.alike_hung(workers) else worker.work()
        while waiting := [worker for worker in workers if worker.waits_for]:
            worker = min(waiting, key=_Worker.progress)
            if worker.alike_hung(workers):
                yield from worker.leave()
                continue
            worker.grant()
            yield from worker.work()
    finally:
        for worker in workers:
            worker.close()


class _Worker:
    """One process of a lap: the connection to it, how far it is, and what it reports."""

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
        self._process = WatchedProcess(process)
        with contextlib.suppress(OSError):  # it is gone; `work` will say how
            self._socket.sendall(launch.instructions.to_json().encode() + b"\n")

    def progress(self) -> tuple[int, ...]:
        """Return the sort key of turns; the process with the least goes next.

        That is the one that has made the least progress. Among equals the order of the lap counts, forwards in one
        round of turns and backwards in the next.
        """
        assert self.waits_for
        back = self.waits_for[-1] % 2
        return (*self.waits_for, -self._position if back else self._position)

    def alike_hung(self, workers: Sequence[_Worker]) -> bool:
        """Return whether another process of the same backend and code hung, so that this one would hang as well."""
        return any(worker.hung and worker._code == self._code for worker in workers)

    def leave(self) -> Iterator[tuple[int, Event]]:
        """End this process before its work is done, because another process of its backend hung."""
        self.waits_for = None
        reason = "left out: another process of this backend hung"
        lost = {"event": "lost", "status": TIMEOUT, "reason": reason, "seconds": self._worked_s, "by_another": True}
        yield self._position, lost
        self.close()

    def grant(self) -> None:
        """Let the process go on."""
        self.waits_for = None
        with contextlib.suppress(OSError):  # it is gone; `work` will say how
            self._process.signal(signal.SIGCONT)
            self._socket.sendall(b"\n")

    def work(self) -> Iterator[tuple[int, Event]]:
        """Yield events until the process waits for its turn or is over."""
        for line in self._lines():
            event: Event = json.loads(line)
            if event["event"] == "waits":
                self.waits_for = (event["cell"], event["stage"], event["turn"])
                self._process.stop()
                return
            if event["event"] in ("end", "lost"):
                yield self._position, event | {"seconds": self._worked_s}
                self.close()  # whatever it still has to tidy up is of no use
                return
            yield self._position, event
        status, reason = self._process.verdict()
        self.hung = status == TIMEOUT
        reason += _last_words(self._log_path)
        yield self._position, {"event": "lost", "status": status, "reason": reason, "seconds": self._worked_s}
        self.close()

    def close(self) -> None:
        """End the process, if it has not ended."""
        self._socket.close()
        self._process.kill()

    def _lines(self) -> Iterator[bytes]:
        """Yield whole lines until the process closes its end or its time is up; an incomplete last line is dropped.

        Lines that have arrived are read before the time is checked. Waiting is counted as work in steps of at most
        ``2 * POLL_S``: if this process is suspended meanwhile, by Ctrl-Z for example, that pause is not counted.
        """
        silent_s = 0.0
        while True:
            *whole, self._pending = self._pending.split(b"\n")
            yield from whole
            begun_s = time.monotonic()
            if begun_s > self._deadline_s:
                self._process.time_out("the time for all of them was over")
                return
            ready = select.select([self._socket], [], [], POLL_S)[0]
            passed_s = min(time.monotonic() - begun_s, 2 * POLL_S)
            self._worked_s += passed_s
            silent_s += passed_s
            if not ready:
                if silent_s >= self._timeout_s:
                    silence = f"the process took over {self._timeout_s:g} s without a word"
                    self._process.time_out(f"{silence}; allow more with --timeout")
                    return
                self._process.look()
                continue
            try:
                data = self._socket.recv(1 << 16)
            except ConnectionResetError:
                return
            if not data:
                return
            silent_s = 0.0
            self._pending += data


def _last_words(log_path: Path) -> str:
    """Return the last line that a process printed before any dump of its stack, as the end of a sentence."""
    printed = log_path.read_text(errors="replace").partition("Fatal Python error")[0]
    lines = [line.strip(". ") for line in printed.splitlines() if line.strip(". ")]
    return f"; its last words: {lines[-1][:200]}" if lines else ""
