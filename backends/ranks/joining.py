"""Join the ranks that a launcher started: choose an engine, share the processors out, agree on versions.

Tests: `tests/backends/ranks/test_join.py`.
"""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from backends.errors import RanksError
from backends.installed import entry_points, install_command, is_installed
from backends.ranks.launch import Launch, launched
from backends.ranks.ranks import Alone, Ranks, say
from backends.ranks.watch import Watch

ENTRY_POINT_GROUP = "backprop_bench.engines"
ENGINES = {
    "mpi": ("mpi4py", "backends.ranks.mpi_ranks:MpiRanks"),
    "torch": ("torch", "backends.ranks.torch_ranks:TorchRanks"),
    "jax": ("jax", "backends.ranks.jax_ranks:JaxRanks"),
}
"""The module that each needs, and its class, of ``(launch, timeout_s)``."""
VERSIONS = ("backprop-bench", "numpy", "numba", "jax", "torch", "mpi4py")


def join(engine: str | None = None, timeout_s: float = 60.0) -> Ranks:
    """Return this process's place among the ranks that its launcher started; one alone if it started none.

    Understands mpiexec, mpirun, torchrun, srun, the variables RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, and JAX's.
    Each rank is bound to its share of the host's processors, unless the launcher has bound it, and every library gets
    as many threads; OMP_NUM_THREADS says otherwise.

    Args:
        engine: ``"mpi"``, ``"torch"``, ``"jax"``, an entry point of the group ``backprop_bench.engines``, or
            ``package.module:Class``; by default MPI if MPI launched, else torch, else JAX, whichever is installed.
        timeout_s: after which joining, and later each sum, ends this process instead of waiting on.

    Raises:
        RanksError: the launcher's word is incomplete or does not fit the engine, the others did not come or have other
            versions; the message says what to start.
    """
    if timeout_s <= 0:
        raise ValueError(f"timeout_s must be more than 0, got {timeout_s:g}")
    from backends.ranks.cores import Place, asked_threads, place, share_out

    launch = launched()
    if launch.size == 1:
        return Alone(timeout_s)
    kind = find_engine(engine or default_engine(launch))
    if launch.launcher == "torchrun":  # its store may carry an address: to import it is no wait for others
        importlib.import_module("torch.distributed")
    with Watch(launch.rank, timeout_s, _give_up(launch)):
        ranks = kind(launch, timeout_s)
    ranks.agree("versions", _versions())
    places = [Place.parse(text) for text in ranks.gather(str(place()))]
    ranks.hosts = len({known.host for known in places})
    ranks.threads = share_out(ranks.rank, places, asked_threads(launch.launcher))
    return ranks


def default_engine(launch: Launch) -> str:
    """Return the engine for a launcher: MPI, the fastest on CPUs, where it can join, else what is installed.

    Raises:
        RanksError: no engine is installed.
    """
    order = ("mpi", "torch", "jax") if launch.mpi else ("torch", "jax")
    for name in order:
        if is_installed(ENGINES[name][0]):
            return name
    raise RanksError(
        f"{launch.launcher} started {launch.size} ranks, and there is nothing to join them with: "
        f"{install_command('mpi' if launch.mpi else 'torch')}"
    )


def find_engine(name: str) -> Callable[[Launch, float], Ranks]:
    """Return the class of an engine; its constructor joins, within a number of seconds.

    Raises:
        RanksError: no engine has that name, or what it needs is not installed.
        TypeError: the name leads to something that is no subclass of `Ranks`.
    """
    module, target = ENGINES.get(name, ("", name))
    if module and not is_installed(module):
        raise RanksError(f"engine {name!r} is unavailable: No module named {module!r}; {install_command(name)}")
    if ":" not in target:
        points = {point.name: point.value for point in entry_points(ENTRY_POINT_GROUP)}
        if target not in points:
            known = ", ".join([*ENGINES, *points])
            raise RanksError(f"no engine {name!r}; known: {known}, or package.module:Class")
        target = points[target]
    module, _, attribute = target.partition(":")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise RanksError(f"engine {name!r} is unavailable: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Ranks)):
        raise TypeError(f"engine {name!r} must be a subclass of backends.ranks.Ranks, got {kind!r}")
    return kind


def _give_up(launch: Launch) -> Callable[[RanksError], NoReturn]:
    """Return what ends this process when the others do not come."""

    def end(error: RanksError) -> NoReturn:
        say(launch.rank, launch.size, RanksError(f"joining by {launch.launcher}: {error}"))
        os._exit(1)

    return end


def _versions() -> str:
    """Return the versions of what computes here, without importing it."""
    from importlib.metadata import PackageNotFoundError, version

    known = []
    for name in VERSIONS:
        with suppress(PackageNotFoundError):
            known.append(f"{name} {version(name)}")
    return ", ".join((f"Python {platform.python_version()}", *known))
