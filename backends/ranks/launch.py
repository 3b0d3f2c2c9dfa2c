"""What the launcher of this process said in its environment: rank, size, and where rank 0 is. Joins nothing.

Tests: `tests/backends/ranks/test_launch.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from backends.errors import RanksError

MEETING = ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
BATCH_STEP = 0xFFFFFF00
"""SLURM numbers the steps of batch scripts and of allocations, which started no ranks, from here on."""


@dataclass(frozen=True)
class Launch:
    """One launcher's word.

    Attributes:
        launcher: ``"torchrun"``, ``"mpirun"`` (Open MPI), ``"mpiexec"`` (MPICH and others), ``"variables"`` (RANK and
            the rest, set by hand), ``"jax"`` (JAX's own variables), ``"srun"`` or ``"none"``.
        rank, size: of this process and of all.
        local_rank, local_size: on this host; ``None`` if the launcher does not say.
        address, port: where rank 0 can be met; ``None`` if the launcher does not say.
        mpi: whether MPI can join by this launcher: it is an MPI's own, or serves MPI's process manager.
    """

    launcher: str = "none"
    rank: int = 0
    size: int = 1
    local_rank: int | None = None
    local_size: int | None = None
    address: str | None = None
    port: int | None = None
    mpi: bool = False


def launched(environment: Mapping[str, str] | None = None) -> Launch:
    """Return who launched this process; one rank alone if nobody did.

    Raises:
        RanksError: a launcher said half of what is needed, or two launchers disagree.
    """
    env = os.environ if environment is None else environment
    words = [word for read in (_torchrun, _mpirun, _mpiexec, _variables, _jax, _srun) if (word := read(env))]
    for word in words:
        if not 0 <= word.rank < word.size:
            raise RanksError(f"{word.launcher} says rank {word.rank} of {word.size}: ranks count from 0")
    several = [word for word in words if word.size > 1] or words
    if len({(word.rank, word.size) for word in several}) > 1:
        said = "; ".join(f"{word.launcher}: rank {word.rank} of {word.size}" for word in several)
        raise RanksError(f"two launchers disagree ({said}): start through one of them, or unset the other's variables")
    return several[0] if several else Launch()


def first_host(nodes: str) -> str | None:
    """Return the first host of a SLURM list: ``node07`` of ``node[07-12,15]``, ``a`` of ``a,b``."""
    head, bracket, rest = nodes.partition("[")
    if not bracket or "," in head:
        return nodes.split(",")[0] or None
    inside, _, tail = rest.partition("]")
    return head + inside.split(",")[0].split("-")[0] + tail.split(",")[0]


def _torchrun(env: Mapping[str, str]) -> Launch | None:
    return _by_variables("torchrun", env) if env.get("TORCHELASTIC_RUN_ID") else None


def _variables(env: Mapping[str, str]) -> Launch | None:
    if "RANK" not in env or env.get("TORCHELASTIC_RUN_ID"):
        return None
    if missing := [name for name in MEETING if not env.get(name)]:
        raise RanksError(
            f"RANK is set and {', '.join(missing)} not: set all of RANK, {', '.join(MEETING)}, or none of them"
        )
    return _by_variables("variables", env)


def _by_variables(launcher: str, env: Mapping[str, str]) -> Launch:
    local = _number(env, "LOCAL_RANK"), _number(env, "LOCAL_WORLD_SIZE")
    return Launch(launcher, _needed(env, "RANK"), _needed(env, "WORLD_SIZE"), *local, *_master(env))


def _mpirun(env: Mapping[str, str]) -> Launch | None:
    if "OMPI_COMM_WORLD_RANK" not in env:
        return None
    local = _number(env, "OMPI_COMM_WORLD_LOCAL_RANK"), _number(env, "OMPI_COMM_WORLD_LOCAL_SIZE")
    rank, size = _needed(env, "OMPI_COMM_WORLD_RANK"), _needed(env, "OMPI_COMM_WORLD_SIZE")
    return Launch("mpirun", rank, size, *local, *_master(env), mpi=True)


def _mpiexec(env: Mapping[str, str]) -> Launch | None:
    """MPICH's word; ``srun --mpi=pmi2`` sets the same two variables, and then srun is the launcher."""
    if "PMI_RANK" not in env or ("SLURM_PROCID" in env and "MPI_LOCALNRANKS" not in env):
        return None
    local = _number(env, "MPI_LOCALRANKID"), _number(env, "MPI_LOCALNRANKS")
    return Launch("mpiexec", _needed(env, "PMI_RANK"), _needed(env, "PMI_SIZE"), *local, *_master(env), mpi=True)


def _jax(env: Mapping[str, str]) -> Launch | None:
    names = ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES", "JAX_COORDINATOR_ADDRESS")
    if "JAX_PROCESS_ID" not in env:
        return None
    if missing := [name for name in names if not env.get(name)]:
        raise RanksError(f"JAX_PROCESS_ID is set and {', '.join(missing)} not: set all of {', '.join(names)}")
    host, _, port = env[names[2]].rpartition(":")
    if not host or not port.isdigit():
        raise RanksError(f"JAX_COORDINATOR_ADDRESS is HOST:PORT, got {env[names[2]]!r}")
    return Launch("jax", _needed(env, names[0]), _needed(env, names[1]), address=host, port=int(port))


def _srun(env: Mapping[str, str]) -> Launch | None:
    """Srun's word. SLURM_PROCID alone is also set in a batch script, whose one process srun did not start."""
    step = _number(env, "SLURM_STEP_ID")
    if "SLURM_PROCID" not in env or step is None or step >= BATCH_STEP:
        return None
    size = _number(env, "SLURM_STEP_NUM_TASKS") or _needed(env, "SLURM_NTASKS")
    first = first_host(env.get("SLURM_STEP_NODELIST") or env.get("SLURM_JOB_NODELIST") or "")
    address, port = _master(env)
    port = port or 61440 + (_number(env, "SLURM_JOB_ID") or 0) % 4096  # JAX's rule
    mpi = "PMI_RANK" in env or "PMIX_RANK" in env
    rank, local = _needed(env, "SLURM_PROCID"), _number(env, "SLURM_LOCALID")
    return Launch("srun", rank, size, local, None, address or first, port, mpi)


def _master(env: Mapping[str, str]) -> tuple[str | None, int | None]:
    return env.get("MASTER_ADDR") or None, _number(env, "MASTER_PORT")


def _number(env: Mapping[str, str], name: str) -> int | None:
    """Return a variable's whole number, ``None`` if it is not set."""
    text = env.get(name, "").strip()
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise RanksError(f"{name} must be a whole number, got {text!r}") from None


def _needed(env: Mapping[str, str], name: str) -> int:
    value = _number(env, name)
    if value is None:
        raise RanksError(f"{name} is not set, though its launcher set the others: start through one launcher")
    return value
