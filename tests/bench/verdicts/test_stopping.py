"""The stopping rule: which cells of a campaign are open still, from the records that it keeps."""

import math

import pandas as pd
import pytest

from backends import Network
from bench.measure.cell import Cell, Group
from bench.verdicts import statistics
from bench.verdicts.pairs import against_fastest
from bench.verdicts.stopping import open_cells
from tests.bench import synthetic
from tests.bench.synthetic import Noise

GRID = {"networks": ("3-2-1",), "batches": (1, 64, 4_096), "phases": ("step",), "failed": None, "rounds": 12}


def records(**options):
    """Return rows as a campaign keeps them."""
    return synthetic.frame(**{**GRID, **options}).to_dict("records")


def test_what_is_decided_is_not_open():
    """Backends far apart in quiet processes leave nothing open."""
    assert open_cells(records(noise=Noise(process=0.005), processes=4)) == {}


def test_an_open_cell_names_those_that_may_be_the_fastest():
    """Where two backends are six per cent apart in noise, both are contenders, and the slow ones are not."""
    near = synthetic.true_s("numba", "3-2-1", 64) * 1.06 / synthetic.true_s("jax", "3-2-1", 64)
    made = records(noise=Noise(process=0.01), processes=3, slower={("jax", "3-2-1", 64): near})
    cell = Cell(Group(Network((3, 2, 1)), 64, "float32", "cpu"), "step")
    found = open_cells(made)
    assert set(found) == {cell}
    assert found[cell].contenders == {("numba", 2), ("jax", 2)}


def test_the_copy_of_a_backend_is_no_contender():
    """The A/A arm decides nothing: two copies of one backend alone leave nothing open."""
    assert open_cells(records(backends=("numba",), noise=Noise(process=0.1))) == {}


def test_a_look_asks_for_more_than_the_final_verdict():
    """A pair that is decided at the 5 % of the final verdict, and not at 1 %, stays open for another lap."""
    near = synthetic.true_s("numba", "3-2-1", 64) * 1.065 / synthetic.true_s("jax", "3-2-1", 64)
    made = records(noise=Noise(process=0.01), processes=4, slower={("jax", "3-2-1", 64): near})
    assert open_cells(made, rate=statistics.RATE) == {}
    assert [(cell.group.rows, it.good) for cell, it in open_cells(made).items()] == [(64, True)]


@pytest.mark.parametrize(("ratio", "scatter", "good"), [(1.05, 0.006, True), (1.01, 0.05, False)])
def test_the_gap_is_to_the_edge_beyond_which_the_next_claim_holds(ratio, scatter, good):
    """Of one that none is faster than, to the edge beyond which others are slower; else to the edge on its own side."""
    near = synthetic.true_s("numba", "3-2-1", 64) * ratio / synthetic.true_s("jax", "3-2-1", 64)
    made = records(noise=Noise(process=scatter), processes=4, slower={("jax", "3-2-1", 64): near}, batches=(64,))
    (found,) = open_cells(made).values()
    frame = pd.DataFrame(made)
    second = against_fastest(statistics.cell_estimates(frame[frame["arm"] == ""]))[0]["to_fastest"].iloc[1]
    assert found.good == good
    assert found.gap == pytest.approx(math.log(second) - (1 if good else -1) * math.log(1.05))
