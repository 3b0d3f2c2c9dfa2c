"""How numba's kernels cut a batch into blocks of rows: by the network, the number of rows and the L2 cache.

The number of threads does not matter, so that sums do not depend on it. ``docs/tuning.md`` has the measurements.

Tests: `tests/backends/test_numba_blocks.py`.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from backends.base import Network
from backends.caches import l2_cache_bytes
from backends.tuned import tuned

REGISTER_PARAMETERS = tuned("numba-register-parameters", 36)
"""Up to this size LLVM unrolls the register kernels; beyond it they spill and lose to the blocked ones."""
REGISTER_ROWS = 4096

TILED_WEIGHTS = tuned("numba-tiled-weights", 15_625)
"""Layers of at most this many weights are multiplied by tiles, larger ones by the BLAS, which packs them."""
TILE_ROWS = 32
"""Blocks have whole tiles of rows (`numba_tiles.STEP_ROWS`)."""
FEW_ROWS, SHORT_ROWS = tuned("numba-few-rows", 4), tuned("numba-short-rows", 16)
"""Up to this many rows, products are made row by row, or by tiles of half as many rows: whole tiles would be mostly
empty.
"""
LEAST_ROWS, MOST_ROWS = 64, 480
"""Rows of a block of such layers, as many as a part of the L2 cache holds; at 512, a power of two, the rows of a
feature-major block share cache sets.
"""
CACHE_PART = 2.0
"""Part of the L2 cache, as its divisor, for the batch and the scratch of one block."""
FEW_WIDE_ROWS, MOST_WIDE_ROWS = 256, 512
"""Rows of few blocks and of many if a layer is too large for that; the BLAS copies its factors before use."""
HUGE_ROWS = 4096
CHUNKS = 16
"""Most runs of blocks whose gradients one thread adds up, each into separate gradients."""
LEAST_CHUNKS = 8
SPLIT_WORK, SPLIT_ROWS, TANH_WORK = tuned("numba-split-work", 200_000), 64, 20
"""Two threads repay their start from `SPLIT_WORK` rows x parameters, a tanh counting as `TANH_WORK` of these, and
`SPLIT_ROWS` rows.
"""
PART_ROWS = 256
"""Steps of wide layers are a team's (`numba_team`), in parts of up to this many rows, so that its scratch stays in the
caches; up to `FEW_ROWS` it takes one by one.
"""
MOST_TEAM_WEIGHTS, MOST_TEAM_ROWS = 1 << 22, 512
"""If the largest layer has more weights, a step of more rows is faster by the BLAS: each part reads all weights."""
MEMBER_WORK, MEMBER_STEP_WORK, MEMBER_WIDTH = 2_000_000, 400_000, 16
"""Each member of a team has rows x parameters of at least this in a call, which repays waking its thread, and in each
step, which repays waiting for the others, unless no L2 cache holds the weights of fewer members; and outputs of the
widest layer.
"""
SCRATCH_BYTES = 1 << 27
"""Most scratch of all chunks together. If it does not hold `LEAST_CHUNKS`, all threads share each product. So layers of
more than `MOST_TEAM_WEIGHTS` are huge.
"""


class Blocking(NamedTuple):
    """How batches of one network are cut.

    Attributes:
        family: ``registers``, a tiny network held in registers; ``blocks`` of small products; ``wide``, blocks of large
            products of one thread each; ``huge``, one block after the other, its products by the BLAS's own threads.
            A step of these two may be a team's (`team_of`).
        split_from: rows from which a batch is cut into two blocks at least.
        few_rows: most rows of a block while there are fewer than `LEAST_CHUNKS`.
        rows: most rows of a block.
        chunks: most chunks.
    """

    family: Literal["registers", "blocks", "wide", "huge"]
    split_from: int
    few_rows: int
    rows: int
    chunks: int

    def cut(self, n: int) -> int:
        """Return the rows of each block of a batch of ``n`` rows; the last may have fewer.

        They are as even as they can be. Few blocks are 1, 2, 4, 8 or 16, so that no thread has one more.
        """
        blocks = max(-(-n // self.rows), min(LEAST_CHUNKS, -(-n // self.few_rows)), 1 + (n >= self.split_from))
        if blocks <= CHUNKS and self.chunks > 1:
            blocks = 1 << (blocks - 1).bit_length()
        rows = -(-n // blocks)
        return rows + -rows % TILE_ROWS


def blocking(network: Network, real: Any) -> Blocking:
    """Return how batches of a network are best cut; ``real`` is the dtype's scalar type."""
    if len(network.sizes) == 3 and network.parameter_count <= REGISTER_PARAMETERS and network.loss == "mse":
        return Blocking("registers", REGISTER_ROWS + 1, REGISTER_ROWS, REGISTER_ROWS, CHUNKS)
    work = network.parameter_count + TANH_WORK * sum(network.sizes[1:-1])
    split_from = max(SPLIT_ROWS, SPLIT_WORK // work)
    itemsize = np.dtype(real).itemsize
    if _largest(network) <= TILED_WEIGHTS:
        a_row = (network.inputs + network.outputs + _scratch_of_a_row(network)) * itemsize
        rows = max(LEAST_ROWS, min(MOST_ROWS, int(l2_cache_bytes() // CACHE_PART) // a_row // TILE_ROWS * TILE_ROWS))
        return Blocking("blocks", split_from, rows, rows, CHUNKS)
    scratch_bytes = scratch_length(network, MOST_WIDE_ROWS) * itemsize
    for chunks in (CHUNKS, LEAST_CHUNKS):
        if chunks * scratch_bytes <= SCRATCH_BYTES:
            return Blocking("wide", split_from, FEW_WIDE_ROWS, MOST_WIDE_ROWS, chunks)
    return Blocking("huge", HUGE_ROWS + 1, HUGE_ROWS, HUGE_ROWS, 1)


def team_of(network: Network, real: Any, rows: int, threads: int, steps: float = 1) -> int:
    """Return how many threads share steps of ``rows`` of wide layers, ``steps`` in a call; 0 if no team does."""
    if rows > MOST_TEAM_ROWS and _largest(network) > MOST_TEAM_WEIGHTS:
        return 0
    work = rows * network.parameter_count
    fewest = -(-network.parameter_count * np.dtype(real).itemsize // l2_cache_bytes())
    most = min(max(work // MEMBER_STEP_WORK, fewest), max(network.sizes[1:]) // MEMBER_WIDTH)
    return int(max(1, min(threads, most, work * steps // MEMBER_WORK)))


def scratch_length(network: Network, rows: int) -> int:
    """Return how many numbers one chunk needs as scratch, in whole tiles: gradients and loss; for each row its outputs
    and two error terms of the widest layer; one row of the widest layer, inputs included.
    """
    parts = network.parameter_count + 1, _scratch_of_a_row(network) * rows, max(network.sizes)
    return sum(part + -part % TILE_ROWS for part in parts)


def _scratch_of_a_row(network: Network) -> int:
    """Return the numbers of one row that a chunk keeps: all outputs, and two error terms of the widest layer."""
    outputs = network.sizes[1:]
    return sum(outputs) + 2 * max(outputs)


def _largest(network: Network) -> int:
    """Return the number of weights of the largest layer."""
    return max(o * i for o, i in network.layer_shapes)
