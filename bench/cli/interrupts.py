"""Ctrl-C as a request to stop at the next good moment; a second one stops at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether Ctrl-C was pressed."""

    asked = False


@contextmanager
def ask_before_stopping() -> Iterator[StopRequest]:
    """Give a `StopRequest` that the first Ctrl-C sets; from then on Ctrl-C works as usual."""
    request = StopRequest()
    usual = signal.getsignal(signal.SIGINT)

    def note(_signal: int, _frame: FrameType | None) -> None:
        request.asked = True
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, note)
    try:
        yield request
    finally:
        signal.signal(signal.SIGINT, usual)
