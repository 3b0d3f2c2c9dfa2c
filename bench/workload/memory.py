"""What a batch needs in memory and what the machine has left: one that would not fit is refused before it starts.

Call `check_memory` before the first array of a batch is made. The need is an estimate from above for any backend that
keeps the contract, not a measurement; nothing is allocated here.
"""

from __future__ import annotations

import os
import subprocess

import numpy as np
import psutil

from backends import Network
from bench.basics.errors import UsageError
from bench.basics.formats import format_bytes, format_count
from bench.machine import control_groups
from bench.workload.work import batch_bytes
from bench.workload.workload import Workload

UNBOUNDED = 1 << 62
SPARE = 0.9
"""The share of free memory that may be taken: other programs need the rest."""

PROCESS_BYTES = 384 << 20
"""Of a process with its framework at work, whatever the batch: numpy takes a seventh of it, torch and JAX most."""

SCRATCH_BYTES = 16 << 20
"""For the blocks that a backend keeps in cache, whatever the network."""

MOST_SCRATCH_BYTES = 144 << 20
"""No backend takes more for blocks that threads share, however many parameters there are."""

CHUNK_BYTES = 1 << 26
CHUNK_ROWS = 1 << 16
LEAST_CHUNK_ROWS = 1024
CHUNKS_HELD = 4
"""Chunks in memory at a time, at most."""


def chunk_rows(columns: int) -> int:
    """Return the rows of a chunk of a table, or of a batch that is read in chunks."""
    return min(CHUNK_ROWS, max(LEAST_CHUNK_ROWS, CHUNK_BYTES // (8 * columns)))


def need_bytes(workload: Workload | Network, batch: int, dtype: str = "float32") -> int:
    """Return the most bytes that any phase needs for ``batch`` rows.

    They are: X and Y on the host and placed; every layer's output on the tape, and three times as much for the backward
    pass; six copies of the parameters; and the scratch of sixteen blocks of 512 rows, each with two copies of the
    gradients and the error terms of its rows. With mini-batches the tape holds the rows of one mini-batch, and there is
    a shuffled copy of the placed batch.
    """
    of = Workload.of(workload)
    network = of.network
    itemsize = int(np.dtype(dtype).itemsize)
    tape = of.step_rows(batch) * sum(network.sizes[1:]) * itemsize
    parameters = network.parameter_count * itemsize * (1 + len(of.optimizer.moments))
    scratch = 16 * (2 * parameters + 512 * 3 * sum(network.sizes[1:]) * itemsize)
    scratch = min(SCRATCH_BYTES + scratch, MOST_SCRATCH_BYTES)
    copies = 3 if of.rows_per_step else 2
    return copies * batch_bytes(network, batch, dtype) + 4 * tape + 6 * parameters + scratch


def free_bytes(device: str = "cpu") -> int:
    """Return the bytes free for a batch: of the host, within its container's limit, or of the GPU where it has less."""
    limited = control_groups.memory_free()
    free = min(_available_bytes(), UNBOUNDED if limited is None else limited)
    return min(free, _gpu_free()) if device == "cuda" else free


def process_free_bytes() -> int:
    """Return the bytes that this process can still get: `free_bytes`, or less under a limit of its address space."""
    free = free_bytes()
    try:
        import resource

        limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return free
    return min([free, *(max(0, limit - used) for limit in limits if limit != resource.RLIM_INFINITY)])


def check_memory(
    workload: Workload | Network,
    batch: int,
    dtype: str = "float32",
    device: str = "cpu",
    arms: int = 1,
    free: int | None = None,
) -> None:
    """Return quietly when a batch fits.

    Args:
        workload: the network, and how it is trained.
        batch: rows.
        dtype: of X, Y and all that follows from them.
        device: ``"cpu"`` or ``"cuda"``.
        arms: processes that are alive at the same time, each with a copy of the batch.
        free: bytes free; by default `free_bytes`.

    Raises:
        UsageError: it does not; the message states the need, the free memory, and the most rows and processes that fit.
    """
    free = free_bytes(device) if free is None else free
    if lack := shortage(workload, batch, dtype, device, arms, free):
        remedy = _remedy(workload, batch, dtype, arms, SPARE * free)
        rows = f"{format_count(batch)} {'row' if batch == 1 else 'rows'}"
        raise UsageError(f"a batch of {rows} of network {workload} in {dtype} {lack}; {remedy}")


def shortage(workload: Workload | Network, batch: int, dtype: str, device: str, arms: int, free: int) -> str:
    """Return what a batch needs and what there is, '' where it fits; arguments as for `check_memory`."""
    need = arms * (PROCESS_BYTES + need_bytes(workload, batch, dtype))
    if need <= SPARE * free:
        return ""
    where = f" in {arms} processes at once" if arms > 1 else ""
    return f"needs {format_bytes(need)}{where}, and {format_bytes(SPARE * free)} are free on {device}"


def _remedy(workload: Workload | Network, batch: int, dtype: str, arms: int, free: float) -> str:
    """Return what would fit into ``free`` bytes, in words."""
    fixed = PROCESS_BYTES + need_bytes(workload, 0, dtype)
    a_row = need_bytes(workload, 1, dtype) - need_bytes(workload, 0, dtype)
    rows = max(0, int((free / arms - fixed) // a_row))
    processes = int(free // (PROCESS_BYTES + need_bytes(workload, batch, dtype)))
    fits = [f"{format_count(rows)} rows"] if rows else []
    fits += [f"{processes} of the processes (fewer backends)"] if processes else []
    return f"at most {' or '.join(fits)} fit" if fits else "close what else runs, or take a smaller network"


def _available_bytes() -> int:
    """Return the bytes that the system could give to a program now; no bound if it does not say."""
    try:
        return int(psutil.virtual_memory().available)
    except (OSError, RuntimeError, ValueError, KeyError):  # /proc is empty or not readable
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return UNBOUNDED


def _gpu_free() -> int:
    """Return the free bytes of the first GPU as its driver says; no bound where the driver cannot be asked."""
    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
        return int(answer.split()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return UNBOUNDED
