"""Time blocks of calls that all ranks make together. A block lasts until the last rank has ended it.

Single calls of ranks that run ahead of each other tell no time: one waits in its call for what another does elsewhere.

Tests: `tests/bench/ranks/test_scale.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from backends.ranks import Ranks

BLOCK_S = 0.05
"""Long next to the agreement at its beginning, which takes up to half a millisecond."""
LEAST_BLOCKS, MOST_BLOCKS = 5, 200
MOST_GROWTH = 20.0

Calls = Callable[[int], None]
"""Makes that many calls and returns when their results are there."""


def time_calls(ranks: Ranks, calls: Calls, timed_s: float, block_s: float = BLOCK_S) -> tuple[list[float], int]:
    """Return the seconds of a call in each block, the same on every rank, and the number of calls in a block."""
    count, took_s = 1, block(ranks, calls, 1)
    while took_s < block_s:
        count = math.ceil(count * min(MOST_GROWTH, 1.2 * block_s / took_s))
        took_s = min(block(ranks, calls, count) for _ in range(2))  # the first may compile
    blocks = min(max(int(timed_s / took_s), LEAST_BLOCKS), MOST_BLOCKS)
    return [block(ranks, calls, count) / count for _ in range(blocks)], count


def block(ranks: Ranks, calls: Calls, count: int) -> float:
    """Return the seconds of a block: of the rank that took longest, from a moment that all share."""
    ranks.sum(np.ones(1, np.float32))
    begun_s = time.perf_counter()
    calls(count)
    took_s = time.perf_counter() - begun_s
    return max(float(text) for text in ranks.gather(repr(took_s))) if ranks.size > 1 else took_s
