"""Ctrl-C, a terminal that closes and a polite `kill`: all ask the command to end, and it ends as cleanly for each.

Tests: `tests/bench/cli/test_interrupt.py`, `tests/bench/cli/test_streams.py`.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
ASKING = (signal.SIGINT, *ENDING)
IMPORTING = "<frozen importlib._bootstrap>"
IMPORT_S, AGAIN_S = 3.0, 0.05
"""How long an interrupt waits for an import at most, and how often it looks."""


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

    An interrupt waits for the end of an import, up to `IMPORT_S`: frameworks crash or go on half imported if one of
    their modules is cut off. It is made again if a callback swallowed it, as those on garbage collection do: Python
    reports what they raise, and goes on. An error that comes of that is the interrupt's.

    Raises:
        KeyboardInterrupt: one of the signals came.
    """
    again = _Again()

    def interrupt(number: int, frame: FrameType | None) -> None:
        again.number = number
        if not (_is_import(frame) and again.may_wait()):
            raise KeyboardInterrupt
        again.soon()

    def report(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            again.soon()
        else:
            usual(unraisable)

    usual, sys.unraisablehook = sys.unraisablehook, report
    default = (signal.SIG_DFL, signal.default_int_handler)
    try:
        with _handled([number for number in ASKING if signal.getsignal(number) in default], interrupt):
            yield
    except Exception:
        if again.begun_s:
            raise KeyboardInterrupt from None
        raise
    finally:
        again.over = True
        sys.unraisablehook = usual


def forget_timers() -> None:
    """Cancel timers that interrupted work left behind, such as JAX's of a minute: Python waits for them at its end."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


class _Again:
    """Sends a signal to this process once more.

    Attributes:
        number: of the signal.
        begun_s: when this was first asked for, 0 if it was not.
        over: whether it is no longer wanted.
    """

    number: int = signal.SIGINT
    begun_s = 0.0
    over = False

    def may_wait(self) -> bool:
        """Return whether the signal may wait longer."""
        return not self.begun_s or time.monotonic() - self.begun_s < IMPORT_S

    def soon(self) -> None:
        """Send it in a moment, from a bare thread: a signal handler must take none of `threading`'s locks."""
        self.begun_s = self.begun_s or time.monotonic()
        _thread.start_new_thread(self._send, ())

    def _send(self) -> None:
        time.sleep(AGAIN_S)
        if not self.over:
            os.kill(os.getpid(), self.number)


def _is_import(frame: FrameType | None) -> bool:
    """Return whether a frame runs while a module is imported."""
    while frame is not None and frame.f_code.co_filename != IMPORTING:
        frame = frame.f_back
    return frame is not None


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
