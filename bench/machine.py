"""The machine's fingerprint, and what must match before two results may be compared.

Only facts of the machine and its software stand here; what one process observed is in `bench.measure.receipt`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import platform
import re
import shutil
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

NOTABLE_FEATURES = (
    "sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile",
    "asimd", "asimdhp", "sve", "sve2", "bf16",
)  # fmt: skip

SAME_CONDITIONS = ("receipt_products", "threads", "receipt_cpu_model", "receipt_cpu_features", "receipt_cores")
"""Must be equal between backends of one comparison."""

SAME_EXPERIMENT = (
    *SAME_CONDITIONS,
    "machine",
    "receipt_python",
    "receipt_numpy",
    "receipt_framework",
    "receipt_blas",
    "receipt_threading_layer",
    "receipt_governor",
)
"""Must be equal for one backend between two runs, lest a change of the machine pass for one of the code."""


@functools.cache
def fingerprint() -> dict[str, Any]:
    """Return what this machine is: processor, its features, cores, memory, accelerators, system, Python."""
    return {
        "cpu_model": cpu_model(),
        "cpu_features": " ".join(cpu_features()),
        "cores": len(physical_cores()),
        "logical_cpus": os.cpu_count() or 1,
        "memory_bytes": memory_bytes(),
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
    lasting = (facts["cpu_model"], facts["cpu_features"], facts["cores"], facts["logical_cpus"], facts["architecture"])
    memory_gib = round(facts["memory_bytes"] / 2**30 / 2)  # to 2 GiB: kernels keep back a little, not always the same
    digest = hashlib.sha256(repr((*lasting, memory_gib, facts["accelerators"])).encode()).hexdigest()[:6]
    words = re.sub(r"\(.*?\)|@.*|\b(cpu|processor|\d+-core)\b", " ", facts["cpu_model"], flags=re.IGNORECASE)
    name = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:32] or "cpu"
    return f"{facts['cores']}x-{name}-{digest}"


def differences(
    a: Mapping[str, Any], b: Mapping[str, Any], fields: Iterable[str] = SAME_EXPERIMENT
) -> dict[str, tuple[Any, Any]]:
    """Return the fields that differ between two rows or receipts, with both values; one that neither has is equal."""
    return {field: (a.get(field), b.get(field)) for field in fields if _text(a.get(field)) != _text(b.get(field))}


def cpu_model() -> str:
    """Return the processor's name."""
    for key in ("model name", "Model", "Hardware", "cpu model"):
        if value := _cpuinfo().get(key):
            return value
    if platform.system() == "Darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    return platform.processor() or platform.machine()


def cpu_features() -> tuple[str, ...]:
    """Return those of the processor's features that numerical code is written for."""
    flags = set((_cpuinfo().get("flags") or _cpuinfo().get("Features") or "").split())
    return tuple(feature for feature in NOTABLE_FEATURES if feature in flags)


def physical_cores() -> tuple[int, ...]:
    """Return one logical processor of each physical core that this process may use."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    first: dict[str, int] = {}
    for cpu in sorted(usable):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        first.setdefault(siblings.read_text().strip() if siblings.exists() else str(cpu), cpu)
    return tuple(first.values())


def cpus_for(threads: int) -> tuple[int, ...]:
    """Return the logical processors for a number of threads: a core each, the last ones; interrupts like the first.

    With as many threads as cores, or more, all that this process may use: nothing is to be kept away from them.
    """
    cores = physical_cores()
    if threads < len(cores):
        return cores[-threads:]
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else cores


def start_on(cpu: int, cpus: Sequence[int]) -> None:
    """Move the calling thread to one of some processors, the other threads of its process to the rest, and let all go.

    Where two threads that compute share a processor, the kernel takes some ten milliseconds to notice: a step that
    takes 4.7 ms on two cores took 8.6 ms in a third of the turns that moved the calling thread alone. A thread that its
    framework bound to a processor stays there; a system without affinity moves none.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    own = threading.get_native_id()
    others = itertools.cycle([one for one in cpus if one != cpu] or [cpu])
    free = [thread for thread in map(int, os.listdir("/proc/self/task")) if _processors(thread) == set(cpus)]
    for thread in free:
        _bind(thread, [cpu if thread == own else next(others)])
    for thread in free:
        _bind(thread, cpus)


def _processors(thread: int) -> set[int]:
    """Return the processors that a thread may use; none where it has ended."""
    try:
        return os.sched_getaffinity(thread)
    except OSError:
        return set()


def _bind(thread: int, cpus: Sequence[int]) -> None:
    with contextlib.suppress(OSError):  # it has ended
        os.sched_setaffinity(thread, cpus)


def memory_bytes() -> int:
    """Return the machine's memory, or the control group's limit where that is less."""
    import psutil

    total = int(psutil.virtual_memory().total)
    limits = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
    for limit in limits:
        if limit.exists() and (text := limit.read_text().strip()).isdigit():
            return min(total, int(text))
    return total


def accelerators() -> list[str]:
    """Return the names of NVIDIA devices, as their driver tells them."""
    if not shutil.which("nvidia-smi"):
        return []
    return [line.strip() for line in _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()]


def governor() -> str:
    """Return how the processor chooses its frequency, where the system says so."""
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text().strip() if path.exists() else ""


def commit() -> tuple[str, bool]:
    """Return the commit of this checkout and whether files differ from it; ``("", False)`` outside a checkout."""
    folder = str(Path(__file__).parent)
    revision = _output("git", "-C", folder, "rev-parse", "--short=12", "HEAD").strip()
    changed = _output("git", "-C", folder, "status", "--porcelain", "--untracked-files=no", ":/backends", ":/bench")
    return revision, bool(revision and changed.strip())


@functools.cache
def _cpuinfo() -> dict[str, str]:
    """Return the first processor's entries of ``/proc/cpuinfo``."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    lines = (line.partition(":") for line in path.read_text(errors="replace").split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in lines}


def _output(*command: str) -> str:
    """Return what a command prints, '' where it cannot be run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _text(value: Any) -> str:
    """Return a value as text, so that a number read from a table equals the same one read from JSON."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
