"""What this machine is: the fingerprint of its hardware and software, and the id made of what lasts."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shutil
from typing import Any

from bench.machine import control_groups, system
from bench.machine.processors import efficiency_cpus, performance_cores, physical_cores, threads_per_core
from bench.machine.system import cpu_info, output, read

NOTABLE_FEATURES = (
    "sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile",
    "asimd", "asimdhp", "sve", "sve2", "bf16",
)  # fmt: skip

LASTING = (
    "cpu_model", "cpu_family", "cpu_model_number", "cpu_stepping", "cpu_features", "caches", "cores",
    "threads_per_core", "logical_cpus", "architecture", "hypervisor", "accelerators",
)  # fmt: skip
"""The parts of the fingerprint that the id is made of, with the memory. A name alone is no identity: cloud providers
give processors of several generations the same one."""


@functools.cache
def fingerprint() -> dict[str, Any]:
    """Return what this machine is: processor, caches, cores, limits, memory, accelerators, system, Python."""
    info = cpu_info()
    quota = control_groups.cpu_quota()
    return {
        "cpu_model": cpu_model(),
        "cpu_family": info.get("cpu family") or info.get("CPU architecture", ""),
        "cpu_model_number": info.get("model") or info.get("CPU part", ""),
        "cpu_stepping": info.get("stepping") or info.get("CPU revision", ""),
        "cpu_features": " ".join(cpu_features()),
        "caches": caches(),
        "cores": len(physical_cores()),
        "performance_cores": len(performance_cores()),
        "threads_per_core": threads_per_core(),
        "logical_cpus": os.cpu_count() or 1,
        "hybrid": bool(efficiency_cpus()),
        "cpu_quota": round(quota, 3) if quota is not None else None,
        "memory_bytes": memory_bytes(),
        "memory_limit_bytes": control_groups.memory_limit(),
        "hypervisor": hypervisor(),
        "accelerators": accelerators(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "governor": governor(),
        "python": platform.python_version(),
    }


@functools.cache
def machine_id() -> str:
    """Return a readable name and a short hash of what does not change from day to day, such as ``2x-xeon-9f3a21``."""
    facts = fingerprint()
    memory_gib = round(facts["memory_bytes"] / 2**30 / 2)  # to 2 GiB: kernels keep back a little, not always the same
    lasting = (*(facts[name] for name in LASTING), memory_gib)
    digest = hashlib.sha256(repr(lasting).encode()).hexdigest()[:6]
    words = re.sub(r"\(.*?\)|@.*|\b(cpu|processor|\d+-core)\b", " ", facts["cpu_model"], flags=re.IGNORECASE)
    name = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:32] or "cpu"
    return f"{facts['cores']}x-{name}-{digest}"


def cpu_model() -> str:
    """Return the processor's name."""
    info = cpu_info()
    for key in ("model name", "Model", "Hardware", "cpu model"):
        if value := info.get(key):
            return value
    if platform.system() == "Darwin":
        return output("sysctl", "-n", "machdep.cpu.brand_string").strip() or platform.machine()
    return platform.processor() or platform.machine()


def cpu_features() -> tuple[str, ...]:
    """Return those of the processor's features that numerical code is written for."""
    info = cpu_info()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    return tuple(feature for feature in NOTABLE_FEATURES if feature in flags)


def caches() -> str:
    """Return the caches of the first usable core, as ``L1d 32K, L1i 32K, L2 1024K, L3 32768K``."""
    folder = system.SYS / f"devices/system/cpu/cpu{system.usable_cpus()[0]}/cache"
    levels = []
    for index in range(8):
        level, kind, size = (read(folder / f"index{index}" / name) for name in ("level", "type", "size"))
        if level and size:
            letter = {"Data": "d", "Instruction": "i"}.get(kind, "")
            levels.append(f"L{level}{letter} {size}")
    return ", ".join(sorted(levels)) or cpu_info().get("cache size", "")


def hypervisor() -> str:
    """Return what this machine runs on, as far as it says: vendor and product of a virtual machine; '' for hardware."""
    if "hypervisor" not in cpu_info().get("flags", "").split() and not read(system.SYS / "hypervisor" / "type"):
        return ""
    names = [read(system.SYS / "class/dmi/id" / name) for name in ("sys_vendor", "product_name")]
    kind = read(system.SYS / "hypervisor" / "type")
    return " ".join(filter(None, [kind, *names])) or "virtual"


def memory_bytes() -> int:
    """Return the machine's memory, or the control group's limit if that is less."""
    import psutil

    try:
        total = int(psutil.virtual_memory().total)
    except (OSError, RuntimeError, ValueError, KeyError):  # /proc is empty or not readable
        total = _pages()
    limit = control_groups.memory_limit()
    return total if limit is None else min(total, limit) if total else limit


def accelerators() -> list[str]:
    """Return the names of NVIDIA devices, as their driver tells them."""
    if not shutil.which("nvidia-smi"):
        return []
    return [line.strip() for line in output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()]


def governor() -> str:
    """Return how the processor chooses its frequency, if the system says so."""
    return read(system.SYS / "devices/system/cpu/cpu0/cpufreq/scaling_governor")


def _pages() -> int:
    """Return the machine's memory as the C library knows it; 0 if it does not."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0
