"""Generated problems: the same every time, in ordinary numbers, and stable under training."""

import numpy as np
import pytest

from backends import Network
from backends.numpy_backend import NumpyBackend
from bench.workload import problem


def test_equal_arguments_give_equal_problems():
    """Data and parameters come from the arguments alone; another batch has other data."""
    one, two = (problem.make(Network((3, 4, 2)), 50, "float32", seed=3) for _ in range(2))
    assert np.array_equal(one.inputs, two.inputs)
    assert np.array_equal(one.targets, two.targets)
    assert all(np.array_equal(a, b) for k in range(2) for a, b in zip(one.params[k], two.params[k], strict=True))
    assert not np.array_equal(one.inputs[:49], problem.make(Network((3, 4, 2)), 49, "float32", seed=3).inputs)


def test_dtypes_hold_the_same_numbers_rounded():
    """float32 is float64 rounded, so that both time the same problem."""
    single, double = (problem.make(Network((3, 4, 2)), 50, dtype) for dtype in ("float32", "float64"))
    assert (single.dtype, double.dtype) == ("float32", "float64")
    assert np.array_equal(single.inputs, double.inputs.astype("float32"))
    assert np.array_equal(single.params[1].weights, double.params[1].weights.astype("float32"))


def test_rows_beyond_those_drawn_repeat(monkeypatch):
    """A large batch is its first rows again and again, targets with them, the last time cut off."""
    monkeypatch.setattr(problem, "DRAWN_VALUES", 21)
    made = problem.make(Network((3, 2, 1)), 16)
    for whole in (made.inputs, made.targets):
        assert np.array_equal(whole[7:14], whole[:7])
        assert np.array_equal(whole[14:], whole[:2])
        assert len(np.unique(whole[:7])) == whole[:7].size


@pytest.mark.parametrize("sizes", [(3, 2, 1), (8, 32, 1), (1, 1, 1), (32, 32, 32, 1), (100, 20, 10), (2, 64, 3)])
@pytest.mark.parametrize("batch", [1, 60])
def test_thousands_of_steps_learn_and_never_diverge(sizes, batch):
    """Two thousand steps end with a lower loss and finite parameters, without one step that climbs."""
    made = problem.make(Network(sizes), batch, "float64")
    backend = NumpyBackend(made.network, "float64")
    placed = backend.place_batch(made.inputs, made.targets)
    _, losses = backend.train(backend.place_params(made.params), placed, made.learning_rate, 2000)
    assert losses[-1] < losses[0]
    assert (np.diff(losses) <= 1e-12 * losses[0]).all()
