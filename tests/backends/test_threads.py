"""Blocks of a batch for a pool of threads."""

from __future__ import annotations

import pytest

from backends.threads import even_rows


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("n", [1, 2048, 2049, 4096, 5000, 16_384, 1 << 20])
def test_threads_get_as_many_blocks_of_like_length(n: int, threads: int) -> None:
    """One block as long as it may be; then as many for each thread, hardly longer, and the last hardly shorter."""
    most = 2048
    rows = even_rows(n, most, threads)
    blocks = -(-n // rows)
    assert (blocks == 1) == (n <= most)
    assert rows <= most * 17 // 16 + 31
    if blocks > 1:
        assert blocks % threads == 0 or rows < 32 * blocks
        assert blocks * rows - n <= 32 * blocks
