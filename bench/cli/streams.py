"""Standard streams that never break a command: closed ones, narrow encodings, readers that went away."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast


def prepare() -> None:
    """Open what is closed onto the null device, write what an encoding lacks as escapes, let stderr go unread.

    Streams that another program has put in place are left as they are.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file opened would take its number, and the output
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:  # Python leaves out what was closed
        sys.stdout = _opened(1)
    if sys.stderr is None:
        sys.stderr = _opened(2)
    for stream in (sys.stdout, sys.stderr):
        if stream in (sys.__stdout__, sys.__stderr__) and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is sys.__stderr__:
        sys.stderr = cast(TextIO, _Unread(cast(TextIO, sys.stderr)))


def _opened(number: int) -> TextIO:
    return open(number, "w", encoding="utf-8", closefd=False)


def finish() -> None:
    """Write out what is still held; a reader that went away is no error.

    Raises:
        OSError: stdout cannot be written for another reason, such as a full disk.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    except ValueError:  # closed meanwhile
        pass


def discard_output() -> None:
    """Send the rest of stdout nowhere: its reader went away."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


@contextlib.contextmanager
def going_on() -> Iterator[None]:
    """Print inside this block, and go on if the reader of stdout went away, since the work to follow still counts."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()


class _Unread:
    """A stream for progress and messages: if its reader or its terminal goes away, the work goes on without."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text``, or nothing."""
        try:
            return self._stream.write(text)
        except OSError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        """Write out what is held, or nothing."""
        try:
            self._stream.flush()
        except OSError:
            self._discard()

    def _discard(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
