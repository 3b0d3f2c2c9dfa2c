"""What a machine is, and when two machines have one id."""

from __future__ import annotations

import re

import pytest

from bench import machine
from bench.machine import identity, system

CPU = """processor : 0
model name : AMD EPYC
cpu family : {family}
model : {model}
stepping : {stepping}
flags : avx2 avx512f hypervisor

processor : 1
"""


def test_the_machine_id_is_readable_and_stays():
    """The id is made of cores, name and a hash, fit for a folder, and does not change with the hour."""
    assert re.fullmatch(r"\d+x-[a-z0-9-]+-[0-9a-f]{6}", machine.machine_id())
    first = machine.machine_id()
    machine.fingerprint.cache_clear()
    machine.machine_id.cache_clear()
    assert machine.machine_id() == first


def test_the_fingerprint_is_complete():
    """Processor, cores and memory are known here."""
    facts = machine.fingerprint()
    assert facts["cpu_model"]
    assert 1 <= facts["cores"] <= facts["logical_cpus"]
    assert facts["memory_bytes"] > 1 << 28


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("proc/cpuinfo", CPU.format(family=26, model=17, stepping=1)),
        ("proc/cpuinfo", CPU.format(family=25, model=2, stepping=1)),
        ("proc/cpuinfo", CPU.format(family=25, model=17, stepping=0)),
        ("sys/devices/system/cpu/cpu0/cache/index2/size", "2048K"),
        ("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0-1"),
        ("sys/class/dmi/id/sys_vendor", "Another Cloud"),
    ],
)
def test_processors_of_one_name_are_told_apart(pretend, cpus, file, text):
    """Family, model, stepping, cache sizes, threads a core and the hypervisor each change the id."""
    cpus(2)
    alike = {
        "proc/cpuinfo": CPU.format(family=25, model=17, stepping=1),
        "sys/devices/system/cpu/cpu0/cache/index2/level": "2",
        "sys/devices/system/cpu/cpu0/cache/index2/type": "Unified",
        "sys/devices/system/cpu/cpu0/cache/index2/size": "1024K",
    }
    pretend(alike)
    first = machine.machine_id()
    pretend(alike)
    assert machine.machine_id() == first
    pretend({file: text})
    assert machine.machine_id() != first


def test_an_empty_proc_and_sys_are_answered_with_what_is_known(pretend, cpus, monkeypatch):
    """Without ``/proc`` and ``/sys``, and without memory figures, the fingerprint is there, less what they say."""

    def no_memory():
        raise FileNotFoundError("/proc/meminfo")

    import psutil

    cpus(1)
    monkeypatch.setattr(psutil, "virtual_memory", no_memory)
    pretend({"proc/cpuinfo": ""})
    facts = machine.fingerprint()
    assert (facts["caches"], facts["hypervisor"], facts["cores"]) == ("", "", 1)
    assert facts["memory_bytes"] > 0
    assert re.fullmatch(r"1x-[a-z0-9-]+-[0-9a-f]{6}", machine.machine_id())


def test_the_memory_is_the_containers_where_it_has_less(pretend):
    """A limit of the control group counts as the machine's memory."""
    pretend({"sys/fs/cgroup/memory.max": "1048576\n"})
    assert identity.memory_bytes() == 1 << 20


@pytest.mark.parametrize(("text", "numbers"), [("0-2,5\n", (0, 1, 2, 5)), ("", ()), ("x-y", ()), ("3", (3,))])
def test_lists_of_processors_are_read(text, numbers):
    """Ranges and single numbers are read; what is no list gives none."""
    assert system.cpu_list(text.strip()) == numbers
