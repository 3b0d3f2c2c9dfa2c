"""How fast a temporary file is read here: from the system's cache, and from the disk. Probed once, kept like ceilings.

A batch in chunks is read so at every step: from the cache if it has room for all of it, else from the disk.

Tests: `tests/bench/machine/test_reading.py`.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.basics.errors import UsageError
from bench.basics.files import read_text, write_text
from bench.machine.identity import machine_id

FILE = "reading.json"
PROBED_BYTES = 256 << 20
PIECE_BYTES = 8 << 20
LEAST_BYTES = 4 * PIECE_BYTES


@dataclass(frozen=True)
class Reading:
    """Bytes a second of one thread that reads a file in pieces of some megabytes.

    Attributes:
        cached_bytes_per_s: of a file that the system keeps in memory.
        disk_bytes_per_s: of one that it does not.
        folder: that the file was in.
        created: when, UTC.
    """

    cached_bytes_per_s: float
    disk_bytes_per_s: float
    folder: str
    created: str = ""


def probe() -> Reading:
    """Write a file to the folder of temporary files and read it from the cache and from the disk, in a few seconds.

    Raises:
        UsageError: the folder has no room for it.
    """
    folder = tempfile.gettempdir()
    size = min(PROBED_BYTES, shutil.disk_usage(folder).free // 2) // PIECE_BYTES * PIECE_BYTES
    if size < LEAST_BYTES:
        raise UsageError(f"{folder} has no room for a batch in chunks: set TMPDIR to a folder with more room")
    with tempfile.TemporaryFile(prefix="reading-") as file:
        piece = os.urandom(PIECE_BYTES)  # what repeats, a disk may keep small
        for _ in range(size // PIECE_BYTES):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        cached_s = min(_read_s(file.fileno(), size) for _ in range(2))
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        disk_s = _read_s(file.fileno(), size)
    return Reading(
        size / cached_s, size / max(disk_s, cached_s), folder, datetime.now(UTC).isoformat(timespec="seconds")
    )


def _read_s(file: int, size: int) -> float:
    """Return the seconds of reading a file from its beginning."""
    memory = memoryview(bytearray(PIECE_BYTES))
    os.lseek(file, 0, os.SEEK_SET)
    begun_s = time.perf_counter()
    for _ in range(size // PIECE_BYTES):
        os.readv(file, [memory])
    return time.perf_counter() - begun_s


def known_or_probed(root: Path) -> Reading:
    """Return what is known of this machine's folder of temporary files, probed and kept if it is not.

    Raises:
        UsageError: as `probe`, or a file is not what was kept.
    """
    path = root / machine_id() / FILE
    if path.exists():
        try:
            known = Reading(**json.loads(read_text(path)))
            if not all(0 < rate < math.inf for rate in (known.cached_bytes_per_s, known.disk_bytes_per_s)):
                raise ValueError("rates are above 0")
        except (OSError, TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"{path} does not say how fast files are read ({error}): remove it") from None
        if known.folder == tempfile.gettempdir():
            return known
    probed = probe()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(asdict(probed), indent=1))
    return probed
