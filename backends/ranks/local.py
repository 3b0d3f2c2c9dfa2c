"""Start ranks on this host: through mpiexec for MPI, by variables for the other engines. Never waits without a limit.

Tests: `tests/backends/ranks/test_join.py`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.errors import RanksError
from backends.installed import install_command, is_installed
from backends.ranks.addresses import free_port
from backends.ranks.joining import default_engine, find_engine
from backends.ranks.launch import Launch, launched

LOOKS_S = 0.02
GRACE_S = 2.0
"""From the end of a rank that failed until the others are asked to end, and from then until they are killed."""


@dataclass(frozen=True)
class Ended:
    """How ranks ended.

    Attributes:
        statuses: exit status of each process that was started: mpiexec's alone, or every rank's.
        text: what all of them wrote, standard output and errors together.
        seconds: from the start to the end of the last.
        stopped: whether some did not end by themselves: at the limit, or after another had failed.
    """

    statuses: tuple[int, ...]
    text: str
    seconds: float
    stopped: bool

    def reason(self, limit_s: float) -> str:
        """Return why ranks failed, for people: the last sentence of a rank, or the last line of any."""
        if self.stopped and self.seconds >= limit_s:
            return f"the ranks did not end within {limit_s:g} s"
        lines = [line for line in self.text.splitlines() if line.strip()]
        said = [line for line in lines if line.startswith("rank ")]
        return (said or lines or [f"the ranks ended with status {self.statuses}"])[-1]


def mpiexec() -> str | None:
    """Return the mpiexec next to this interpreter, else the one on the path."""
    return shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")


def engine_here() -> str:
    """Return the engine for ranks of this host: MPI if there is an mpiexec, else torch, else JAX.

    Raises:
        RanksError: none is installed.
    """
    by_mpi = is_installed("mpi4py") and mpiexec() is not None
    return default_engine(Launch("the starter of local ranks", size=2, mpi=by_mpi))


def commands(arguments: Sequence[str], size: int, engine: str) -> list[tuple[list[str], dict[str, str]]]:
    """Return the commands that start ranks of an engine, each with the variables to add to its environment.

    Raises:
        RanksError: an engine that is not here, MPI without an mpiexec, or called by one of several ranks.
    """
    if launched().size > 1:
        raise RanksError("this process is one of several ranks already: it cannot start others; start it alone")
    if size == 1:
        return [(list(arguments), {})]
    find_engine(engine)
    if engine == "mpi":
        launcher = mpiexec()
        if launcher is None:
            raise RanksError(f"engine 'mpi' needs an mpiexec: {install_command('mpi')}")
        return [([launcher, "-n", str(size), *arguments], {})]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(size)}
    local = {"LOCAL_WORLD_SIZE": str(size)}
    return [(list(arguments), meeting | local | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(size)]


def run(
    arguments: Sequence[str],
    size: int,
    engine: str,
    limit_s: float,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Start a command on several ranks and wait until all have ended; kill what is left at the limit.

    Args:
        arguments: the command, such as ``[sys.executable, "program.py"]``; it calls `backends.join`.
        size: number of ranks.
        engine: that the command joins by, which decides how it is started.
        limit_s: seconds until they are killed.
        environment: by default this process's.

    Raises:
        RanksError: MPI without an mpiexec.
    """
    base = dict(os.environ if environment is None else environment)
    begun_s = time.monotonic()
    with tempfile.TemporaryFile() as output:
        started = [
            subprocess.Popen(
                command,
                env=base | extra,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            for command, extra in commands(arguments, size, engine)
        ]
        try:
            stopped = not _all_ended(started, begun_s + limit_s)
            seconds = time.monotonic() - begun_s
        finally:
            _end(started)
        output.seek(0)
        text = output.read().decode(errors="replace")
    return Ended(tuple(process.returncode for process in started), text, seconds, stopped)


def _all_ended(processes: Sequence[subprocess.Popen[bytes]], until_s: float) -> bool:
    """Wait for all, and no longer than a moment once one has failed; return whether all ended."""
    while None in (statuses := [process.poll() for process in processes]):
        now_s = time.monotonic()
        if any(statuses):
            until_s = min(until_s, now_s + GRACE_S)
        if now_s >= until_s:
            return False
        time.sleep(LOOKS_S)
    return True


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End what is left of these processes and of what they started: mpiexec ends its ranks when it is asked to."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if all(process.poll() is not None for process in processes):
            return
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
        _all_ended(processes, time.monotonic() + GRACE_S)
