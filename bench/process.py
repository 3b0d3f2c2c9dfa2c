"""Run one block in a fresh process: its environment, its spec, its pipe, its end, whichever it is.

Nothing is written to the store here; `run_block` yields what happened, and `bench.campaign` keeps it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.failures import classify_exit

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NPROC",  # XLA's
)
CACHE_VARIABLES = {
    "NUMBA_CACHE_DIR": "numba",
    "JAX_COMPILATION_CACHE_DIR": "jax",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "XDG_CACHE_HOME": "xdg",
}
KEEP_EVERY_COMPILATION = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # its default keeps only what took a second to compile
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
POLL_S = 0.5

Event = dict[str, Any]


def environment(threads: int, cache: Path) -> dict[str, str]:
    """Return the environment of a block: threads, set before anything is imported, and a compile cache."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    own |= {name: str(threads) for name in THREAD_VARIABLES}
    own |= {name: str(cache / folder) for name, folder in CACHE_VARIABLES.items()}
    own |= KEEP_EVERY_COMPILATION
    checkout = str(Path(__file__).resolve().parent.parent)
    path = [checkout, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return own | {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONHASHSEED": "0",
    }


def run_block(
    spec: Mapping[str, Any], spec_path: Path, log_path: Path, cache: Path, timeout_s: float
) -> Iterator[Event]:
    """Start a process for one block and yield its events, the last of them ``end`` or ``lost``.

    Events: ``begin`` (a cell is about to be measured), ``row`` (a cell's record), and at the end either ``end``, or
    ``lost`` with status and reason where the process crashed, was killed or had to be.

    Args:
        spec: for `bench.child`.
        spec_path: where the spec is put.
        log_path: what the process prints.
        cache: folder of its compile cache.
        timeout_s: seconds after which it is ended.
    """
    spec_path.write_text(json.dumps(spec), encoding="utf-8")
    read_end, write_end = os.pipe()
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.child", str(spec_path), str(write_end)],
            env=environment(spec["threads"], cache),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[write_end],
            start_new_session=True,
        )
    os.close(write_end)
    watch = _Watch(process)
    try:
        over = False
        for line in _lines(read_end, time.monotonic() + timeout_s, watch):
            event: Event = json.loads(line)
            over = event["event"] in ("end", "lost")
            yield event
            if over:  # whatever it still has to tidy up is of no use
                break
        if not over:
            status, reason = watch.verdict(timeout_s)
            yield {"event": "lost", "status": status, "reason": f"{reason}{_last_words(log_path)}"}
    finally:
        os.close(read_end)
        watch.kill()


class _Watch:
    """One child process: what memory it was seen to use, and how it ended."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._peak_share = 0.0
        self._timed_out = False

    def look(self) -> None:
        """Note the memory in use."""
        import psutil

        with contextlib.suppress(psutil.Error):
            self._peak_share = max(self._peak_share, psutil.Process(self._process.pid).memory_percent() / 100)

    def time_out(self) -> None:
        """End the process because its time is up."""
        self._timed_out = self._process.poll() is None
        self.kill()

    def kill(self) -> None:
        """End the process and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def verdict(self, timeout_s: float) -> tuple[str, str]:
        """Return status and reason of a process that closed its pipe without a farewell."""
        if self._timed_out:
            return "timeout", f"the block took over {timeout_s:g} s; allow more with --timeout"
        try:
            returncode = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "crashed", "the process closed its pipe and went on"
        return classify_exit(returncode, self._peak_share)


def _last_words(log_path: Path) -> str:
    """Return the last line that a process printed, before any dump of its stack, as the end of a sentence."""
    printed = log_path.read_text(errors="replace").partition("Fatal Python error")[0]
    lines = [line.strip(". ") for line in printed.splitlines() if line.strip(". ")]
    return f"; its last words: {lines[-1][:200]}" if lines else ""


def _lines(descriptor: int, deadline_s: float, watch: _Watch) -> Iterator[bytes]:
    """Yield whole lines from a pipe until it is closed or the deadline has passed; a line cut short is dropped."""
    pending = b""
    while True:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            watch.time_out()
            return
        if not select.select([descriptor], [], [], min(left_s, POLL_S))[0]:
            watch.look()
            continue
        data = os.read(descriptor, 1 << 16)
        if not data:
            return
        *whole, pending = (pending + data).split(b"\n")
        yield from whole
