"""Run a module of this package in a fresh process, and return the records that it prints, one JSON object a line.

Tests: `tests/bench/limits/test_probes.py`, `tests/bench/limits/test_placing.py`.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.machine import cpus_for
from bench.measure.compile_cache import folder_of_caches
from bench.measure.process_environment import environment


class ChildFailed(Exception):
    """The process ended with an error; the text is its last line."""


def cpus_text(threads: int) -> str:
    """Return the processors for a number of threads, as an argument of a child."""
    return ",".join(map(str, cpus_for(threads)))


def records_of(module: str, arguments: Sequence[str], threads: int, device: str = "cpu") -> list[dict[str, Any]]:
    """Return what a module prints. Kernels that it compiles are kept for the next time.

    Args:
        module: to be run.
        arguments: of it.
        threads: of every framework.
        device: ``cpu`` keeps JAX off an accelerator.

    Raises:
        ChildFailed: it ended with an error.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(threads, device), check=False)
    if done.returncode:
        raise ChildFailed((done.stderr.strip().splitlines() or ["no message"])[-1])
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@functools.cache
def _cache() -> Path:
    """Return where the children keep what they compile: one folder, even where it is a temporary one."""
    return folder_of_caches("probes")


def _environment(threads: int, device: str) -> dict[str, str]:
    """Return the environment of a child."""
    return environment(threads, _cache()) | ({"JAX_PLATFORMS": "cpu"} if device == "cpu" else {})
