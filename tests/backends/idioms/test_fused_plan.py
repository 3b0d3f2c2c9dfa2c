"""How a batch is shared out among the programs of a fused kernel."""

from __future__ import annotations

import pytest

from backends import Network
from backends.idioms.fused_plan import ONE_PROGRAM_ROWS, WARPS, block_rows, plan_of, plan_of_one, rows_of_a_thread


@pytest.mark.parametrize("sizes", ["3-2-1", "3-16-1", "2-3-3-2"])
@pytest.mark.parametrize("rows", [1, 3, 511, 4096, 4097, 1 << 20, (1 << 26) + 1])
@pytest.mark.parametrize("itemsize", [4, 8])
def test_every_row_has_a_program_and_every_program_a_row(sizes: str, rows: int, itemsize: int) -> None:
    """The programs cover the batch, none of them is empty, and a block is a power of two of rows."""
    network = Network.parse(sizes)
    if not rows_of_a_thread(network, itemsize):
        pytest.skip(f"{sizes} is too wide for {itemsize} bytes")
    of = plan_of(network, itemsize, rows)
    chunk = of.rows * of.blocks
    assert (of.programs - 1) * chunk < rows <= of.programs * chunk
    assert of.rows.bit_count() == 1
    assert of.rows <= block_rows(network, itemsize)
    assert 1 <= of.warps <= WARPS


def test_one_program_takes_a_small_batch_and_no_large_one() -> None:
    """Up to the stated rows there is a plan with one program that has blocks for all of them."""
    of = plan_of_one(Network((3, 2, 1)), 4, ONE_PROGRAM_ROWS)
    assert of is not None
    assert (of.programs, of.rows * of.blocks) == (1, ONE_PROGRAM_ROWS)
    assert plan_of_one(Network((3, 2, 1)), 4, ONE_PROGRAM_ROWS + 1) is None


def test_wide_networks_and_wide_numbers_leave_fewer_rows_to_a_thread() -> None:
    """A thread takes four rows of 3-2-1 in float32, two in float64, one of 4-16-1, and none of 17-33-3."""
    threads = {
        (text, size): rows_of_a_thread(Network.parse(text), size)
        for text in ("3-2-1", "4-16-1", "17-33-3")
        for size in (4, 8)
    }
    assert threads == {
        ("3-2-1", 4): 4, ("3-2-1", 8): 2, ("4-16-1", 4): 1, ("4-16-1", 8): 0, ("17-33-3", 4): 0, ("17-33-3", 8): 0,
    }  # fmt: skip
