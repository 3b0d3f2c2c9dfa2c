"""What a probe is, and the shapes and sizes that all libraries are probed with. Imports no framework but numpy.

Tests: `tests/bench/limits/test_probes.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backends.base import Array
from bench.limits.ceilings import Kind
from bench.workload.memory import free_bytes

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
WORKING_SETS = (16 * KIB, 64 * KIB, 1 * MIB, 4 * MIB, 16 * MIB, 64 * MIB, 512 * MIB)
BRIEF_SETS = (64 * KIB, 4 * MIB, 128 * MIB)
SAMPLE_S = 2e-3
"""About how long one call of a probe of small arrays should take: long for a clock, short for a quiet moment."""

PRODUCTS = {
    "4096x784 * 784x512 (forward)": (4096, 784, 512, False, True),
    "512x4096 * 4096x784 (dW)": (512, 4096, 784, True, False),
    "4096x512 * 512x784 (dX)": (4096, 512, 784, False, False),
    "1024x1024 * 1024x1024": (1024, 1024, 1024, False, False),
    "512x784 * 784x4096 (columns)": (512, 784, 4096, False, False),
    "512x4096 * 4096x784 (columns dW)": (512, 4096, 784, False, True),
    "64x64 * 64x16384": (64, 64, 16384, False, False),
}
"""Rows, inner size, columns, and whether the left and the right factor are stored transposed."""

BRIEF_PRODUCTS = ("512x4096 * 4096x784 (dW)", "1024x1024 * 1024x1024", "64x64 * 64x16384")


@dataclass(frozen=True)
class Probe:
    """One piece of work that is timed over and over.

    Attributes:
        kind: as in `bench.limits.ceilings.Ceiling`, as are ``dtype``, ``shape`` and ``working_set_bytes``.
        work: bytes, FLOP or elements of one call, all threads together.
        call: does it; the argument is the number of the thread.
        spread: whether ``call`` is one thread's part, and every thread is to make it at the same time.
        apart: whether these parts share nothing, not even memory: the rate is then the sum of each thread's best.
    """

    kind: Kind
    dtype: str
    shape: str
    working_set_bytes: int
    work: float
    call: Callable[[int], object]
    spread: bool = False
    apart: bool = False


def products(brief: bool = False) -> tuple[str, ...]:
    """Return the names of the products to probe."""
    return BRIEF_PRODUCTS if brief else tuple(PRODUCTS)


def working_sets(brief: bool = False) -> tuple[int, ...]:
    """Return the sizes of memory to probe, the largest within an eighth of what is free."""
    sizes = BRIEF_SETS if brief else WORKING_SETS
    return tuple(size for size in sizes if size <= free_bytes() // 8) or sizes[:1]


def memory(brief: bool = False) -> Array:
    """Return float64 ones as large as the largest working set: the one array that reading and copying work on, since to
    get memory from the system takes longer than to probe it.
    """
    return np.ones(working_sets(brief)[-1] // 8)


def parts(whole: Array, size: int, count: int, dtype: str) -> Array:
    """Return the first ``size`` bytes of an array as ``count`` equal rows of a dtype."""
    return whole[: size // 8].view(dtype)[: size // np.dtype(dtype).itemsize // count * count].reshape(count, -1)


def repeats(call_bytes: float, bytes_per_s: float = 2e10) -> int:
    """Return how many times to go through small arrays in one call."""
    return max(1, round(SAMPLE_S * bytes_per_s / call_bytes))


def random(shape: tuple[int, ...], dtype: str) -> Array:
    """Return normal numbers of a fixed seed, which tanh finds neither all small nor all large."""
    return np.random.default_rng(0).standard_normal(shape, np.dtype(dtype))


def factors(name: str, dtype: str) -> tuple[Array, Array, float]:
    """Return both factors of a product, transposed views where they are stored so, and its FLOP."""
    m, k, n, left_transposed, right_transposed = PRODUCTS[name]
    left = random((k, m), dtype).T if left_transposed else random((m, k), dtype)
    right = random((n, k), dtype).T if right_transposed else random((k, n), dtype)
    return left, right, 2.0 * m * k * n
