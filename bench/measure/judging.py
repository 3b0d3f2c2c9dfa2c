"""Judge backends in child processes, one for each backend and dtype, as many at a time as there are cores.

A backend that crashes, hangs, or ends its process costs its own report and no other. No printing here.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import IO, Any

from backends import DTYPES, BackendUnavailable
from backends.conformance.checks import RULES
from backends.conformance.report import Claim, Report
from bench.basics.errors import UsageError
from bench.measure.compile_cache import folder_of_caches
from bench.measure.failures import classify_exit
from bench.measure.process_environment import KEEP_EVERY_COMPILATION, SHARE_THE_ACCELERATOR

MOST_AT_ONCE = 4
POLL_S = 0.5
FAREWELL_S = 10.0
WAIT_ASLEEP = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "OPENBLAS_THREAD_TIMEOUT": "4"}
"""Threads of OpenMP and of OpenBLAS give their core away while they wait: several processes judge at a time, each on
all cores, and threads that spin in one would slow the others to a quarter. Nothing is timed here, and the numbers are
the same.
"""
MOST_KEPT_BYTES = 1 << 25
"""Of what JAX compiled; what was not used for longest goes first."""

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


def judge_all(
    tasks: Sequence[Task],
    timeout_s: float,
    tell: Callable[[float, str], None],
    show: Callable[[str], None],
    skipped: dict[str, str] | None,
    most_s: float = math.inf,
) -> list[Report]:
    """Return the reports in the order of ``tasks``, the other dtypes of a backend after its first.

    Args:
        tasks: what to judge.
        timeout_s: seconds without a sign of life after which a backend is stopped and has failed.
        tell: told the fraction done and what is being judged.
        show: given what a child printed.
        skipped: filled with the reason of each backend that is not available; ``None`` if that is an error.
        most_s: seconds for all of it; a claim that is being judged then fails, and those after it are not judged.

    Raises:
        BackendUnavailable: a framework or device is not there, and ``skipped`` is ``None``.
        UsageError: an unknown backend, or a dtype or device that it does not have.
    """
    waiting, running = list(tasks), list[_Child]()
    events: queue.SimpleQueue[tuple[_Child, Event | None]] = queue.SimpleQueue()
    reports: dict[tuple[int, int], Report] = {}
    order = list(dict.fromkeys(task.backend for task in tasks))
    total = len(tasks)
    end_s = time.monotonic() + most_s
    variables = environment()
    try:
        while waiting or running:
            while waiting and len(running) < min(_usable_cores(), MOST_AT_ONCE):
                running.append(_Child(waiting.pop(0), events, variables))
            for child, event in _arrivals(events):
                if event is None:
                    child.finish()
                    running.remove(child)
                    show(child.printed())
                    if child.unavailable and skipped is not None:
                        skipped[child.task.backend] = child.unavailable
                    elif child.unavailable:
                        raise BackendUnavailable(child.unavailable)
                    else:
                        dtype = child.report.dtype
                        place = order.index(child.task.backend), DTYPES.index(dtype) if dtype in DTYPES else -1
                        reports[place] = child.report
                elif event["event"] == "refused":
                    raise UsageError(event["reason"])
                else:
                    child.hear(event)
                    others = [Task(child.task.backend, dtype, child.task.settings) for dtype in event.get("others", ())]
                    waiting[:0] = others
                    total += len(others)
            for child in running:
                child.stop_after(timeout_s, end_s)
            if running:
                done = len(reports) + sum(child.fraction for child in running)
                tell(done / total, ", ".join(child.doing for child in running))
    finally:
        for child in running:
            child.kill()
    return [reports[place] for place in sorted(reports)]


def _arrivals(events: queue.SimpleQueue[tuple[_Child, Event | None]]) -> Iterator[tuple[_Child, Event | None]]:
    """Yield what has arrived, after waiting a moment for the first."""
    with contextlib.suppress(queue.Empty):
        yield events.get(timeout=POLL_S)
        while True:
            yield events.get_nowait()


class _Child:
    """One process that judges one backend in one dtype."""

    def __init__(
        self, task: Task, events: queue.SimpleQueue[tuple[_Child, Event | None]], variables: dict[str, str]
    ) -> None:
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
        """What was judged; the claim during which the process was lost has failed, and the rest was not judged."""
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
        """End the process if it has given no sign of life for so long, or if that moment is past."""
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
        """Learn how the process ended."""
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

    def _listen(self, events: queue.SimpleQueue[tuple[_Child, Event | None]]) -> None:
        """Hand over each record; ``None`` once the process has closed its output."""
        assert self._process.stdout
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):  # a line cut short
                events.put((self, json.loads(line)))
        self._process.stdout.close()
        events.put((self, None))


def environment() -> dict[str, str]:
    """Return the environment of a judging process; what the user set stays as it is."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**framework_variables(), **os.environ, "PYTHONPATH": path}


def framework_variables() -> dict[str, str]:
    """Return what frameworks are told where several processes compute at a time, and none is timed.

    What JAX compiled is kept for the next time: the shapes of the stated set, and those of a seed, come again.
    """
    kept = KEEP_EVERY_COMPILATION | {"JAX_COMPILATION_CACHE_DIR": str(folder_of_caches("check"))}
    kept |= SHARE_THE_ACCELERATOR
    if find_spec("filelock"):  # JAX limits its cache by it
        kept["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(MOST_KEPT_BYTES)
    return kept | WAIT_ASLEEP


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
