"""Share a host's processors out among its ranks, and tell the libraries how many threads are theirs.

A launcher may bind its ranks or not, and torchrun sets OMP_NUM_THREADS=1, which some libraries read and others do not.
Ranks that all compute with all processors slow each other down.

Tests: `tests/backends/ranks/test_cores.py`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

LOG = logging.getLogger("backends.ranks")
BOOT = Path("/proc/sys/kernel/random/boot_id")
TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


class Place(NamedTuple):
    """Where a rank runs: its host's name, the kernel's identity, and the processors that it may use."""

    host: str
    kernel: str
    cpus: tuple[int, ...]

    def __str__(self) -> str:
        return json.dumps(self)

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read what ``str`` wrote."""
        host, kernel, cpus = json.loads(text)
        return cls(host, kernel, tuple(cpus))


def place() -> Place:
    """Return where this process runs. Containers of one kernel share its processors, whatever their host names."""
    host = socket.gethostname()
    kernel = BOOT.read_text().strip() if BOOT.exists() else host
    return Place(host, kernel, usable_cpus())


def usable_cpus() -> tuple[int, ...]:
    """Return the processors that this process may use, those of one core next to each other."""
    if not hasattr(os, "sched_getaffinity"):
        return tuple(range(os.cpu_count() or 1))
    return tuple(sorted(os.sched_getaffinity(0), key=lambda cpu: (_core(cpu), cpu)))


@contextlib.contextmanager
def unbound() -> Iterator[None]:
    """Let this thread use every processor inside the block, so that a bound rank sees the whole machine."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    bound = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # those of its container: the system leaves the others out
    try:
        yield
    finally:
        os.sched_setaffinity(0, bound)


def share_of(rank: int, places: Sequence[Place]) -> tuple[int, ...]:
    """Return the processors for one rank: its part of those that it shares with other ranks of its host.

    A rank that its launcher bound to processors of its own keeps them. Ranks that share some but not the same
    processors, and more ranks than processors, keep what they have.
    """
    mine, sharing = places[rank], _sharing(rank, places)
    same = all(set(places[other].cpus) == set(mine.cpus) for other in sharing)
    each = len(mine.cpus) // len(sharing)
    if not same or not each:
        return mine.cpus
    begin = sharing.index(rank) * each
    return mine.cpus[begin : begin + each]


def share_out(rank: int, places: Sequence[Place], asked: int | None = None) -> int:
    """Bind this process to its share, set every library's number of threads, and return that number.

    Args:
        rank: of this process.
        places: of all ranks.
        asked: number of threads that the user chose; by default one for each core of the share.
    """
    share = share_of(rank, places)
    sharing = _sharing(rank, places)
    if len(sharing) > len(places[rank].cpus) and rank == sharing[0]:
        LOG.warning(
            "%d ranks share %d processors and wait for each other's turns: start no more ranks than processors",
            len(sharing),
            len(places[rank].cpus),
        )
    if set(share) == set(places[rank].cpus):
        threads = max(1, _cores(share) // len(sharing))
    else:
        threads = _cores(share)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, share)
    use_threads(asked or threads)
    return asked or threads


def asked_threads(launcher: str) -> int | None:
    """Return what the user set OMP_NUM_THREADS to; torchrun sets it to 1 where nobody has set it."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    if not text.isdigit() or (launcher == "torchrun" and text == "1"):
        return None
    return int(text) or None


def use_threads(threads: int) -> None:
    """Set the number of threads of the libraries that are loaded, and of those that this process loads later."""
    from backends.blas import Blas

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        if name == "OMP_NUM_THREADS" or name in os.environ:
            os.environ[name] = str(threads)
    Blas().use(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
    if numba := sys.modules.get("numba"):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    else:
        os.environ["NUMBA_NUM_THREADS"] = str(threads)


def _sharing(rank: int, places: Sequence[Place]) -> list[int]:
    """Return the ranks, this one included, that may use some of this one's processors."""
    mine = places[rank]
    near = [other for other in range(len(places)) if places[other].kernel == mine.kernel]
    return [other for other in near if set(places[other].cpus) & set(mine.cpus)]


def _core(cpu: int) -> int:
    """Return the first processor of the core that a processor is part of."""
    try:
        text = Path(TOPOLOGY.format(cpu)).read_text()
    except OSError:
        return cpu
    return int(text.replace("-", ",").split(",")[0])


def _cores(cpus: Sequence[int]) -> int:
    return len({_core(cpu) for cpu in cpus})
