"""Every pair of a grid weighed at once: the verdicts of `compare`, without going through the cases one by one."""

import pytest

from bench import compare, pairs, statistics
from tests.bench import synthetic

ROWS = ["network", "batch", "backend"]
TOLD = ["seconds", "to_fastest", "to_fastest_low", "to_fastest_high", "verdict"]


@pytest.fixture(scope="module")
def frame():
    """A run in which some cases are won, some tied and some undecided."""
    noise = synthetic.Noise(block=0.05, round=0.05)
    slower = {(backend, "3-2-1", 1_048_576): factor for backend, factor in (("numba", 1.0), ("jax", 1.02))}
    return synthetic.frame(phases=("step",), blocks=3, rounds=12, noise=noise, slower=slower, seed=5)


def test_pairs_give_the_verdicts_of_compare(frame):
    """Case by case and backend by backend: the same order, ratios, intervals and verdicts, out of as many pairs."""
    figures = statistics.cell_figures(frame)
    found, count = pairs.against_fastest(figures[figures["arm"] == ""])
    expected = compare.compare(frame)
    assert count == expected.pairs
    assert found[[*ROWS, *TOLD]].to_dict("records") == expected.rows[[*ROWS, *TOLD]].to_dict("records")
    assert {"fastest", "slower", "undecided"} <= set(found["verdict"])


def test_pair_of_equals_is_a_tie():
    """Two backends of one speed tie, and so does the one that happens to be first."""
    still = synthetic.Noise(block=0.001, round=0.002, hit_share=0.0)
    twice = synthetic.frame(("numpy",), ("3-2-1",), (256,), ("step",), twin="numpy", failed=None, noise=still)
    figures = statistics.cell_figures(twice)
    both = figures.assign(backend=["numpy", "copy"], arm="")
    found, count = pairs.against_fastest(both)
    assert (count, found["verdict"].tolist()) == (1, ["tie", "tie"])


def test_backend_alone_is_the_fastest(frame):
    """Where nothing can be compared, the only backend is the fastest of its case, one time itself."""
    figures = statistics.cell_figures(frame[frame["backend"] == "numpy"])
    found, count = pairs.against_fastest(figures)
    assert count == 0
    assert set(found["verdict"]) == {"fastest"}
    assert set(found["to_fastest"]) == {1.0}
