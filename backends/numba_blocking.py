"""How numba's kernels cut a batch into blocks of rows: by the network and the number of rows alone, so that sums do not
depend on the number of threads.

Measured for a step on two cores of an EPYC with AVX-512, lower quartiles, processes in turn. Blocks of 128, 240, 368
and 480 rows took 8.3, 5.6, 4.2 and 4.1 ms at 32-64-1, n = 2^16, and 1.11, 1.03, 1.00 and 0.98 at 8-32-1, n = 2^16. Wide
layers in 1, 2, 4, 8 and 16 blocks, each product on one thread, took 4.5, 3.0, 3.5, 4.5 and 6.0 ms at 784-512-10,
n = 256, 18.7, 9.5, 10.0, 10.7 and 12.0 at n = 1,024, and 73, 37.6, 37.5, 37.0 and 38.9 at n = 4,096, where the BLAS's
own threads took 3.4, 12.1 and 40.9; more blocks than two are for machines of more cores.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

REGISTER_PARAMETERS = 36
"""Up to this size LLVM unrolls the register kernels; beyond it they spill and lose to the blocked ones."""
REGISTER_ROWS = 4096

SMALL_PRODUCT = 1_000_000
"""OpenBLAS multiplies without packing or threads while rows x inputs x outputs is at most this."""
LEAST_ROWS, MOST_ROWS = 64, 480
"""Rows of a block of such products; at 512, a power of two, the rows of a feature-major block share cache sets."""
LEAST_WIDE_ROWS, MOST_WIDE_ROWS = 128, 512
"""Rows of a block where a layer is too large for that; the BLAS copies such factors, and no sets are shared."""
HUGE_ROWS = 4096
CHUNKS = 16
"""Most runs of blocks whose gradients one thread adds up, each with gradients of its own."""
LEAST_CHUNKS = 8
ROOM_BYTES = 1 << 27
"""Most scratch of all chunks together. Where it does not hold `LEAST_CHUNKS`, all threads share each product."""


class Blocking(NamedTuple):
    """How batches of one network are cut.

    Attributes:
        family: ``registers``, a tiny network held in registers; ``blocks`` of small products; ``wide``, blocks of large
            products of one thread each; ``huge``, one block after the other, its products by the BLAS's own threads.
        least_rows: a batch of more than so many rows is cut into several blocks.
        rows: most rows of a block.
        chunks: most chunks.
    """

    family: Literal["registers", "blocks", "wide", "huge"]
    least_rows: int
    rows: int
    chunks: int

    def cut(self, n: int) -> int:
        """Return the rows of each block of a batch of ``n`` rows, as even as they can be; the last may have fewer."""
        blocks = max(-(-n // self.rows), min(LEAST_CHUNKS, -(-n // self.least_rows)))
        rows = -(-n // blocks)
        return rows if blocks == 1 else rows + -rows % 16


def blocking(sizes: tuple[int, ...], real: Any) -> Blocking:
    """Return how batches of a network of these sizes are best cut; ``real`` is the dtype's scalar type."""
    if len(sizes) == 3 and parameters(sizes) <= REGISTER_PARAMETERS:
        return Blocking("registers", REGISTER_ROWS, REGISTER_ROWS, CHUNKS)
    rows = min(SMALL_PRODUCT // largest(sizes), MOST_ROWS) // 16 * 16
    if rows >= LEAST_ROWS:
        return Blocking("blocks", rows, rows, CHUNKS)
    chunks = min(CHUNKS, ROOM_BYTES // (room_length(sizes, MOST_WIDE_ROWS) * np.dtype(real).itemsize))
    if chunks >= LEAST_CHUNKS:
        return Blocking("wide", LEAST_WIDE_ROWS, MOST_WIDE_ROWS, chunks)
    return Blocking("huge", HUGE_ROWS, HUGE_ROWS, 1)


def room_length(sizes: tuple[int, ...], rows: int) -> int:
    """Return how many numbers one chunk needs as scratch, rounded up to whole cache lines: gradients, the product of
    the largest layer, and for each row its outputs and two error terms of the widest layer.
    """
    length = parameters(sizes) + largest(sizes) + (sum(sizes[1:]) + 2 * max(sizes[1:])) * rows
    return length + -length % 16


def parameters(sizes: tuple[int, ...]) -> int:
    """Return the number of weights and biases."""
    return sum(o * (i + 1) for i, o in pairwise(sizes))


def largest(sizes: tuple[int, ...]) -> int:
    """Return the number of weights of the largest layer."""
    return max(o * i for i, o in pairwise(sizes))
