"""How rows are cut into blocks, and copied."""

from __future__ import annotations

import numpy as np
import pytest

from backends.layout import copy_feature_major, copy_run, equal_blocks


@pytest.mark.parametrize(
    ("n", "blocks", "rows"),
    [
        (1, 1, 1),
        (199, 1, 199),
        (200, 2, 100),
        (1060, 10, 106),
        (1070, 10, 100),
        (1024, 16, 64),
        (1009, 10, 100),
    ],
)
def test_equal_blocks_leave_nothing_over_if_a_number_near_divides_the_rows(n: int, blocks: int, rows: int) -> None:
    """Blocks of about a hundred rows: one below two hundred, equal ones of fifty or more if there are, else a rest."""
    assert equal_blocks(n, 100) == (blocks, rows)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (40_000, 8), (700, 784)])
def test_feature_major_copy_is_the_transpose(shape: tuple[int, int]) -> None:
    """Tables of one tile and of several, with a shorter last one, arrive transposed."""
    table = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    copied = np.empty(shape[::-1], np.float32)
    copy_feature_major(table, copied)
    np.testing.assert_array_equal(copied, table.T)


@pytest.mark.parametrize("rows", [100, 40_000])
@pytest.mark.parametrize("features", [1, 8])
def test_runs_of_blocks_fill_their_memory(features: int, rows: int) -> None:
    """Runs that end in a whole block or in a shorter one leave every block transposed, with its rows of ones."""
    n = 2 * rows + 7
    table = np.random.default_rng(0).normal(size=(n, features)).astype(np.float32)
    memory = np.full(n * (features + 2), np.nan, np.float32)
    for run in (slice(0, rows), slice(rows, n)):
        copy_run(table, memory, run, rows, ones=2)
    for start in range(0, n, rows):
        block = table[start : start + rows]
        placed = memory[start * (features + 2) :][: len(block) * (features + 2)].reshape(features + 2, len(block))
        np.testing.assert_array_equal(placed, np.vstack([block.T, np.ones((2, len(block)))]))
