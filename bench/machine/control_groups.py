"""Limits by the control groups of this process: processor quota and memory, the least of all levels, version 1 and 2.

A container, a systemd slice or a batch system may set a limit at any level above the process, so every level from the
process up to the root of the mount is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.machine import system

UNLIMITED = 1 << 60
"""Version 1 writes a number about this large if there is no limit on memory."""


class Mount(NamedTuple):
    """A mounted hierarchy: where it is, the group that its top folder shows, its controllers (none in version 2)."""

    path: Path
    root: str
    controllers: frozenset[str]


def cpu_quota() -> float | None:
    """Return how many processors' time the process may use; ``None`` without a quota."""
    quotas = [quota for folder in _levels("cpu") if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def memory_limit() -> int | None:
    """Return the bytes that the process may use together with all others of its groups; ``None`` without a limit."""
    limits = [limit for folder in _levels("memory") if (limit := _memory_limit(folder)) is not None]
    return min(limits, default=None)


def memory_free() -> int | None:
    """Return the bytes that the memory limits leave now; ``None`` without a limit.

    Cached file pages count as used, and the kernel gives them back on demand.
    """
    free = []
    for folder in _levels("memory"):
        limit = _memory_limit(folder)
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
        if limit is None or used is None:
            continue
        kept = dict(line.split(maxsplit=1) for line in system.read(folder / "memory.stat").splitlines() if " " in line)
        cached = kept.get("total_inactive_file", kept.get("inactive_file", "0"))
        free.append(max(0, limit - used + (int(cached) if cached.isdigit() else 0)))
    return min(free, default=None)


def throttled_periods() -> int:
    """Return in how many periods a quota has held a group of this process back, since the group was made."""
    counts = []
    for folder in _levels("cpu"):
        for line in system.read(folder / "cpu.stat").splitlines():
            name, _, count = line.partition(" ")
            if name == "nr_throttled" and count.strip().isdigit():
                counts.append(int(count))
    return max(counts, default=0)


def _levels(controller: str) -> Iterator[Path]:
    """Yield the folder of each group that this process is in, of the hierarchies with a controller, innermost first."""
    for mount in _mounts():
        if mount.controllers and controller not in mount.controllers:
            continue
        group = _group(mount, controller)
        if mount.root != "/" and group.startswith(mount.root):
            group = group[len(mount.root) :]
        folder = mount.path / group.strip("/")
        if ".." in group or not folder.is_dir():  # a group outside this namespace: the top is all that can be seen
            folder = mount.path
        yield folder
        yield from (parent for parent in folder.parents if parent.is_relative_to(mount.path))


def _group(mount: Mount, controller: str) -> str:
    """Return the path of this process's group in a hierarchy."""
    for line in system.read(system.PROC / "self" / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (controller in controllers.split(",")) if mount.controllers else (number == "0" and not controllers):
            return path
    return "/"


def _mounts() -> list[Mount]:
    """Return the mounted hierarchies; where nothing is said, version 2 at its usual place."""
    mounts = []
    for line in system.read(system.PROC / "self" / "mountinfo").splitlines():
        fields, _, rest = line.partition(" - ")
        places, kind = fields.split()[3:5], rest.split()
        if len(places) == 2 and kind[:1] in (["cgroup"], ["cgroup2"]):
            controllers = frozenset(kind[-1].split(",")) if kind[0] == "cgroup" else frozenset()
            mounts.append(Mount(Path(places[1]), places[0], controllers))
    return mounts or [Mount(system.SYS / "fs" / "cgroup", "/", frozenset())]


def _quota(folder: Path) -> float | None:
    """Return the quota of one group, in processors."""
    words = system.read(folder / "cpu.max").split() or [
        system.read(folder / "cpu.cfs_quota_us"),
        system.read(folder / "cpu.cfs_period_us"),
    ]
    try:
        quota, period = float(words[0]), float(words[1])
    except (ValueError, IndexError):  # "max", or not there
        return None
    return quota / period if quota > 0 and period > 0 else None


def _memory_limit(folder: Path) -> int | None:
    limit = _number(folder / "memory.max")
    limit = _number(folder / "memory.limit_in_bytes") if limit is None else limit
    return limit if limit is not None and limit < UNLIMITED else None


def _number(path: Path) -> int | None:
    text = system.read(path)
    return int(text) if text.isdigit() else None
