"""Compile kernels under names of their own in numba's disk cache."""

from types import FunctionType
from typing import Any

from numba import njit


def compile_as(kernel: Any, name: str, **options: Any) -> Any:
    """Return ``kernel`` jitted, cached on disk under ``name``.

    numba's cache knows a function by file, name and line. Its options are no part of that, so a parallel twin would
    load the serial one's machine code; and types and sizes share one index that is not safe against two processes
    filling it at once: one may load what the other compiled for other sizes. So a name stands for one specialisation.
    """
    twin = FunctionType(kernel.__code__, kernel.__globals__, kernel.__name__, kernel.__defaults__, kernel.__closure__)
    twin.__qualname__ = f"{kernel.__name__}_{name}"
    twin.__doc__ = kernel.__doc__
    return njit(cache=True, **options)(twin)


def serial_and_parallel(kernel: Any, name: str, **options: Any) -> tuple[Any, Any]:
    """Return ``kernel`` jitted for one thread, where ``prange`` is ``range``, and for all threads."""
    serial = compile_as(kernel, name, **options)
    return serial, compile_as(kernel, f"{name}_parallel", parallel=True, **options)
