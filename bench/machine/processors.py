"""Which processors a measurement may use, how many threads are the default, and binding threads to processors."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Sequence

from bench.machine import control_groups, system
from bench.machine.system import cpu_list, read, usable_cpus

SLOW_CORE = 0.75
"""A core below this share of the fastest core's capacity or frequency is an efficiency core."""


def physical_cores() -> tuple[int, ...]:
    """Return one logical processor of each physical core that this process may use, efficiency cores first."""
    first: dict[str, int] = {}
    for cpu in usable_cpus():
        first.setdefault(_siblings(cpu), cpu)
    efficient = efficiency_cpus()
    return tuple(sorted(first.values(), key=lambda cpu: (cpu not in efficient, cpu)))


def performance_cores() -> tuple[int, ...]:
    """Return those of `physical_cores` that are not efficiency cores."""
    efficient = efficiency_cpus()
    return tuple(cpu for cpu in physical_cores() if cpu not in efficient)


def efficiency_cpus() -> frozenset[int]:
    """Return the logical processors of a hybrid processor's slower cores; none if all are alike."""
    usable = usable_cpus()
    atoms = frozenset(cpu_list(read(system.SYS / "devices" / "cpu_atom" / "cpus"))) & set(usable)
    if not atoms:
        for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
            texts = {cpu: read(system.SYS / f"devices/system/cpu/cpu{cpu}" / name) for cpu in usable}
            if all(text.isdigit() for text in texts.values()):
                most = max(map(int, texts.values()))
                atoms = frozenset(cpu for cpu, text in texts.items() if int(text) < SLOW_CORE * most)
                break
    return atoms if len(atoms) < len(usable) else frozenset()


def threads_per_core() -> int:
    """Return how many logical processors share a core."""
    return max(1, len(cpu_list(_siblings(usable_cpus()[0]))))


def default_threads() -> int:
    """Return the number of threads to use unless told: the performance cores, or fewer if a quota allows less."""
    quota = control_groups.cpu_quota()
    cores = len(performance_cores())
    return cores if quota is None else max(1, min(cores, int(quota)))


def thread_counts(most: int | None = None) -> tuple[int, ...]:
    """Return the numbers of threads worth trying: powers of two from 1, and all; at most ``most``."""
    most = most or default_threads()
    return tuple(sorted({1 << power for power in range(most.bit_length()) if 1 << power <= most} | {most}))


def cpus_for(threads: int) -> tuple[int, ...]:
    """Return the logical processors for a number of threads: a core each, the last ones; interrupts like the first.

    For as many threads as performance cores these are all of those cores, and for more all that this process may use.
    """
    fast = performance_cores()
    if threads < len(fast):
        return fast[-threads:]
    efficient = efficiency_cpus()
    return tuple(cpu for cpu in usable_cpus() if threads > len(fast) or cpu not in efficient)


def start_on(cpu: int, cpus: Sequence[int]) -> None:
    """Move the calling thread to one of some processors, the other threads of its process to the rest, and let all go.

    If two computing threads share a processor, the kernel takes some ten milliseconds to notice, which a short turn
    would count as the backend's time. A thread that its framework bound to a processor stays there; a system without
    affinity moves none.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    calling = threading.get_native_id()
    others = itertools.cycle([other for other in cpus if other != cpu] or [cpu])
    try:
        threads = [int(name) for name in os.listdir("/proc/self/task")]
    except OSError:
        return
    free = [thread for thread in threads if _processors(thread) == set(cpus)]
    for thread in free:
        _bind(thread, [cpu if thread == calling else next(others)])
    for thread in free:
        _bind(thread, cpus)


def _siblings(cpu: int) -> str:
    """Return the list of the logical processors on the core of one of them."""
    return read(system.SYS / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu)


def _processors(thread: int) -> set[int]:
    """Return the processors that a thread may use; none if it has ended."""
    try:
        return os.sched_getaffinity(thread)
    except OSError:
        return set()


def _bind(thread: int, cpus: Sequence[int]) -> None:
    with contextlib.suppress(OSError):  # it has ended
        os.sched_setaffinity(thread, cpus)
