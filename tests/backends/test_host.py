"""What a caller hands in: masked arrays, numbers of steps and rows of other types."""

import warnings

import numpy as np
import pytest

import backends
from backends import Layer, Network

NETWORK = Network((3, 2, 1))
PARAMS = (Layer(np.full((2, 3), 0.1), np.zeros(2)), Layer(np.full((1, 2), 0.1), np.zeros(1)))
X, Y = np.ones((4, 3)), np.ones((4, 1))


def test_finite_numbers_that_the_dtype_cannot_hold_are_refused():
    """They would be infinite there; what is infinite or missing already is the caller's word."""
    backend = backends.load("numpy", NETWORK)
    huge, odd = X.copy(), X.copy()
    huge[1, 0], odd[0, 0], odd[1, 1] = -1e300, np.inf, np.nan
    with pytest.raises(ValueError, match=r"inputs must be within the range of float32, up to 3.4e\+38, got -1e\+300"):
        backend.place_batch(huge, Y)
    backends.load("numpy", NETWORK, "float64").place_batch(huge, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backend.place_batch(odd, Y)


def test_masked_entries_are_refused():
    """What a mask hides is not trained on unseen; a masked array that hides nothing is an array."""
    backend = backends.load("numpy", NETWORK)
    with pytest.raises(TypeError, match="inputs must be real numbers, got masked entries"):
        backend.place_batch(np.ma.masked_array(X, X > 0), Y)
    backend.place_batch(np.ma.masked_array(X), Y)


@pytest.mark.parametrize("wrong", [1.5, 2.0, "3"])
def test_steps_and_rows_must_be_whole_numbers(backend_name, wrong):
    """Every backend names a number of steps or rows that is not whole."""
    backend = backends.load(backend_name, NETWORK)
    for more, what in (((wrong,), "steps"), ((2, wrong), "rows_per_step")):
        with pytest.raises(TypeError, match=f"{what} must be a whole number, got {wrong!r}"):
            backend.train(backend.place_params(PARAMS), backend.place_batch(X, Y), 0.1, *more)


def test_numbers_of_numpy_are_whole_numbers(backend_name):
    """Steps and rows may be numpy's integers."""
    backend = backends.load(backend_name, NETWORK)
    steps, rows = np.int8(3), np.int64(2)
    _, losses = backend.train(backend.place_params(PARAMS), backend.place_batch(X, Y), 0.1, steps, rows)
    assert losses.shape == (3,)
