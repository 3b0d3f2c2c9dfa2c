"""Agree on the address and the port of rank 0 for an engine that has to be told them.

mpiexec tells nobody, so MPI itself carries them. torchrun holds MASTER_PORT for a store of its own; torch joins that
store, and another engine gets a free port through it.

Tests: `tests/backends/ranks/test_join.py`.
"""

from __future__ import annotations

from backends.errors import RanksError
from backends.installed import is_installed
from backends.ranks.addresses import free_port, own_address, port_is_free
from backends.ranks.launch import Launch

LOOPBACK = "127.0.0.1"


def meeting(launch: Launch, *, own_port: bool = False) -> tuple[str, int]:
    """Return the address and the port of rank 0.

    Args:
        launch: the launcher's word.
        own_port: whether the engine opens the port itself also where torchrun holds the one that it names.

    Raises:
        RanksError: the launcher names none, and nothing here can carry them.
    """
    if launch.address and launch.port and not (own_port and launch.launcher == "torchrun"):
        if launch.rank == 0 and launch.launcher != "torchrun" and not port_is_free(launch.port):
            raise RanksError(
                f"port {launch.port} is in use on this host: export another MASTER_PORT to every rank, or leave the "
                "choice to torchrun or mpiexec"
            )
        return launch.address, launch.port
    if launch.mpi and is_installed("mpi4py"):
        return _by_mpi(launch)
    if launch.launcher == "torchrun" and is_installed("torch"):
        return _by_store(launch)
    raise RanksError(
        f"{launch.launcher} says rank and size and not where rank 0 is: export MASTER_ADDR and MASTER_PORT, or "
        "pip install mpi4py"
    )


def _address_of(launch: Launch) -> str:
    return LOOPBACK if launch.local_size == launch.size else own_address()


def _by_mpi(launch: Launch) -> tuple[str, int]:
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    place: tuple[str, int] = world.bcast((_address_of(launch), free_port()) if world.rank == 0 else None)
    return place


def _by_store(launch: Launch) -> tuple[str, int]:
    from torch.distributed import TCPStore  # type: ignore[attr-defined] # in its documentation, not in its __all__

    store = TCPStore(str(launch.address), int(launch.port or 0), launch.size, False)
    if launch.rank == 0:
        store.set("backprop-bench/meeting", f"{_address_of(launch)}:{free_port()}")
    host, _, port = store.get("backprop-bench/meeting").decode().rpartition(":")
    return host, int(port)
