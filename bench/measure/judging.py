"""Judge backends in child processes, one for each backend and dtype, as many at a time as there are cores.

A backend that crashes, hangs, or ends its process costs its own report and no other.
"""

from __future__ import annotations

import contextlib
import math
import queue
import time
from collections.abc import Callable, Iterator, Sequence

from backends import DTYPES, BackendUnavailable
from backends.conformance.report import Report
from bench.basics.errors import UsageError
from bench.machine.system import usable_cpus
from bench.measure.judge_process import Event, Events, JudgeProcess, Task
from bench.measure.judging_environment import environment

MOST_AT_ONCE = 4
POLL_S = 0.5


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
    judging = _Judging(tasks, show, skipped)
    end_s = time.monotonic() + most_s
    try:
        while judging.waiting or judging.running:
            judging.start()
            for child, event in _arrived(judging.events):
                judging.take(child, event)
            for child in judging.running:
                child.stop_after(timeout_s, end_s)
            if judging.running:
                tell(judging.fraction, ", ".join(child.doing for child in judging.running))
    finally:
        for child in judging.running:
            child.kill()
    return [judging.reports[place] for place in sorted(judging.reports)]


class _Judging:
    """The tasks that wait, the children that judge, and the reports that they made.

    Attributes:
        waiting: tasks that have no child yet.
        running: the children.
        events: what children said that was not taken yet.
        reports: by place in the order of the result: that of the backend among the tasks, that of the dtype.
    """

    def __init__(self, tasks: Sequence[Task], show: Callable[[str], None], skipped: dict[str, str] | None) -> None:
        self.waiting, self.running = list(tasks), list[JudgeProcess]()
        self.events: Events = queue.SimpleQueue()
        self.reports: dict[tuple[int, int], Report] = {}
        self._show, self._skipped = show, skipped
        self._order = list(dict.fromkeys(task.backend for task in tasks))
        self._total = len(tasks)
        self._variables = environment()

    @property
    def fraction(self) -> float:
        """How much of the whole is judged."""
        return (len(self.reports) + sum(child.fraction for child in self.running)) / self._total

    def start(self) -> None:
        """Start children as long as there are tasks, and cores for them."""
        while self.waiting and len(self.running) < min(len(usable_cpus()), MOST_AT_ONCE):
            self.running.append(JudgeProcess(self.waiting.pop(0), self.events, self._variables))

    def take(self, child: JudgeProcess, event: Event | None) -> None:
        """Take what a child said, ``None`` for its end.

        Raises:
            BackendUnavailable: its framework or device is not there, and nobody keeps the reason.
            UsageError: it refused its task.
        """
        if event is None:
            self._end(child)
        elif event["event"] == "refused":
            raise UsageError(event["reason"])
        else:
            child.hear(event)
            others = [Task(child.task.backend, dtype, child.task.settings) for dtype in event.get("others", ())]
            self.waiting[:0] = others
            self._total += len(others)

    def _end(self, child: JudgeProcess) -> None:
        """Take the report of a child that ended, or why there is none."""
        child.finish()
        self.running.remove(child)
        self._show(child.printed())
        if not child.unavailable:
            dtype = child.report.dtype
            place = self._order.index(child.task.backend), DTYPES.index(dtype) if dtype in DTYPES else -1
            self.reports[place] = child.report
        elif self._skipped is None:
            raise BackendUnavailable(child.unavailable)
        else:
            self._skipped[child.task.backend] = child.unavailable


def _arrived(events: Events) -> Iterator[tuple[JudgeProcess, Event | None]]:
    """Yield the events that have arrived, after waiting up to `POLL_S` for the first."""
    with contextlib.suppress(queue.Empty):
        yield events.get(timeout=POLL_S)
        while True:
            yield events.get_nowait()
