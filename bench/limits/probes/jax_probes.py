"""XLA's matrix products on the CPU; as many threads as the processors that the process is bound to.

Tests: `tests/bench/limits/test_probes.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax

from bench.basics.names import DTYPES
from bench.limits.probes.probe import PRODUCTS, Probe, factors, products


def probes(threads: int, dtypes: Sequence[str] = DTYPES, brief: bool = False) -> Iterator[Probe]:
    """Yield products for each dtype."""
    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
    for dtype in dtypes:
        for name in products(brief):
            _, _, _, left_transposed, right_transposed = PRODUCTS[name]
            left, right, flop = factors(name, dtype)
            a = jax.device_put(left.T if left_transposed else left)
            b = jax.device_put(right.T if right_transposed else right)
            product = jax.jit(partial(_product, left_transposed, right_transposed))
            yield Probe("product", dtype, name, 0, flop, partial(_wait, product, a, b))


def _product(left_transposed: bool, right_transposed: bool, a: Any, b: Any) -> Any:
    return (a.T if left_transposed else a) @ (b.T if right_transposed else b)


def _wait(product: Any, a: Any, b: Any, thread: int) -> None:
    product(a, b).block_until_ready()
