"""The one way to read a stored file: no pipe is waited for. The one way to write one: whole or not at all.

A file is never written through a planted link, and never over what was read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from bench.basics.errors import UsageError

OPEN_FILES = re.compile(r"/dev/(?:fd|stdin|stdout|stderr)(?:/(\d+))?|/proc/(?:self|\d+)/fd/(\d+)")
STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8.

    Raises:
        OSError: it is not there, cannot be read, or is no file: a pipe would be waited for.
        UnicodeDecodeError: it is not UTF-8.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a file", str(path))
    return path.read_text(encoding="utf-8")


def make_folder(
    folder: Path,
    place: Path,
    remedy: str = "choose another folder with --results DIR",
    *,
    new: bool = False,
    mode: int = 0o777,
) -> None:
    """Make a folder, and those above it.

    Args:
        folder: to be made.
        place: what the error calls it: the folder that a person named.
        remedy: what a person can do if it cannot be made.
        new: whether it is an error that the folder is there already.
        mode: its permissions, less the umask.

    Raises:
        UsageError: it cannot be made.
    """
    try:
        folder.mkdir(mode, parents=True, exist_ok=not new)
    except OSError as error:
        raise UsageError(f"cannot write into {place}: {error.strerror}; {remedy}") from None


def check_output(path: str | Path, flag: str, inputs: Mapping[str, str | Path | None] | None = None) -> Path:
    """Return ``path``, refused before long work rather than after it.

    Folders that are not there are made when the file is written (`replacing`): what is refused leaves none.

    Args:
        path: the file to be written.
        flag: that named it.
        inputs: files that are read, by the flag that named them; none of them may be written over.

    Raises:
        UsageError: it is a folder or below a file, it or its folder is not writable, or it is an input.
    """
    path = Path(path)
    for source, read in (inputs or {}).items():
        if read is not None and _same(path, Path(read)):
            raise UsageError(f"{flag} {path} is the file of {source}, which stays as it is; give another")
    if path.is_dir():
        raise UsageError(f"{flag} {path} is a folder; give the path of a file")
    if not is_replaced(path):
        if not (_descriptor(path) is not None or os.access(path, os.W_OK)):
            raise UsageError(f"{flag} {path} cannot be written to; choose another file")
        return path
    _check_folder(Path(os.path.realpath(path)).parent, f"{flag} {path}")
    if path.exists() and not os.access(path, os.W_OK):
        raise UsageError(f"{flag} {path} is there and may not be changed; choose another file")
    return path


def _check_folder(folder: Path, flag: str) -> None:
    """Make sure that a folder, or if it is not there the nearest one above it, can be written to.

    Raises:
        UsageError: it cannot; begins with ``flag``.
    """
    there = next(above for above in (folder, *folder.parents) if above.exists())
    if not there.is_dir():
        raise UsageError(f"{flag}: {str(there)!r} is a file, not a folder; choose another")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{flag}: folder {str(there)!r} cannot be written to; choose another")


def is_replaced(path: Path) -> bool:
    """Return whether writing puts a new file in the place of ``path``: not if it is a device, a pipe or a socket."""
    if _descriptor(path) is not None:
        return False
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True


@contextlib.contextmanager
def replacing(path: Path, durable: bool = False) -> Iterator[BinaryIO]:
    """Give a file to write to; once it is whole, it takes the place of ``path``, and on an error nothing changes.

    It is written under a private name in the same folder. A symbolic link stays, and the file that it points to is
    replaced. What is no regular file, such as ``/dev/stdout`` or a pipe, is written through.

    Args:
        path: of the file; its folder is made if it is not there.
        durable: whether to wait until it is on disk.

    Raises:
        OSError: it cannot be written; names ``path``.
    """
    try:
        if is_replaced(path):
            yield from _replaced(path, durable)
        else:
            sys.stdout.flush()
            descriptor = _descriptor(path)
            with open(path if descriptor is None else os.dup(descriptor), "wb") as file:
                yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _replaced(path: Path, durable: bool) -> Iterator[BinaryIO]:
    target = Path(os.path.realpath(path))
    mode = _mode(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=".backprop-bench-", suffix=".partial", dir=target.parent)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.chmod(temporary, mode)
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Write text in UTF-8, whole or not at all.

    Raises:
        OSError: it cannot be written; names ``path``.
    """
    write_bytes(path, text.encode(), durable)


def write_bytes(path: Path, data: bytes, durable: bool = False) -> None:
    """Write bytes, whole or not at all.

    Raises:
        OSError: it cannot be written; names ``path``.
    """
    with replacing(path, durable) as file:
        file.write(data)


def _mode(target: Path) -> int:
    """Return the permissions of the file that is there, else those that a new file would get."""
    try:
        return stat.S_IMODE(os.stat(target).st_mode)
    except OSError:
        umask = os.umask(0o077)
        os.umask(umask)
        return 0o666 & ~umask


def _descriptor(path: Path) -> int | None:
    """Return the number of an open file of this process that ``path`` stands for."""
    text = os.path.abspath(path)
    if text in STANDARD:
        return STANDARD[text]
    match = OPEN_FILES.fullmatch(text)
    number = match and (match[1] or match[2])
    return int(number) if number else None


def _same(path: Path, other: Path) -> bool:
    """Return whether two paths lead to the same file, by whatever names."""
    try:
        return os.path.samefile(path, other)
    except OSError:
        return os.path.realpath(path) == os.path.realpath(other)
