"""The environment of processes that judge: several compute at the same time, and none is timed.

Tests: `tests/bench/measure/test_judging.py`.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from bench.measure.compile_cache import folder_of_caches
from bench.measure.process_environment import KEEP_EVERY_COMPILATION, SHARE_THE_ACCELERATOR, UTF_8

WAIT_ASLEEP = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "OPENBLAS_THREAD_TIMEOUT": "4"}
"""Threads of OpenMP and of OpenBLAS give their core away while they wait: several processes judge at a time, each on
all cores, and threads that spin in one would slow the others to a quarter. Nothing is timed here, and the numbers are
the same.
"""
MOST_KEPT_BYTES = 1 << 25
"""Of what JAX compiled; what was not used for longest goes first."""


def environment() -> dict[str, str]:
    """Return the environment of a judging process; variables that the user set are kept."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**framework_variables(), **os.environ, "PYTHONPATH": path, **UTF_8}


def framework_variables() -> dict[str, str]:
    """Return variables for processes that compute at the same time and are not timed.

    Waiting threads sleep, and what JAX compiles is kept on disk, since the next check has the same shapes.
    """
    kept = KEEP_EVERY_COMPILATION | {"JAX_COMPILATION_CACHE_DIR": str(folder_of_caches("check"))}
    kept |= SHARE_THE_ACCELERATOR
    if find_spec("filelock"):  # JAX limits its cache by it
        kept["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(MOST_KEPT_BYTES)
    return kept | WAIT_ASLEEP
