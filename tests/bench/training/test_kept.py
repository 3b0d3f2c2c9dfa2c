"""Rows kept in a file come back as they were, however they came."""

from __future__ import annotations

import numpy as np
import pytest

from bench.training.kept import KeptRows, in_chunks


@pytest.mark.parametrize("sizes", [(1, 5, 2), (7,), (3, 0, 4, 1), (2, 2, 2, 2)])
def test_chunks_hold_every_row_once_and_in_order(sizes: tuple[int, ...]) -> None:
    """Blocks of any size become chunks of three rows, the last one shorter."""
    whole = np.arange(2.0 * sum(sizes)).reshape(-1, 2)
    blocks = np.split(whole, np.cumsum(sizes)[:-1])
    chunks = list(in_chunks(blocks, 3))
    assert [len(chunk) for chunk in chunks[:-1]] == [3] * (len(chunks) - 1)
    np.testing.assert_array_equal(np.concatenate(chunks), whole)


def test_kept_rows_come_back_bit_for_bit() -> None:
    """What was appended is read in parts of any size, not-a-number among it."""
    whole = np.random.default_rng(0).standard_normal((11, 3))
    whole[4, 1] = np.nan
    with KeptRows(3) as kept:
        for block in np.split(whole, [2, 2, 7]):
            kept.append(block)
        assert kept.rows == 11
        np.testing.assert_array_equal(np.concatenate(list(kept.chunks(4))), whole)
        np.testing.assert_array_equal(kept.part(9, 20), whole[9:])
