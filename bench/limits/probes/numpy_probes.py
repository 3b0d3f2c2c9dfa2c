"""numpy's own loops and BLAS: what every installation has.

Tests: `tests/bench/limits/test_probes.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from backends.base import Array
from bench.basics.names import DTYPES
from bench.limits.probes.probe import Probe, factors, memory, parts, products, random, repeats, working_sets

TANH_BLOCK = 32_768
TANH_REPEATS = 8


def probes(threads: int, dtypes: Sequence[str] = DTYPES, brief: bool = False) -> Iterator[Probe]:
    """Yield products, reading and copying for each working set, and tanh for each dtype."""
    for dtype in dtypes:
        for name in products(brief):
            left, right, flop = factors(name, dtype)
            out = np.empty((left.shape[0], right.shape[1]), dtype)
            yield Probe("product", dtype, name, 0, flop, partial(_product, left, right, out))
    whole = memory(brief)
    for size in working_sets(brief):
        x = parts(whole, size, threads, "float32")
        times = repeats(size)
        yield Probe("read", "", "sum", size, size * times, partial(_read, x, times), spread=True)
    for size in working_sets(brief):
        source, copy = np.split(parts(whole, size, 2 * threads, "float64"), 2)
        times = repeats(size)
        yield Probe("copy", "", "copy", size, size * times, partial(_copy, source, copy, times), spread=True)
    for dtype in dtypes:
        z = random((threads, TANH_BLOCK), dtype)
        work = float(z.size * TANH_REPEATS)
        yield Probe("tanh", dtype, "tanh", 0, work, partial(_tanh, z, np.empty_like(z)), spread=True, apart=True)


def _product(left: Array, right: Array, out: Array, thread: int) -> None:
    np.matmul(left, right, out=out)


def _read(x: Array, times: int, thread: int) -> None:
    for _ in range(times):
        x[thread].max()


def _copy(x: Array, out: Array, times: int, thread: int) -> None:
    for _ in range(times):
        np.copyto(out[thread], x[thread])


def _tanh(x: Array, out: Array, thread: int) -> None:
    for _ in range(TANH_REPEATS):
        np.tanh(x[thread], out=out[thread])
