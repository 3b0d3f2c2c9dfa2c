"""An append-only JSON Lines file that survives crashes: each record is on disk before the next is measured.

Nothing here knows what the records mean.

Tests: `tests/bench/results/test_results.py`.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from bench.basics.formats import json_ready


class JournalFull(OSError):
    """The disk (or a quota) is full; what was written before is whole."""


class JournalRemoved(OSError):
    """Somebody removed the file while it was written; what is written from now on would be lost."""


class Fault(NamedTuple):
    """A line that could not be read: its file, its number from 1, and what is wrong with it; 0 for all of the file."""

    path: Path
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}{f':{self.line}' if self.line else ''}: {self.reason}"


class Journal:
    """Appends records to one file; use as a context manager.

    A last line without its newline, left by a crash, is closed first, so that it spoils no new record.

    Args:
        path: the file, created if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            self._write(b"\n")

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record as one line and wait until it is on disk.

        Raises:
            JournalFull: no space is left; the part of the record that was written is removed.
            JournalRemoved: the file is no longer there.
        """
        if not os.fstat(self._descriptor).st_nlink:
            raise JournalRemoved(errno.ENOENT, f"{self.path} was removed while it was written; its rows are lost")
        line = json.dumps(json_ready(record), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self._write(line.encode("utf-8", "surrogatepass") + b"\n")

    def _write(self, line: bytes) -> None:
        """Write all of ``line`` and flush it, or restore the file's length."""
        size = os.fstat(self._descriptor).st_size
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, size)
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise JournalFull(error.errno, f"no space left for {self.path}; earlier records are kept") from error
            raise

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read(path: Path, faults: list[Fault] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line numbers and records of a file in order, passing over the lines that cannot be read.

    Args:
        path: a JSON Lines file.
        faults: what could not be read is appended here.
    """
    noted = faults if faults is not None else []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            if not line.endswith(b"\n"):
                noted.append(Fault(path, number, "cut short, as by a crash while it was written"))
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                noted.append(Fault(path, number, f"not JSON: {error}"))
                continue
            if isinstance(record, dict):
                yield number, record
            else:
                noted.append(Fault(path, number, f"expected an object, got {type(record).__name__}"))
