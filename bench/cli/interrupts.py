"""Ctrl-C, a terminal that closes and a polite `kill`: all ask the command to end, and it ends as cleanly for each.

Tests: `tests/bench/cli/test_interrupt.py`, `tests/bench/cli/test_streams.py`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
ASKING = (signal.SIGINT, *ENDING)
AGAIN_S = 0.05
"""After which an interrupt that was lost is made again."""


class StopRequest:
    """Whether someone asked to stop, and how.

    Attributes:
        asked: whether one of the signals came.
        by: what asked, for a sentence.
    """

    asked = False
    by = "Ctrl-C"


@contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt the work as Ctrl-C does; one that is ignored, as under nohup, stays ignored.

    None of them is lost: see `_made_again`.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    endings = [number for number in ENDING if signal.getsignal(number) == signal.SIG_DFL]
    with _handled(endings, interrupt), _made_again():
        yield


@contextmanager
def ask_before_stopping() -> Iterator[StopRequest]:
    """Give a `StopRequest` that the first Ctrl-C, SIGTERM or SIGHUP sets; from then on they work as usual."""
    request = StopRequest()
    usual = {number: signal.getsignal(number) for number in ASKING}

    def note(number: int, _frame: FrameType | None) -> None:
        request.asked = True
        request.by = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        for each, handler in usual.items():
            signal.signal(each, handler)

    with _handled([number for number in ASKING if usual[number] != signal.SIG_IGN], note):
        yield request


@contextmanager
def _made_again() -> Iterator[None]:
    """Interrupt again if an interrupt came inside a callback, such as one of JAX's on garbage collection.

    Python reports the exceptions of callbacks and of ``__del__``, and goes on as if nothing had happened.
    """
    usual = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            usual(unraisable)
            return
        timer = threading.Timer(AGAIN_S, os.kill, (os.getpid(), signal.SIGINT))
        timer.daemon = True
        timer.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual


@contextmanager
def _handled(numbers: list[signal.Signals], handler: object) -> Iterator[None]:
    """Handle signals with ``handler`` for a while; outside the main thread, where Python allows none, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {number: signal.signal(number, handler) for number in numbers}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, before in usual.items():
            signal.signal(number, before)
