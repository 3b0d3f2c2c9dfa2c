"""What one NVIDIA GPU does at best: memory, products in full precision, tanh, and launches of a kernel, by PyTorch.

Every call hands the device enough work for `CALL_S` and waits for the end of it, so that the wait itself is small.

Tests: `tests/bench/limits/test_probes.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from backends.torch_precision import full_precision
from bench.basics.names import DTYPES
from bench.limits.probes.probe import GIB, MIB, Probe, factors, products, random

SETS, BRIEF_SETS = (4 * MIB, 64 * MIB, 2 * GIB), (4 * MIB, 2 * GIB)
"""Bytes in the caches of a GPU, at their edge and beyond."""

MOST_SHARE = 1 / 8
"""Of the memory that is free."""

SQUARE = 8192
TANH_ELEMENTS = 1 << 24
LAUNCHES = 1000
CALL_S, FLOP_PER_S, BYTES_PER_S = 2e-3, 5e13, 3e12


def probes(threads: int, dtypes: Sequence[str] = DTYPES, brief: bool = False, device: str = "cuda") -> Iterator[Probe]:
    """Yield copies and reads of each working set, products and tanh for each dtype, and launches.

    Args:
        threads: of the host; no matter here.
        dtypes: of products and tanh.
        brief: fewer sizes.
        device: ``cpu`` runs the same calls without a GPU, for the tests.
    """
    yield from _memory(BRIEF_SETS if brief else SETS, device)
    for dtype in dtypes:
        for name in products(brief):
            left, right, flop = factors(name, dtype)
            yield _product(name, dtype, torch.from_numpy(left).to(device), torch.from_numpy(right).to(device), flop)
        if device != "cpu":
            square = torch.from_numpy(random((SQUARE, SQUARE), dtype)).to(device)
            yield _product(f"{SQUARE}x{SQUARE} squared", dtype, square, square, 2.0 * SQUARE**3)
        x = torch.from_numpy(random((TANH_ELEMENTS if device != "cpu" else 1 << 10,), dtype)).to(device)
        out = torch.empty_like(x)
        yield Probe("tanh", dtype, "tanh", 0, float(x.numel()), _awaited(partial(torch.tanh, x, out=out), 1, device))
    one = torch.zeros(1, device=device)
    yield Probe("launch", "", "add to one number", 0, LAUNCHES, _awaited(partial(one.add_, 1.0), LAUNCHES, device))


def _memory(sizes: Sequence[int], device: str) -> Iterator[Probe]:
    free = torch.cuda.mem_get_info()[0] if device != "cpu" else 64 * MIB
    sizes = [size for size in sizes if size <= MOST_SHARE * free] or sizes[:1]
    whole = torch.ones(sizes[-1] // 4, device=device)
    for size in sizes:
        part, times = whole[: size // 4], max(1, round(CALL_S * BYTES_PER_S / size))
        yield Probe("read", "", "read", size, size * times, _awaited(part.sum, times, device))
    for size in sizes:
        source, copy = whole[: size // 8], whole[size // 8 : 2 * (size // 8)]
        times = max(1, round(CALL_S * BYTES_PER_S / size))
        yield Probe("copy", "", "copy", size, size * times, _awaited(partial(copy.copy_, source), times, device))


def _product(name: str, dtype: str, a: Any, b: Any, flop: float) -> Probe:
    out = a.new_empty(a.shape[0], b.shape[1])
    times = max(1, round(CALL_S * FLOP_PER_S / flop)) if a.is_cuda else 1
    multiply = full_precision(_awaited(partial(torch.mm, a, b, out=out), times, str(a.device.type)))
    return Probe("product", dtype, name, 0, flop * times, multiply)


def _awaited(work: Callable[[], object], times: int, device: str) -> Callable[[int], None]:
    """Return a call that hands some work to the device this many times, and waits for it."""

    def call(thread: int) -> None:
        for _ in range(times):
            work()
        if device != "cpu":
            torch.cuda.synchronize()

    return call
