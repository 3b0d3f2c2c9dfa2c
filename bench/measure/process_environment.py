"""The environment of a measured process: its number of threads, its compile caches, and nothing of pytest's.

Tests: `tests/bench/measure/test_campaign.py`, `tests/bench/cli/test_tune.py`.
"""

from __future__ import annotations

import os
from pathlib import Path

from backends import tuned

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
UTF_8 = {"PYTHONUTF8": "1"}  # numba's caches fail on a path that Python read in a locale without its letters
SHARE_THE_ACCELERATOR = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # its default takes three quarters of the memory
OWN_VARIABLES = frozenset(
    (*THREAD_VARIABLES, *CACHE_VARIABLES, *KEEP_EVERY_COMPILATION, *SHARE_THE_ACCELERATOR, "PYTHONHASHSEED")
)
"""Variables that every measured process gets from here, whatever the user's environment says."""


def environment(threads: int, cache: Path, code: Path | None = None) -> dict[str, str]:
    """Return the environment of a process, which its frameworks read when they are imported.

    Args:
        threads: for every framework.
        cache: folder of its compile cache.
        code: a folder to import from before all others.
    """
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    variables |= {name: str(threads) for name in THREAD_VARIABLES}
    variables |= {name: str(cache / folder) for name, folder in CACHE_VARIABLES.items()}
    variables |= KEEP_EVERY_COMPILATION | SHARE_THE_ACCELERATOR
    variables[tuned.VARIABLE] = str(tuned.path() or tuned.OFF)  # the folder of caches is another one there
    checkout = str(Path(__file__).resolve().parents[2])
    path = [*([str(code)] if code else []), checkout, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return variables | {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONHASHSEED": "0",
        **UTF_8,
    }
