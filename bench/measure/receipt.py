"""The fairness receipt of one process: conditions as the process observed them, not as they were declared.

No timing here; `bench.measure.timing` gives CPU time and switches of the rounds.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

from backends import Backend, tuned
from bench.machine import control_groups, fingerprint
from bench.measure.failures import told

THROTTLED_BEFORE = control_groups.throttled_periods()
"""Periods in which a quota had held the control group back when this process began."""

FACTS = (
    "cpu_model", "cpu_features", "cores", "threads_per_core", "hybrid", "cpu_quota", "memory_bytes",
    "memory_limit_bytes", "hypervisor", "system", "governor",
)  # fmt: skip
"""The parts of the machine's fingerprint that a receipt repeats."""


def observe(backend: Backend, commit: str, dirty: bool, variables: str) -> dict[str, Any]:
    """Return the receipt's fields, each to become a column ``receipt_<field>``.

    Args:
        backend: one that has computed something, so that its thread pools are there.
        commit: of the checkout, as the campaign found it.
        dirty: whether files differed from it.
        variables: of the environment, that change speed, as the campaign was given them; a framework may add its own.
    """
    facts = fingerprint()
    said = described(backend)
    pools = _pools()
    observed = [pool["num_threads"] for pool in pools] + ([said["threads"]] if "threads" in said else [])
    return {
        **said,
        "products": said.get("products", backend.capabilities.products),
        "framework": str(said.get("framework") or said.get("version") or f"numpy {np.__version__}"),
        "threads_observed": max((int(count) for count in observed), default=1),
        "pools": "; ".join(sorted({f"{pool['prefix']} {pool['num_threads']}" for pool in pools})),
        "blas": "; ".join(sorted({_version(pool) for pool in pools if pool["user_api"] == "blas"})),
        "threading_layer": said.get("threading_layer")
        or "; ".join(sorted({str(pool.get("threading_layer", pool["prefix"])) for pool in pools})),
        "os_threads": _os_threads(),
        "affinity": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device_name": said.get("device_name", facts["cpu_model"] if backend.device == "cpu" else ""),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "commit": commit,
        "dirty": dirty,
        **{key: _flat(facts[key]) for key in FACTS},
        "accelerators": "; ".join(facts["accelerators"]),
        "environment": variables,
        "tuned": tuned.as_text(),
        "throttled_periods": control_groups.throttled_periods() - THROTTLED_BEFORE,
    }


def described(backend: Backend) -> dict[str, Any]:
    """Return what a backend says of itself; if it fails to, the receipt says why."""
    try:
        return dict(backend.describe())
    except Exception as error:
        return {"describe_fault": told(error)}


def steal_s() -> float:
    """Return the seconds that the hypervisor gave to others since start-up, all cores together."""
    try:
        return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0


def load_average() -> float:
    """Return the machine's load over one minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def peak_bytes() -> int:
    """Return the peak resident memory of this process.

    Linux's ``ru_maxrss`` would do less well: it starts from what the parent process used.
    """
    status = Path("/proc/self/status")
    if status.exists() and (line := re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)):
        return int(line[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _flat(value: Any) -> Any:
    """Return a fact as a value of a table: '' for none."""
    return "" if value is None else value


def _pools() -> list[dict[str, Any]]:
    """Return the pools of BLAS and OpenMP libraries in this process; XLA's and numba's own are invisible here."""
    from threadpoolctl import threadpool_info

    return list(threadpool_info())


def _version(pool: dict[str, Any]) -> str:
    """Return library, version and kernel of a BLAS."""
    return " ".join(str(pool[key]) for key in ("internal_api", "version", "architecture") if pool.get(key))


def _os_threads() -> int:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 0
