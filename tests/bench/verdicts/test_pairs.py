"""Every pair of a grid weighed at once."""

import pytest

from bench.verdicts import compare, pairs, statistics
from tests.bench import synthetic


@pytest.fixture(scope="module")
def frame():
    """A run in which some cases are won, some tied and some undecided."""
    noise = synthetic.Noise(process=0.05, round=0.05)
    slower = {(backend, "3-2-1", 1_048_576): factor for backend, factor in (("numba", 1.0), ("jax", 1.02))}
    return synthetic.frame(phases=("step",), processes=3, rounds=12, noise=noise, slower=slower, seed=5)


def test_every_pair_is_weighed_and_the_fastest_of_a_case_bears_its_outcome(frame):
    """The first of a case says what `compare` says of the case; the others, what is proven of them against it."""
    estimates = statistics.cell_estimates(frame)
    found, count = pairs.against_fastest(estimates[estimates["arm"] == ""])
    expected = compare.compare(frame)
    assert count == expected.pairs == 6 * found["case"].nunique()
    first = found.drop_duplicates("case")
    assert first["verdict"].tolist() == expected.winners["outcome"].tolist()
    assert (first["to_fastest"] == 1.0).all()
    others = found[found["case"].duplicated()]
    assert (others["to_fastest_low"] < others["to_fastest"]).all()
    slower = others[others["verdict"] == "slower"]
    assert (slower["to_fastest_low"] > 1.05).all()
    assert {"fastest", "undecided"} <= set(first["verdict"])


def test_pair_of_equals_is_a_tie():
    """Two backends of one speed tie, and so does the one that happens to be first."""
    still = synthetic.Noise(process=0.001, round=0.002, hit_share=0.0)
    twice = synthetic.frame(("numpy",), ("3-2-1",), (256,), ("step",), twin="numpy", failed=None, noise=still)
    estimates = statistics.cell_estimates(twice)
    both = estimates.assign(backend=["numpy", "copy"], arm="")
    found, count = pairs.against_fastest(both)
    assert (count, found["verdict"].tolist()) == (1, ["tie", "tie"])


def test_backend_alone_is_the_fastest(frame):
    """Where nothing can be compared, the only backend is the fastest of its case, one time itself."""
    estimates = statistics.cell_estimates(frame[frame["backend"] == "numpy"])
    found, count = pairs.against_fastest(estimates)
    assert count == 0
    assert set(found["verdict"]) == {"fastest"}
    assert set(found["to_fastest"]) == {1.0}
