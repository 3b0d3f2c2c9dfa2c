"""Two hosts without hardware: ranks meet over a virtual wire, wait its delay, and end when it is cut."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.ranks import local
from bench.ranks.allreduce import Link
from tests.two_hosts.hosts import Hosts, NotHereError, two_hosts

TIMEOUT_S, SOON_S, PATIENCE_S = 1.5, 3.0, 120.0
SLOW = Link(5e-3, 10e6 / 8)
"""A wire so slow that the machine's own times do not matter: 5 ms one way, 10 Mbit/s."""
LONG = 25_000
"""Numbers in float32 whose bytes take 80 ms on it."""

SUMS = """
import os, sys, time
import numpy as np
from backends import join

with join("torch", 60) as ranks:
    assert ranks.hosts == 2 and ranks.size == 2, ranks.describe()
    total = ranks.sum(np.full(1000, ranks.rank + 1.0))
    assert (total == 3.0).all()
    print("summed", flush=True)
    if sys.argv[1] == "cut":
        ranks.watch.timeout_s = float(sys.argv[2])
        while True:
            ranks.sum(total)
print("done", flush=True)
"""

COUNT = 5
TIMES = """
import sys, time
import numpy as np
from backends import join

with join("mpi", 60) as ranks:
    assert ranks.hosts == 2 and ranks.size == 2, ranks.describe()
    for length in map(int, sys.argv[2:]):
        vector = np.ones(length, np.float32)
        ranks.sum(vector)
        begun_s = time.perf_counter()
        for _ in range(int(sys.argv[1])):
            ranks.sum(vector)
        if ranks.rank == 0:
            print(time.perf_counter() - begun_s, flush=True)
"""


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """Two hosts on one wire of the kernel's; skips if the system permits none."""
    yield from _hosts(None)


@pytest.fixture
def slow_hosts() -> Iterator[Hosts]:
    """Two hosts on a slow wire; skips if the system permits none."""
    yield from _hosts(SLOW)


def _hosts(link: Link | None) -> Iterator[Hosts]:
    try:
        with two_hosts(link) as made:
            yield made
    except NotHereError as error:
        pytest.skip(str(error))


def program(folder: Path, text: str) -> str:
    """Return the path of a program."""
    path = folder / "program.py"
    path.write_text(text)
    return str(path)


def test_ranks_of_two_hosts_sum(hosts: Hosts, tmp_path: Path) -> None:
    """Ranks on two hosts meet by the address of the first, over the interface towards it, and count two hosts."""
    started = hosts.start([sys.executable, program(tmp_path, SUMS), "once"])
    texts = [process.communicate(timeout=PATIENCE_S)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], texts
    assert all("done" in text for text in texts)


def test_a_host_that_is_lost_ends_the_other(hosts: Hosts, tmp_path: Path) -> None:
    """When the wire is cut in the middle of sums, each rank ends within the timeout, and says that it waited."""
    started = hosts.start([sys.executable, program(tmp_path, SUMS), "cut", str(TIMEOUT_S)])
    for process in started:
        assert process.stdout
        lines = iter(process.stdout.readline, "")
        assert any("summed" in line for line in lines)
    hosts.cut()
    cut_s = time.monotonic()
    texts = [process.communicate(timeout=60)[0] for process in started]
    assert time.monotonic() - cut_s < TIMEOUT_S + SOON_S, texts
    assert all(process.returncode for process in started)
    assert any(f"waited {TIMEOUT_S:g} s for the other ranks" in text for text in texts), texts


def test_a_sum_waits_for_the_delay_and_the_rate_of_the_wire(slow_hosts: Hosts, tmp_path: Path) -> None:
    """Sums by MPI one after another take the wire's delay each at least, and with many numbers that of their bytes."""
    if local.mpiexec() is None:
        pytest.skip("no mpiexec here")
    lengths = [13, LONG]
    arguments = [sys.executable, program(tmp_path, TIMES), str(COUNT), *map(str, lengths)]
    started = slow_hosts.start_mpi(arguments)
    text = started.communicate(timeout=PATIENCE_S)[0]
    assert started.returncode == 0, text
    for length, took_s in zip(lengths, map(float, text.splitlines()), strict=True):
        each_s = SLOW.latency_s + 4 * length / SLOW.bytes_per_s
        assert took_s > (COUNT - 1) * each_s  # ranks may enter the first one apart
