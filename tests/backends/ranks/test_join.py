"""Joining by every engine and launcher."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import backends
from backends.ranks import Alone, Launch, Ranks, RanksError, join, local
from backends.ranks.joining import default_engine, find_engine
from backends.ranks.meeting import meeting

ENGINES = ("mpi", "torch", "jax")
LIMIT_S = 120.0

SUM = """
import hashlib, sys
import numpy as np
from backends import join

with join(sys.argv[1], 60) as ranks:
    for dtype in (np.float32, np.float64):
        for length in (1, 13, 10_001):
            mine = np.random.default_rng(ranks.rank).standard_normal(length).astype(dtype)
            whole = sum(np.random.default_rng(k).standard_normal(length).astype(dtype) for k in range(ranks.size))
            total = ranks.sum(mine)
            assert total is mine, "a numpy vector is summed in its own memory"
            assert np.allclose(total, whole, rtol=0, atol=16 * np.finfo(dtype).eps), (dtype, length)
            ranks.agree("bits", hashlib.blake2b(total.tobytes()).hexdigest())
    assert ranks.gather(f"rank {ranks.rank}") == [f"rank {k}" for k in range(ranks.size)]
    assert ranks.engine == sys.argv[1] and ranks.hosts == 1 and ranks.threads >= 1
print(f"rank {ranks.rank} of {ranks.size} is done")
"""


class Elsewhere(Ranks):
    engine = "elsewhere"

    def __init__(self, launch: Launch, timeout_s: float) -> None:
        super().__init__(launch.rank, launch.size, timeout_s)

    def sum(self, vector: object) -> object:
        return vector

    def gather(self, text: str) -> list[str]:
        return [text] * self.size


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of its own, as a user writes it."""
    path = tmp_path / "program.py"
    path.write_text(SUM)
    return path


@pytest.fixture(autouse=True)
def nobody_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the launcher of these tests may have said."""
    for name in ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "JAX_PROCESS_ID", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("engine", "size"), [("mpi", 2), ("mpi", 3), ("torch", 3), ("jax", 3)])
def test_every_engine_sums_to_the_same_bits(program: Path, engine: str, size: int) -> None:
    """Sums of float32 and float64 are those of all ranks' vectors, in place, and the same bits on every rank."""
    ended = local.run([sys.executable, str(program), engine], size, engine, LIMIT_S)
    assert not any(ended.statuses), ended.text
    assert ended.text.count(f"of {size} is done") == size


def test_torchrun_starts_ranks(program: Path) -> None:
    """Torchrun's ranks join by torch, through the store whose port it holds."""
    torchrun = shutil.which("torchrun", path=str(Path(sys.executable).parent))
    if torchrun is None:
        pytest.skip("no torchrun next to this interpreter")
    command = [torchrun, "--standalone", "--nproc-per-node=2", str(program), "torch"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count("of 2 is done") == 2


def test_mpi_refuses_a_launcher_that_it_cannot_join_by(program: Path) -> None:
    """MPI under plain variables would be two runs of one rank each, silently: it is refused with the command to use."""
    ended = local.run([sys.executable, str(program), "mpi"], 2, "torch", LIMIT_S)
    assert all(ended.statuses)
    assert "variables started 2 ranks, and MPI sees 1" in ended.text
    assert "start with: mpiexec -n 2 python" in ended.text


def test_a_port_in_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank 0 is told of a port that something else listens on, before an engine waits for it or crashes."""
    with socket.socket() as listening:
        listening.bind(("", 0))
        listening.listen()
        port = listening.getsockname()[1]
        with pytest.raises(RanksError, match=f"port {port} is in use on this host: export another MASTER_PORT"):
            meeting(Launch("variables", 0, 2, address="127.0.0.1", port=port))
        assert meeting(Launch("variables", 1, 2, address="127.0.0.1", port=port)) == ("127.0.0.1", port)


def test_a_program_that_nobody_launched_is_alone() -> None:
    """Without a launcher there is one rank, whatever the engine."""
    assert isinstance(join("mpi"), Alone)
    assert backends.join is join


def test_a_strangers_engine_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine given as package.module:Class is joined by."""
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("backends.ranks.cores.share_out", lambda rank, places, asked: 1)
    monkeypatch.setitem(sys.modules, "elsewhere", sys.modules[__name__])
    ranks = join("elsewhere:Elsewhere", 1.0)
    assert (ranks.engine, ranks.rank, ranks.size) == ("elsewhere", 1, 2)


def test_an_unknown_engine_lists_those_there_are() -> None:
    """A name that no engine has is answered with the names that there are."""
    with pytest.raises(RanksError, match=r"no engine 'nccl'; known: mpi, torch, jax, or package.module:Class"):
        find_engine("nccl")


def test_mpi_comes_first_where_it_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """MPI's launcher gives MPI; another, or none of MPI installed, gives torch, then JAX."""
    assert default_engine(Launch("mpiexec", 0, 2, mpi=True)) == "mpi"
    assert default_engine(Launch("variables", 0, 2)) == "torch"
    monkeypatch.setattr("backends.ranks.joining.is_installed", lambda module: module == "jax")
    assert default_engine(Launch("mpiexec", 0, 2, mpi=True)) == "jax"
    monkeypatch.setattr("backends.ranks.joining.is_installed", lambda module: False)
    with pytest.raises(RanksError, match=r"mpiexec started 2 ranks, and there is nothing to join them with"):
        default_engine(Launch("mpiexec", 0, 2, mpi=True))


def test_ranks_do_not_start_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is one of several ranks starts no others."""
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(RanksError, match="one of several ranks already"):
        local.commands([sys.executable], 2, "mpi")


def test_the_limit_ends_every_rank(tmp_path: Path) -> None:
    """Ranks that do not end are killed at the limit, and none is left."""
    program = tmp_path / "sleeps.py"
    program.write_text(f"import os, time; open(r'{tmp_path}/' + str(os.getpid()), 'w'); time.sleep(60)")
    ended = local.run([sys.executable, str(program)], 2, "mpi", 1.5)
    assert ended.stopped
    started = [int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()]
    assert len(started) == 2
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
