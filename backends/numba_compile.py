"""Compile kernels and cache their machine code on disk; a cache file that cannot be read or written costs only time."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.ccallback import CFunc
from numba.core.dispatcher import Dispatcher
from numba.core.sigutils import normalize_signature


class KernelCache(FunctionCache):
    """numba's cache on disk, for kernels whose code is in several files.

    numba looks for changes in the file of the kernel only; here a change of any file of this backend counts. A cached
    file that cannot be read is compiled again, and one that cannot be written is not kept.
    """

    def __init__(self, kernel: Any) -> None:
        super().__init__(kernel)
        stamp = self._impl.locator.get_source_stamp(), _stamp()
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled kernel, ``None`` if there is none that can be read."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a pickle that was cut short or overwritten raises nearly anything
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled kernel, if the disk allows."""
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


@lru_cache
def _stamp() -> tuple[tuple[str, int, int], ...]:
    """Return name, time and size of each file of this backend."""
    files = sorted(Path(__file__).parent.glob("numba_*.py"))
    return tuple((path.name, (stat := path.stat()).st_mtime_ns, stat.st_size) for path in files)


def _cache(kernel: Any) -> KernelCache:
    """Return a kernel's cache; in a folder that lives as long as this process if the user's cannot be written."""
    try:
        return KernelCache(kernel)
    except RuntimeError:  # numba found no folder to write to
        folder = tempfile.mkdtemp(prefix="numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        numba.config.CACHE_DIR = folder
        return KernelCache(kernel)


def _named(kernel: Any, name: str) -> Any:
    """Return a copy of a function under another name, so that it has its own entry in numba's cache.

    The cache identifies a function by file, name and line. Compile options are not part of that, so a parallel function
    would load the machine code of the serial one. And all specialisations share one index, which two processes cannot
    fill at the same time: one may load what the other compiled for other sizes. Hence a name for each specialisation.

    Raises:
        TypeError: the function's closure holds a jitted function. To the cache that is a different one in each process,
            so the kernel would be compiled again in all of them.
    """
    for cell in kernel.__closure__ or ():
        if isinstance(cell.cell_contents, Dispatcher):
            raise TypeError(f"{kernel.__qualname__} holds {cell.cell_contents} in its closure; name it in a branch")
    twin = FunctionType(kernel.__code__, kernel.__globals__, kernel.__name__, kernel.__defaults__, kernel.__closure__)
    twin.__qualname__ = f"{kernel.__name__}_{name}"
    twin.__doc__ = kernel.__doc__
    return twin


def compile_as(kernel: Any, name: str, **options: Any) -> Any:
    """Return ``kernel`` jitted, cached on disk under ``name``; it is compiled when it is first called."""
    twin = _named(kernel, name)
    jitted = njit(**options)(twin)
    jitted._cache = _cache(twin)  # as `enable_caching` does with numba's own
    return jitted


def compile_c(kernel: Any, name: str, signature: Any, **options: Any) -> Callable[[], int]:
    """Return a function that returns the address of ``kernel`` as a C function, compiled when it is first called."""

    @lru_cache
    def address() -> int:
        twin = _named(kernel, name)
        compiled = CFunc(twin, normalize_signature(signature), {}, options)
        compiled._cache = _cache(twin)
        compiled.compile()
        _KEPT.append(compiled)
        return int(compiled.address)

    return address


_KEPT: list[Any] = []
"""C functions must not be collected while somebody knows their address."""
