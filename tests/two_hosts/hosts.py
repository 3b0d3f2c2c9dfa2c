"""Two hosts without hardware: network namespaces with host names of their own, joined by a virtual wire.

A wire with a delay and a rate is a program, `wire.c`, since not every kernel delays packets. Needs Linux and root.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from backends.ranks import local
from bench.ranks.allreduce import Link

ADDRESSES = ("10.77.13.1", "10.77.13.2")
PORT = "29517"
WIRE = Path(__file__).with_name("wire.c")
MTU = "9000"
"""Large packets, since no network card cuts and joins them here, and each one takes a processor some microseconds."""
NETWORK_ALONE = {"UCX_TLS": "tcp,self"}
"""MPICH goes through shared memory between namespaces of one kernel if it may."""


class NotHereError(Exception):
    """The system permits no namespaces, or has no compiler for the wire; says which."""


@dataclass(frozen=True)
class Hosts:
    """Two namespaces; the second's end of the wire can be cut.

    Attributes:
        names: of the namespaces, which are the host names too.
        folder: for what starts programs there.
    """

    names: tuple[str, str]
    folder: Path

    def start(self, arguments: Sequence[str]) -> list[subprocess.Popen[str]]:
        """Start a program on each host, told its rank by variables."""
        started = []
        for rank, name in enumerate(self.names):
            variables = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": ADDRESSES[0], "MASTER_PORT": PORT}
            started.append(_started([*self._inside(name), *arguments], variables))
        return started

    def start_mpi(self, arguments: Sequence[str]) -> subprocess.Popen[str]:
        """Start a program on each host through mpiexec, which runs on the first."""
        launcher = local.mpiexec()
        if launcher is None:
            raise NotHereError("no mpiexec here")
        shell = self.folder / "on_host"
        inside = {address: shlex.join(self._inside(name)) for address, name in zip(ADDRESSES, self.names, strict=True)}
        cases = "\n".join(f'{address}) shift; exec {words} sh -c "$*";;' for address, words in inside.items())
        shell.write_text(f'#!/bin/sh\nwhile [ "${{1#-}}" != "$1" ]; do shift; done\ncase $1 in\n{cases}\nesac\n')
        shell.chmod(0o755)
        how = ["-launcher", "ssh", "-launcher-exec", str(shell), "-hosts", ",".join(ADDRESSES), "-n", "2", "-ppn", "1"]
        return _started([*self._inside(self.names[0]), launcher, *how, *arguments], NETWORK_ALONE)

    def cut(self) -> None:
        """Cut the wire: packets are lost, and nobody is told."""
        ip("netns", "exec", self.names[1], "ip", "link", "set", "wire", "down")

    def _inside(self, name: str) -> list[str]:
        """Return the words before a command that is to run on a host."""
        return ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", f'hostname {name}; exec "$@"', "sh"]


@contextmanager
def two_hosts(link: Link | None = None) -> Iterator[Hosts]:
    """Make two hosts on one wire, and remove them in the end.

    Args:
        link: the wire's latency and bandwidth; without one it has those of the kernel.

    Raises:
        NotHereError: the system does not permit it.
    """
    if not (shutil.which("ip") and shutil.which("unshare")):
        raise NotHereError("no ip or unshare here")
    names = (f"hosta{os.getpid()}", f"hostb{os.getpid()}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        try:
            for name in names:
                ip("netns", "add", name)
                stack.callback(subprocess.run, ["ip", "netns", "delete", name], check=False, capture_output=True)
            if link:
                stack.enter_context(_wire(names, link, folder))
            else:
                ip("-n", names[0], "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", names[1])
            for name, address in zip(names, ADDRESSES, strict=True):
                ip("-n", name, "addr", "add", f"{address}/24", "dev", "wire")
                ip("-n", name, "link", "set", "wire", "mtu", MTU)
                for device in ("lo", "wire"):
                    ip("-n", name, "link", "set", device, "up")
        except subprocess.CalledProcessError as error:
            raise NotHereError(f"no network namespaces here: {error.stderr.strip()}") from error
        yield Hosts(names, folder)


def ip(*arguments: str) -> None:
    """Run ``ip``."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextmanager
def _wire(names: tuple[str, str], link: Link, folder: Path) -> Iterator[None]:
    """Compile the wire, and run it between two namespaces."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        raise NotHereError("no C compiler here, which the wire needs")
    program = folder / "wire"
    subprocess.run([compiler, "-O2", "-o", program, WIRE], check=True, capture_output=True, text=True)
    how = [f"{link.latency_s * 1e6:g}", f"{link.bytes_per_s * 8e-6:g}"]
    with subprocess.Popen([program, *names, *how], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as wire:
        try:
            assert wire.stdout
            if (said := wire.stdout.readline().strip()) != "up":
                raise NotHereError(f"no wire between network namespaces here: {said}")
            yield
        finally:
            wire.kill()


def _started(command: Sequence[str], variables: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        env=os.environ | variables | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
