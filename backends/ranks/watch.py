"""A thread that warns of a long wait for other ranks, and ends this one when it lasts too long.

MPI waits for ever, and a framework's own limit may be half an hour, or end in a barrier that nobody reaches.

Tests: `tests/backends/ranks/test_watch.py`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from backends.errors import RanksError

LOG = logging.getLogger("backends.ranks")
LOOKS_S = 0.25
WARNING_S = 5.0


class Watch:
    """Times what happens in its ``with`` block.

    Entering and leaving write one number each, so that it can surround a sum of microseconds; the thread looks at the
    number four times a second.

    Args:
        rank: of this process, for the warning.
        timeout_s: after which ``end`` is called, in the thread; an attribute that may be changed between waits.
        end: ends the process.
    """

    def __init__(self, rank: int, timeout_s: float, end: Callable[[RanksError], None]) -> None:
        self._rank, self.timeout_s, self._end = rank, timeout_s, end
        self._since_s: float | None = None
        self._warned = False
        threading.Thread(target=self._look, daemon=True, name="ranks").start()

    def __enter__(self) -> None:
        self._since_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        since_s, self._since_s = self._since_s, None
        if self._warned and since_s is not None:
            self._warned = False
            LOG.warning("rank %d goes on after waiting %.1f s", self._rank, time.monotonic() - since_s)

    def _look(self) -> None:
        while True:
            time.sleep(min(LOOKS_S, self.timeout_s / 8))
            since_s = self._since_s
            if since_s is None:
                continue
            waited_s = time.monotonic() - since_s
            if waited_s > self.timeout_s:
                self._end(
                    RanksError(
                        f"waited {self.timeout_s:g} s for the other ranks: one of them is lost, stopped, slower than "
                        "that, or took another path; a longer wait: timeout_s of join"
                    )
                )
            elif waited_s > min(WARNING_S, self.timeout_s / 2) and not self._warned:
                self._warned = True
                LOG.warning(
                    "rank %d has waited %.0f s for the other ranks: one is slow, stopped or lost; waits up to %g s",
                    self._rank,
                    waited_s,
                    self.timeout_s,
                )
