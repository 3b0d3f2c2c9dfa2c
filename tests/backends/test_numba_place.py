"""Rows are copied into feature-major blocks by tiles."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is not installed: pip install -e '.[numba]'")

from backends import layout, numba_place


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("features", [1, 3, 4, 8, 15, 16, 21, 33])
@pytest.mark.parametrize(("n", "pitch"), [(1, 32), (64, 32), (95, 96), (205, 64)])
@pytest.mark.parametrize("side_by_side", [True, False])
def test_tiles_copy_every_number_and_fill_the_last_block_up(
    dtype: str, features: int, n: int, pitch: int, side_by_side: bool
) -> None:
    """Bit for bit what numpy copies, also from rows and into features that lie among others, which stay as they are."""
    rows = np.random.default_rng(0).standard_normal((n, features + 2)).astype(dtype)[:, 1:-1]
    rows = np.ascontiguousarray(rows) if side_by_side else rows
    expected = np.full((-(-n // pitch), features + 3, pitch), 7, dtype)
    got = expected.copy()
    layout.copy_blocks(rows, expected[:, 2:-1])
    numba_place.copy_blocks(rows, got[:, 2:-1])
    np.testing.assert_array_equal(got, expected)
