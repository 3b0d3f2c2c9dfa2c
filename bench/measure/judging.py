"""Judge backends in child processes, one for each backend and dtype, as many at a time as there are cores.

A backend that crashes, hangs, or ends its process costs its own report and no other. No printing here.
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
    waiting, running = list(tasks), list[JudgeProcess]()
    events: Events = queue.SimpleQueue()
    reports: dict[tuple[int, int], Report] = {}
    order = list(dict.fromkeys(task.backend for task in tasks))
    total = len(tasks)
    end_s = time.monotonic() + most_s
    variables = environment()
    try:
        while waiting or running:
            while waiting and len(running) < min(len(usable_cpus()), MOST_AT_ONCE):
                running.append(JudgeProcess(waiting.pop(0), events, variables))
            for child, event in _arrived(events):
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


def _arrived(events: Events) -> Iterator[tuple[JudgeProcess, Event | None]]:
    """Yield the events that have arrived, after waiting up to `POLL_S` for the first."""
    with contextlib.suppress(queue.Empty):
        yield events.get(timeout=POLL_S)
        while True:
            yield events.get_nowait()
