"""How a host's processors are shared out among ranks."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from backends.ranks import cores
from backends.ranks.cores import Place, asked_threads, share_of


def places(*cpus: tuple[int, ...], host: str = "a", kernel: str = "k") -> list[Place]:
    """Return ranks with these processors."""
    return [Place(host, kernel, each) for each in cpus]


@pytest.mark.parametrize(
    ("cpus", "shares"),
    [
        ([(0, 1, 2, 3)] * 2, [(0, 1), (2, 3)]),
        ([(0, 1, 2)] * 2, [(0,), (1,)]),  # one processor is left over
        ([(0,), (1,)], [(0,), (1,)]),  # bound by the launcher
        ([(0, 1)] * 3, [(0, 1)] * 3),  # more ranks than processors
        ([(0, 1), (1, 2)], [(0, 1), (1, 2)]),  # bound by the launcher, in some way of its own
    ],
)
def test_ranks_of_one_kernel_get_parts_of_its_processors(
    cpus: list[tuple[int, ...]], shares: list[tuple[int, ...]]
) -> None:
    """Ranks with the same processors get parts of equal size that do not overlap; a launcher's binding is kept."""
    ranks = places(*cpus)
    assert [share_of(rank, ranks) for rank in range(len(ranks))] == shares


def test_hosts_do_not_share_processors() -> None:
    """A rank on another kernel takes nothing from this one, and one in a container of the same kernel does."""
    one, two = (0, 1), (0, 1)
    assert share_of(0, [*places(one), *places(two, kernel="other")]) == (0, 1)
    assert share_of(0, [*places(one), *places(two, host="container")]) == (0,)


def test_a_place_survives_being_sent() -> None:
    """A place reads back as it was written."""
    assert Place.parse(str(cores.place())) == cores.place()


@pytest.mark.parametrize(
    ("launcher", "text", "asked"),
    [("torchrun", "1", None), ("torchrun", "3", 3), ("mpiexec", "1", 1), ("srun", "", None)],
)
def test_the_one_thread_of_torchrun_is_nobodys_choice(
    monkeypatch: pytest.MonkeyPatch, launcher: str, text: str, asked: int | None
) -> None:
    """OMP_NUM_THREADS is the user's choice, save the 1 that torchrun sets by itself."""
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert asked_threads(launcher) == asked


def test_libraries_follow_the_number_of_threads() -> None:
    """The BLAS of numpy and numba use the number of threads that is set, whatever was set before."""
    program = (
        "import json; from backends.blas import Blas; from backends.ranks.cores import use_threads;"
        "use_threads(2); import numba; print(json.dumps([Blas().threads, numba.get_num_threads()]))"
    )
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": ":".join(sys.path)}
    answer = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout) == [2, 2]
