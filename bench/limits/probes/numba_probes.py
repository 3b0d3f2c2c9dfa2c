"""Compiled loops over memory, and the tanh of the numba backend: the best that LLVM makes of this machine.

Each thread goes over its own arrays again and again, without the interpreter's lock.

Tests: `tests/bench/limits/test_probes.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numba import njit

from backends.base import Array
from backends.layout import aligned_empty
from backends.numba_activations import value
from bench.basics.names import DTYPES
from bench.limits.probes.probe import Probe, memory, parts, random, repeats, working_sets

TANH_BLOCK = 1024
TANH_REPEATS = 1000
PAGE = 4096


@njit(nogil=True, cache=True)
def read(x: Array, out: Array, times: int) -> None:
    """Sum integers: their addition takes one cycle, so that loads alone are the limit."""
    for _ in range(times):
        s = 0
        for j in range(x.shape[0]):
            s += x[j]
        out[0] = out[0] // 2 + s


@njit(nogil=True, cache=True, error_model="numpy")
def scale(x: Array, out: Array, times: int) -> None:
    """Copy with a factor that changes, so that the compiler does not drop all copies but the last."""
    for k in range(times):
        factor = 1.0 / (k + 1)
        for j in range(x.shape[0]):
            out[j] = x[j] * factor


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def tanh_float32(x: Array, out: Array, times: int) -> None:
    """Evaluate tanh over a block in the L1 cache."""
    for _ in range(times):
        for j in range(x.shape[0]):
            out[j] = value("tanh", x[j])  # type: ignore[call-arg]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def tanh_float64(x: Array, out: Array, times: int) -> None:
    """Evaluate tanh over a block in the L1 cache."""
    for _ in range(times):
        for j in range(x.shape[0]):
            out[j] = value("tanh", x[j])  # type: ignore[call-arg]


def probes(threads: int, dtypes: Sequence[str] = DTYPES, brief: bool = False) -> Iterator[Probe]:
    """Yield reading and copying for each working set, and tanh for each dtype."""
    whole = memory(brief)
    for size in working_sets(brief):
        x = parts(whole, size, threads, "int64")
        sums = np.zeros((threads, 8), np.int64)
        times = repeats(size)
        yield Probe("read", "", "sum", size, size * times, partial(_on_row, read, x, sums, times), spread=True)
    for size in working_sets(brief):
        source, copy = np.split(parts(whole, size, 2 * threads, "float64"), 2)
        times = repeats(size)
        yield Probe("copy", "", "copy", size, size * times, partial(_on_row, scale, source, copy, times), spread=True)
    for dtype in dtypes:
        kernel = {"float32": tanh_float32, "float64": tanh_float64}[dtype]
        z, out = apart(threads, dtype)
        z[:] = random(z.shape, dtype)
        call = partial(_on_row, kernel, z, out, TANH_REPEATS)
        yield Probe("tanh", dtype, "tanh", 0, float(z.size * TANH_REPEATS), call, spread=True, apart=True)


def apart(threads: int, dtype: str) -> tuple[Array, Array]:
    """Return memory for inputs and outputs ``[threads, TANH_BLOCK]``, on cache lines, half a page apart in every page.

    A processor may take a load for one of what was just stored if both are equally far into a page, and let it wait:
    with outputs 64 bytes further on the float64 loop runs at 0.4 to 1 of its rate, in some processes and not in others.
    """
    both = aligned_empty((threads, 2, TANH_BLOCK + PAGE // 2 // np.dtype(dtype).itemsize), np.dtype(dtype))
    return both[:, 0, :TANH_BLOCK], both[:, 1, :TANH_BLOCK]


def _on_row(kernel: object, x: Array, out: Array, times: int, thread: int) -> None:
    kernel(x[thread], out[thread], times)  # type: ignore[operator]
