"""What the system says of the first core's processor.

Tests: `tests/backends/test_processor.py`.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
INTEL = "GenuineIntel"


@lru_cache
def facts() -> Mapping[str, str]:
    """Return the first core's entries of ``/proc/cpuinfo``; none if it cannot be read."""
    entries: dict[str, str] = {}
    try:
        with CPUINFO.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if not line.strip():  # the next core
                    break
                name, _, value = line.partition(":")
                entries[name.strip()] = " ".join(value.split())
    except OSError:
        pass
    return entries


def is_intel() -> bool:
    """Return whether Intel made the processor, whose libraries run their fastest code on their own alone."""
    return INTEL in (facts().get("vendor_id") or platform.processor())
