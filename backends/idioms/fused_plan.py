"""How a batch is shared out among the programs of a fused kernel on a GPU, whichever framework compiles it.

The constants are calculated for an H100 and not measured.

Tests: `tests/backends/idioms/test_fused_plan.py`.
"""

from __future__ import annotations

from typing import NamedTuple

from backends.base import Network

WARP, WARPS = 32, 4
"""Threads of a warp, and warps of a program that has rows enough."""
REGISTERS = 255
"""Of a thread, of 32 bits each."""
LOAD_BYTES = 16
"""What a thread can load at once."""

PROGRAMS = 8 * 132
"""A batch is cut for this many programs or more before they get more blocks: 8 for each processor of an H100."""
MOST_BLOCKS = 16
"""Of a program: its last sum, over the rows of a block, is then a small part of its work."""
ONE_PROGRAM_ROWS = 4096
"""Up to this many rows a step is one program: that takes about as long as starting the kernels of several."""


class Plan(NamedTuple):
    """How a batch is shared out: rows of a block, blocks of a program, programs, and warps of each."""

    rows: int
    blocks: int
    programs: int
    warps: int


def rows_of_a_thread(network: Network, itemsize: int) -> int:
    """Return for how many rows of a block a thread has registers; 0 if not even for one.

    It keeps the parameters, and for each row its gradients and loss, and a layer's outputs on the way there and back.
    """
    count, outputs = network.parameter_count, sum(network.sizes)
    for rows in (4, 2, 1):
        words = (count + rows * (count + 1 + 2 * outputs)) * itemsize // 4
        if rows * itemsize <= LOAD_BYTES and words <= REGISTERS:
            return rows
    return 0


def block_rows(network: Network, itemsize: int) -> int:
    """Return the rows of a block of a large batch."""
    return WARPS * WARP * rows_of_a_thread(network, itemsize)


def plan_of(network: Network, itemsize: int, n: int) -> Plan:
    """Return how ``n`` rows are shared out among programs whose sums are added up afterwards."""
    most = block_rows(network, itemsize)
    rows = min(1 << (n - 1).bit_length(), most)
    total = -(-n // rows)
    blocks = min(max(1, total // PROGRAMS), MOST_BLOCKS)
    return Plan(rows, blocks, -(-total // blocks), max(1, WARPS * rows // most))


def plan_of_one(network: Network, itemsize: int, n: int) -> Plan | None:
    """Return how one program takes all of ``n`` rows; ``None`` if they are too many."""
    of = plan_of(network, itemsize, n)
    return of._replace(blocks=-(-n // of.rows), programs=1) if n <= ONE_PROGRAM_ROWS else None
