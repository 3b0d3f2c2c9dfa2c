"""PyTorch's matrix products, by its BLAS and by oneDNN, and its tanh on the CPU, with its own threads.

Tests: `tests/bench/limits/test_probes.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from backends.torch_backend import has_onednn, onednn_linear
from bench.basics.names import DTYPES
from bench.limits.probes.probe import Probe, factors, products, random

TANH_BLOCK = 131_072


def probes(threads: int, dtypes: Sequence[str] = DTYPES, brief: bool = False) -> Iterator[Probe]:
    """Yield products and tanh for each dtype."""
    torch.set_num_threads(threads)
    for dtype in dtypes:
        for name in products(brief):
            left, right, flop = factors(name, dtype)
            a, b = torch.from_numpy(left), torch.from_numpy(right)
            out = a.new_empty(a.shape[0], b.shape[1])
            yield Probe("product", dtype, name, 0, flop, partial(_product, a, b, out))
            if has_onednn(dtype, "cpu"):
                yield Probe("product", dtype, name, 0, flop, partial(_onednn_product, a, b, out))
        x = torch.from_numpy(random((threads * TANH_BLOCK,), dtype))
        yield Probe("tanh", dtype, "tanh", 0, float(x.numel()), partial(_tanh, x, torch.empty_like(x)))


def _product(a: Any, b: Any, out: Any, thread: int) -> None:
    torch.mm(a, b, out=out)


def _onednn_product(a: Any, b: Any, out: Any, thread: int) -> None:
    onednn_linear(a, b.T, None, "none", [], "")


def _tanh(x: Any, out: Any, thread: int) -> None:
    torch.tanh(x, out=out)
