"""Two hosts without hardware: network namespaces with host names of their own, joined by a virtual wire."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ADDRESSES = ("10.77.13.1", "10.77.13.2")
TIMEOUT_S, SOON_S = 1.5, 3.0

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


@dataclass(frozen=True)
class Hosts:
    """Two namespaces; the second's end of the wire can be cut."""

    names: tuple[str, str]

    def start(self, program: Path, *arguments: str) -> list[subprocess.Popen[str]]:
        """Start one rank on each host."""
        started = []
        for rank, name in enumerate(self.names):
            variables = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": ADDRESSES[0], "MASTER_PORT": "29517"}
            command = f"hostname {name}; exec {sys.executable} {program} {' '.join(arguments)}"
            started.append(
                subprocess.Popen(
                    ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", command],
                    env=os.environ | variables | {"PYTHONPATH": os.pathsep.join(sys.path)},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
        return started

    def cut(self) -> None:
        """Cut the wire: packets are lost, and nobody is told."""
        ip("netns", "exec", self.names[1], "ip", "link", "set", "wire", "down")


def ip(*arguments: str) -> None:
    """Run ``ip``."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """Two hosts on one wire; skips where the system permits none."""
    if not (shutil.which("ip") and shutil.which("unshare")):
        pytest.skip("no ip or unshare here")
    names = (f"hosta{os.getpid()}", f"hostb{os.getpid()}")
    try:
        for name in names:
            ip("netns", "add", name)
        ip("-n", names[0], "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", names[1])
        for name, address in zip(names, ADDRESSES, strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "wire")
            for link in ("lo", "wire"):
                ip("-n", name, "link", "set", link, "up")
    except subprocess.CalledProcessError as error:
        remove(names)
        pytest.skip(f"no network namespaces here: {error.stderr.strip()}")
    yield Hosts(names)
    remove(names)


def remove(names: tuple[str, ...]) -> None:
    """Remove the namespaces that there are."""
    for name in names:
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that sums once, or until the wire is cut."""
    path = tmp_path / "program.py"
    path.write_text(SUMS)
    return path


def test_ranks_of_two_hosts_sum(hosts: Hosts, program: Path) -> None:
    """Ranks on two hosts meet by the address of the first, over the interface towards it, and count two hosts."""
    started = hosts.start(program, "once")
    texts = [process.communicate(timeout=120)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], texts
    assert all("done" in text for text in texts)


def test_a_host_that_is_lost_ends_the_other(hosts: Hosts, program: Path) -> None:
    """When the wire is cut in the middle of sums, each rank ends within the timeout, and says that it waited."""
    started = hosts.start(program, "cut", str(TIMEOUT_S))
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
