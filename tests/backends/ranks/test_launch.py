"""What launchers say, as each of them says it."""

from __future__ import annotations

import socket

import pytest

from backends.ranks import Launch, RanksError, launched
from backends.ranks.addresses import free_port, interface_towards
from backends.ranks.launch import first_host

MEETING = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}
VARIABLES = {"RANK": "1", "WORLD_SIZE": "2", **MEETING}
LOCAL = {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
MPICH = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}
OPEN_MPI = {f"OMPI_COMM_WORLD_{name}": value for name, value in (("RANK", "1"), ("SIZE", "2"), ("LOCAL_RANK", "1"))}
SRUN = {"SLURM_PROCID": "1", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_JOB_ID": "5000"}
NODES = {"SLURM_STEP_NODELIST": "node[07-12,15]"}
JAX = {"JAX_PROCESS_ID": "1", "JAX_NUM_PROCESSES": "2", "JAX_COORDINATOR_ADDRESS": "10.0.0.1:99"}

SAID = [
    ({}, Launch()),
    (VARIABLES, Launch("variables", 1, 2, None, None, "10.0.0.1", 29500)),
    (VARIABLES | LOCAL | {"TORCHELASTIC_RUN_ID": "x"}, Launch("torchrun", 1, 2, 1, 2, "10.0.0.1", 29500)),
    (MPICH, Launch("mpiexec", 1, 2, 1, 2, mpi=True)),
    (OPEN_MPI, Launch("mpirun", 1, 2, 1, None, mpi=True)),
    (SRUN | NODES, Launch("srun", 1, 2, None, None, "node07", 61440 + 5000 % 4096)),
    (SRUN | NODES | {"PMI_RANK": "1", "PMI_SIZE": "2"}, Launch("srun", 1, 2, None, None, "node07", 62344, mpi=True)),
    (JAX, Launch("jax", 1, 2, None, None, "10.0.0.1", 99)),
    # A batch script that srun did not start is one process, however many tasks it may start.
    ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, Launch()),
    ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_STEP_ID": "4294967291"}, Launch()),
    # torchrun of one process, inside mpiexec of two.
    (MPICH | VARIABLES | {"RANK": "0", "WORLD_SIZE": "1"}, Launch("mpiexec", 1, 2, 1, 2, "10.0.0.1", 29500, mpi=True)),
]


@pytest.mark.parametrize(("environment", "expected"), SAID)
def test_every_launcher_is_understood(environment: dict[str, str], expected: Launch) -> None:
    """The variables of each launcher give its rank, size and meeting place, and no launcher gives one rank alone."""
    assert launched(environment) == expected


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, "RANK is set and MASTER_ADDR, MASTER_PORT not"),
        (MPICH | VARIABLES | {"RANK": "0"}, "two launchers disagree .mpiexec: rank 1 of 2; variables: rank 0 of 2"),
        (VARIABLES | {"RANK": "2"}, "variables says rank 2 of 2"),
        (VARIABLES | {"WORLD_SIZE": "two"}, "WORLD_SIZE must be a whole number, got 'two'"),
        ({"JAX_PROCESS_ID": "0"}, "JAX_PROCESS_ID is set and JAX_NUM_PROCESSES, JAX_COORDINATOR_ADDRESS not"),
        (JAX | {"JAX_COORDINATOR_ADDRESS": "10.0.0.1"}, "HOST:PORT, got '10.0.0.1'"),
        ({"PMI_RANK": "0"}, "PMI_SIZE is not set"),
    ],
)
def test_a_contradiction_names_the_variables(environment: dict[str, str], sentence: str) -> None:
    """Half a launcher's variables, and two launchers that disagree, are refused with the values that they gave."""
    with pytest.raises(RanksError, match=sentence):
        launched(environment)


@pytest.mark.parametrize(("nodes", "host"), [("a,b", "a"), ("n[3,5]-ib", "n3-ib"), ("n1", "n1"), ("", None)])
def test_the_first_host_of_a_list_is_found(nodes: str, host: str | None) -> None:
    """The first host of SLURM's short form is written out."""
    assert first_host(nodes) == host


def test_a_free_port_can_be_opened() -> None:
    """A port that is given out as free can be listened on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", free_port()))
        listening.listen()


def test_the_way_to_this_host_is_loopback() -> None:
    """Towards 127.0.0.1 packets leave by the interface that has this address, whatever the host's name resolves to."""
    assert interface_towards("127.0.0.1") in {name for _, name in socket.if_nameindex()}
