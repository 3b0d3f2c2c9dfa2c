"""A cell's name: written and read back."""

import pytest

from bench.basics.errors import UsageError
from bench.machine import default_threads
from bench.verdicts import cell_name
from bench.verdicts.cell_name import CellName


@pytest.mark.parametrize(
    "cell",
    [
        CellName("numba", "3-2-1", 1024, "step", "float32", default_threads()),
        CellName("my_package.mine:Mine", "8-32-1", 1, "train", "float64", default_threads() + 1),
    ],
)
def test_name_is_read_back_as_it_was_written(cell):
    """What is printed of a cell, with a dtype and threads of its own if need be, means that cell again."""
    assert cell_name.read(str(cell)) == cell


def test_plain_name_means_float32_on_all_cores():
    """Neither dtype nor threads are written where they are the usual ones; rows may have separators."""
    assert str(cell_name.read("numba  3-2-1 n=1,024 step")) == "numba 3-2-1 n=1024 step"


@pytest.mark.parametrize("text", ["numba", "numba 3-2-1 1024 step", "numba 3-2 n=1 step", "numba 3-2-1 n=0 step", ""])
def test_what_is_no_cell_is_refused_with_the_value(text):
    """A name with a part missing or wrong is wrong usage, and the message repeats it."""
    with pytest.raises(UsageError, match="cell") as refused:
        cell_name.read(text)
    assert repr(text) in str(refused.value)
