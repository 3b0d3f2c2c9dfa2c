"""Compile one kernel twice, for one thread and for all."""

from types import FunctionType
from typing import Any

from numba import njit


def serial_and_parallel(kernel: Any, **options: Any) -> tuple[Any, Any]:
    """Return ``kernel`` jitted for one thread, where ``prange`` is ``range``, and for all threads.

    numba's disk cache knows a function by its file, name and line, and not by its options: without a name of its own
    the parallel twin would load the serial one's machine code.
    """
    twin = FunctionType(kernel.__code__, kernel.__globals__, kernel.__name__, kernel.__defaults__, kernel.__closure__)
    twin.__qualname__ = f"{kernel.__qualname__}_parallel"
    twin.__doc__ = kernel.__doc__
    return njit(**options)(kernel), njit(parallel=True, **options)(twin)
