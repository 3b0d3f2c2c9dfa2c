"""The lock of a run, so that no two processes measure it at once.

Tests: `tests/bench/measure/test_lock.py`.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from bench.basics.errors import UsageError
from bench.results import Run

LOCK = ".lock"

logger = logging.getLogger(__name__)


@contextmanager
def held(run: Run) -> Iterator[None]:
    """Hold the lock of a run. If its folder has no locks, as some on a network, warn and go on without.

    Raises:
        UsageError: another process is measuring this run.
    """
    with (run.path / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"run {run.id} is being measured by another process; start another: python -m bench run"
            ) from None
        except OSError as error:
            logger.warning("%s has no locks (%s): make sure that no one else measures this run", run.path, error)
        yield
