"""Which processors are used, and how many threads unless told."""

from __future__ import annotations

import os
import threading

import pytest

from bench import machine
from bench.machine import processors


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs processor affinity")
def test_threads_get_a_core_each():
    """Fewer threads than cores get as many processors; more get all."""
    usable = os.sched_getaffinity(0)
    for threads in range(1, len(machine.physical_cores())):
        assert len(machine.cpus_for(threads)) == threads
    assert set(machine.cpus_for(1)) <= usable
    assert set(machine.cpus_for(10_000)) == usable


@pytest.mark.parametrize("form", ["cpu_atom", "cpu_capacity", "cpuinfo_max_freq"])
def test_efficiency_cores_are_left_out(pretend, cpus, form):
    """Of two fast cores with two threads each and four slow ones, up to two threads run on fast cores alone."""
    cpus(8)
    core = "sys/devices/system/cpu/cpu{}/"
    pretend(
        {core.format(cpu) + "topology/thread_siblings_list": f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}" for cpu in range(4)}
    )
    assert machine.default_threads() == 6
    if form == "cpu_atom":
        pretend({"sys/devices/cpu_atom/cpus": "4-7", "sys/devices/cpu_core/cpus": "0-3"})
    for cpu in range(8):
        if form == "cpu_capacity":
            pretend({core.format(cpu) + form: "1024" if cpu < 4 else "446"})
        if form == "cpuinfo_max_freq":
            pretend(
                {core.format(cpu) + f"cpufreq/{form}": str(5_200_000 - 200_000 * (cpu // 2) if cpu < 4 else 3_800_000)}
            )
    assert machine.default_threads() == 2
    assert machine.cpus_for(1) == (2,)
    assert machine.cpus_for(2) == (0, 1, 2, 3)
    assert machine.cpus_for(3) == tuple(range(8))
    assert set(machine.physical_cores()) == {0, 2, 4, 5, 6, 7}


def test_cores_that_differ_little_in_frequency_are_all_used(pretend, cpus):
    """Cores of which some are preferred for turbo are no efficiency cores."""
    cpus(4)
    pretend(
        {
            f"sys/devices/system/cpu/cpu{cpu}/cpufreq/cpuinfo_max_freq": str(5_700_000 - 200_000 * cpu)
            for cpu in range(4)
        }
    )
    assert machine.default_threads() == 4


@pytest.mark.parametrize(
    ("quota", "threads"), [("150000 100000", 1), ("200000 100000", 2), ("50000 100000", 1), ("max 1", 4)]
)
def test_threads_default_to_what_the_quota_allows(pretend, cpus, quota, threads):
    """A quota of 1.5 processors gives one thread, of half a processor one, none all cores."""
    cpus(4)
    pretend({"sys/fs/cgroup/cpu.max": quota + "\n"})
    assert machine.default_threads() == threads


@pytest.mark.parametrize(("most", "counts"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))])
def test_thread_counts_are_powers_of_two_and_all(most, counts):
    """What is searched begins with 1 and ends with all."""
    assert machine.thread_counts(most) == counts


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processor affinity")
def test_a_turn_begins_with_threads_apart(monkeypatch):
    """The calling thread starts on the processor asked for, the others on the rest; a bound one stays."""
    cpus, own = (0, 1, 2), threading.get_native_id()
    may_use = {own: {0, 1, 2}, 11: {0, 1, 2}, 12: {0, 1, 2}, 13: {0, 1, 2}, 14: {2}}
    bound = []

    def of_thread(thread):
        if thread not in may_use:
            raise ProcessLookupError
        return may_use[thread]

    monkeypatch.setattr(os, "listdir", lambda _: [*map(str, may_use), "15"])
    monkeypatch.setattr(os, "sched_getaffinity", of_thread)
    monkeypatch.setattr(os, "sched_setaffinity", lambda thread, where: bound.append((thread, tuple(where))))
    machine.start_on(1, cpus)
    assert bound[:4] == [(own, (1,)), (11, (0,)), (12, (2,)), (13, (0,))]
    assert bound[4:] == [(thread, cpus) for thread in (own, 11, 12, 13)]


def test_affinity_that_cannot_be_read_leaves_the_processors_there_are(monkeypatch):
    """A refused or empty affinity mask is no traceback."""
    from bench.machine import system

    def refused(_):
        raise PermissionError

    monkeypatch.setattr(os, "sched_getaffinity", refused, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert system.usable_cpus() == (0,)
    assert processors.physical_cores()
