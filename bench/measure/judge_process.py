"""A child process that judges one backend in one dtype, seen from its parent.

The program that it runs is `bench.measure.judge`.

Tests: `tests/bench/measure/test_judging.py`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from typing import IO, Any

from backends.conformance.checks import RULES
from backends.conformance.report import Claim, Report
from bench.measure.failures import classify_exit

FAREWELL_S = 10.0

Event = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What a child judges.

    Attributes:
        backend: what `backends.load` takes.
        dtype: ``None`` for the first that the backend offers; the child then says which there are.
        settings: what `bench.measure.judge` needs besides, as JSON holds it.
    """

    backend: str
    dtype: str | None
    settings: dict[str, Any] = field(default_factory=dict)


class JudgeProcess:
    """A child process that judges one backend in one dtype, and the report that comes of it.

    Attributes:
        task: what it judges.
        unavailable: why the backend is not available, '' if it is.
        fraction: how much of it is judged.
    """

    def __init__(self, task: Task, events: Events, variables: dict[str, str]) -> None:
        self.task = task
        self.unavailable = ""
        self.fraction = 0.0
        self._dtype = task.dtype or "float32"
        self._plan = [claim for claim in RULES if claim in (task.settings.get("claims") or RULES)]
        self._judged: list[Claim] = []
        self._claim = ""
        self._ended: Event | None = None
        self._reason = ""
        self._heard_s = time.monotonic()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `kill`
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bench.measure.judge"],  # -P: a folder named bench here is none of ours
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        assert self._process.stdin
        spec = {"backend": task.backend, "dtype": task.dtype, **task.settings}
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(spec).encode() + b"\n")
            self._process.stdin.flush()  # left open: the child ends when it closes
        threading.Thread(target=self._listen, args=(events,), daemon=True).start()

    @property
    def doing(self) -> str:
        """What is being judged, for people."""
        return " ".join(filter(None, [self.task.backend, self._dtype])) + (f": {self._claim}" if self._claim else "")

    @property
    def report(self) -> Report:
        """What was judged. If the process was lost, the claim in work has failed and later ones are not judged."""
        settings = self.task.settings
        device, seed = settings.get("device", "cpu"), settings.get("seed")
        if self._ended is not None:
            products = self._ended["products"]
            return Report(self.task.backend, self._dtype, device, tuple(self._judged), products, seed)
        known = {claim.name for claim in self._judged}
        left = [name for name in self._plan if name not in known]
        failed = self._claim if self._claim in left else (left or ["outputs"])[0]
        lost = [
            Claim(name, "fail", math.inf, where=self._reason, cases=1)
            if name == failed
            else Claim(name, "skip", where="not judged: the process had ended")
            for name in left or [failed]
        ]
        return Report(self.task.backend, self._dtype, device, (*self._judged, *lost), seed=seed)

    def hear(self, event: Event) -> None:
        """Take in one record."""
        self._heard_s = time.monotonic()
        match event["event"]:
            case "begins":
                self._dtype = event["dtype"]
            case "judges":
                self._claim, self.fraction = event["claim"], event["fraction"]
            case "judged":
                self._judged.append(Claim(**event["claim"]))
            case "unavailable":
                self.unavailable = event["reason"]
            case "lost":
                self._reason = event["reason"]
            case "end":
                self._ended = event

    def stop_after(self, timeout_s: float, end_s: float) -> None:
        """End the process if it gave no sign of life for ``timeout_s``, or if ``end_s`` is past."""
        now_s = time.monotonic()
        during = f" in claim {self._claim!r}" if self._claim else " while it was loaded"
        if self._reason:
            return
        if now_s > end_s:
            self._reason = f"the time for all of it was over{during}; --within allows more"
        elif now_s - self._heard_s > timeout_s:
            self._reason = f"gave no sign of life for {timeout_s:g} s{during} and was stopped; --timeout allows more"
        if self._reason:
            self._signal()

    def finish(self) -> None:
        """Find out how the process ended, after it closed its output."""
        try:
            returncode = self._process.wait(timeout=FAREWELL_S)
        except subprocess.TimeoutExpired:
            self._reason = self._reason or "the process closed its output and went on"
        else:
            self._reason = self._reason or classify_exit(returncode, 0.0)[1]
        self._signal()

    def printed(self) -> str:
        """Return what the backend printed, and close the process's files."""
        self._log.seek(0)
        text = self._log.read().decode(errors="replace")
        self.kill()
        return text

    def kill(self) -> None:
        """End the process and all that it started, if they have not ended."""
        self._signal()
        self._process.wait()
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._log.close()

    def _signal(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def _listen(self, events: Events) -> None:
        """Put each record into ``events``, and ``None`` when the process has closed its output."""
        assert self._process.stdout
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):  # a line cut short
                events.put((self, json.loads(line)))
        self._process.stdout.close()
        events.put((self, None))


Events = queue.SimpleQueue[tuple[JudgeProcess, Event | None]]
"""What several processes report; ``None`` after the last event of one."""
