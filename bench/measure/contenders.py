"""Which backends a measurement is of: those asked for, or all that are here and have what is to be measured.

Tests: `tests/bench/cli/test_run.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import backends
from backends.installed import is_installed
from backends.registry import unknown
from bench.basics.errors import UsageError
from bench.machine import accelerators, physical_cores
from bench.workload import Workload

if TYPE_CHECKING:
    from backends.registry import Entry

GPU_DEVICE = Path("/dev/nvidia0")


def named(
    names: Sequence[str], dtypes: Sequence[str], devices: Sequence[str], workloads: Sequence[Workload] = ()
) -> tuple[str, ...]:
    """Return backends asked for by name, each of which can be imported and has every dtype, device and workload.

    A ``package.module:Class`` is asked in its own process only.

    Raises:
        UsageError: no such backend, or it lacks a dtype, device or workload; says which it has.
        BackendUnavailable: its framework is not installed; says which command helps.
    """
    check_devices(devices)
    known = {entry.name: entry for entry in backends.catalogue()}
    for name in names:
        if not name.isprintable():
            raise UsageError(f"no backend {name!a}; known: {', '.join(known)}, or package.module:Class")
        if name in known:
            if reason := known[name].missing():
                raise backends.BackendUnavailable(f"backend {name!r} is unavailable: {reason}; {known[name].remedy}")
            if lack := _lacks(known[name], dtypes, devices) or lacking(known[name], workloads):
                raise UsageError(
                    f"backend {name!r} {lack}; measure it in a separate run, or leave it out of --backends"
                )
        elif ":" not in name:
            raise UsageError(unknown(name))
        elif not is_installed(module := name.partition(":")[0]):
            raise UsageError(f"backend {name!r}: there is no module {module!r}; is its folder in PYTHONPATH?")
    return tuple(names)


def present(
    dtypes: Sequence[str], devices: Sequence[str], workloads: Sequence[Workload] = ()
) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Return the backends that are here and have every dtype, device and workload, and each other with the reason.

    Raises:
        UsageError: none has.
    """
    check_devices(devices)
    here, without = [], []
    for entry in backends.catalogue("best", "plugin"):
        if reason := entry.missing():
            without.append((entry.name, f"{reason}; {entry.remedy}"))
        elif lack := _lacks(entry, dtypes, devices) or lacking(entry, workloads):
            without.append((entry.name, f"it {lack}"))
        else:
            here.append(entry.name)
    if not here:
        raise UsageError(f"no backend has {', '.join((*dtypes, *devices))}: {'; '.join(map(': '.join, without))}")
    return tuple(here), without


def lacking(entry: Entry, workloads: Sequence[Workload]) -> str:
    """Return what an installed backend does not have of some workloads, '' if it has all.

    Every tuned one of ours has all, and every backend has the usual one, so few are imported to ask.
    """
    unusual = [workload for workload in workloads if not workload.is_usual]
    if not unusual or (entry.role == "best" and entry in backends.BUILT_IN):
        return ""
    offered = backends.find(entry.name).capabilities
    return next(filter(None, (workload.lacking(offered) for workload in unusual)), "")


def check_threads(threads: Sequence[int]) -> None:
    """Return quietly when this process may use this many cores.

    Raises:
        UsageError: it may not.
    """
    cores = len(physical_cores())
    if max(threads) > cores:
        raise UsageError(f"--threads {max(threads)}: this process may use {cores} cores; ask for at most {cores}")


def check_devices(devices: Sequence[str]) -> None:
    """Return quietly when each device is here, as far as can be seen without a framework.

    Raises:
        UsageError: one is not.
    """
    if "cuda" in devices and not (accelerators() or GPU_DEVICE.exists()):
        raise UsageError("no NVIDIA GPU is seen here, so nothing can be measured on cuda; ask for cpu instead")


def _lacks(entry: Entry, dtypes: Sequence[str], devices: Sequence[str]) -> str:
    """Return what a backend does not have, '' if it has all.

    On the CPU those of ours that have it have all, and none is imported to ask.
    """
    if lacking := [name for name in devices if name not in entry.devices]:
        return f"has no device {lacking[0]!r}, only {', '.join(entry.devices)}"
    if set(devices) <= {"cpu"}:
        return ""
    offered = backends.find(entry.name).capabilities
    for what, asked, known in (("dtype", dtypes, offered.dtypes), ("device", devices, offered.devices)):
        if lacking := [name for name in asked if name not in known]:
            return f"has no {what} {lacking[0]!r}, only {', '.join(known)}"
    return ""
