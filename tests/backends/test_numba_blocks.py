"""How numba's blocked kernels cut a batch, and that every way of cutting is right."""

from __future__ import annotations

import numpy as np
import pytest

from backends import Network
from backends.conformance import check
from backends.conformance.cases import Case

numba_blocks = pytest.importorskip("backends.numba_blocks", reason="needs numba and scipy")


@pytest.mark.parametrize(
    ("network", "rows", "chunks"),
    [("8-32-1", 480, 16), ("65-67-9", 224, 16), ("784-512-10", 512, 16), ("2000-2000-1", 4096, 1)],
)
def test_wider_layers_have_shorter_blocks_until_threads_share_products(network: str, rows: int, chunks: int) -> None:
    """Small products, products of one thread, and products that all threads share."""
    assert numba_blocks.blocking(Network.parse(network).sizes, np.float32) == (rows, chunks)


@pytest.mark.parametrize("width", range(100, 3000, 100))
def test_scratch_of_all_chunks_stays_within_its_room(width: int) -> None:
    """However wide the layers, and at least eight chunks wherever threads share the blocks."""
    sizes = Network((width, width, 1)).sizes
    rows, chunks = numba_blocks.blocking(sizes, np.float64)
    if chunks > 1:
        assert 8 <= chunks <= 16
        assert chunks * numba_blocks.room_length(sizes, rows) * 8 <= numba_blocks.ROOM_BYTES


@pytest.mark.parametrize("case", ["130-140-10/n=8705/normal", "1500-1000-2/n=4097/normal"])
def test_blocks_of_wide_layers_are_right(case: str) -> None:
    """Seventeen blocks and a row where each product has one thread, and two blocks where all threads share it."""
    report = check("numba", cases=(Case.parse(case),), claims=("weights gradients", "step"))
    assert report.passed, report
