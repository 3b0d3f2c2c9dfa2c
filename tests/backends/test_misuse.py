"""What every backend says to arguments that it cannot take: one sentence, and nothing computed from them."""

from __future__ import annotations

import pickle
import re
from fractions import Fraction

import numpy as np
import pytest

import backends
from backends import Adam, Layer, Network, parse_optimizer
from backends.host import rate_of

IDIOMS = backends.available("idiom")
NO_RATE = re.escape("learning_rate must be a real number such as 0.01, got")
NAMES = backends.available("best")
NETWORK = Network((3, 2, 1))
INPUTS, TARGETS = np.arange(24.0).reshape(8, 3) / 24, np.ones((8, 1))


def placed(name, network=NETWORK):
    """Return a backend, params and a batch."""
    backend = backends.load(name, network, "float64")
    params = tuple(Layer(np.full((o, i), 0.1), np.zeros(o)) for o, i in network.layer_shapes)
    inputs = np.full((8, network.inputs), 0.5)
    return backend, backend.place_params(params), backend.place_batch(inputs, np.ones((8, network.outputs)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rate", [None, "0.1", [0.1]], ids=repr)
def test_a_learning_rate_that_is_no_number_is_refused(name, rate):
    """Neither NaN params nor a text taken for a number: `step`, `update` and `train` say what was expected."""
    backend, params, batch = placed(name)
    with pytest.raises(TypeError, match=NO_RATE):
        backend.step(params, batch, rate)
    backend, params, batch = placed(name)
    _, gradients = backend.backward(params, batch, backend.forward(params, batch))
    with pytest.raises(TypeError, match=NO_RATE):
        backend.update(params, gradients, rate)
    backend, params, batch = placed(name)
    with pytest.raises(TypeError, match=NO_RATE):
        backend.train(params, batch, rate, 2)


@pytest.mark.parametrize("name", IDIOMS)
def test_an_idiom_refuses_such_a_rate_too(name):
    """What is compared is asked the same."""
    backend, params, batch = placed(name)
    _, gradients = backend.backward(params, batch, backend.forward(params, batch))
    with pytest.raises(TypeError, match=NO_RATE):
        backend.update(params, gradients, None)


@pytest.mark.parametrize("name", NAMES)
def test_a_rate_that_is_changed_in_place_is_seen(name):
    """A rate kept from step to step is its value, not the caller's array."""
    backend, params, batch = placed(name)
    rate = np.array(0.0)
    params, _ = backend.step(params, batch, rate)
    rate += 0.5
    params, before = backend.step(params, batch, rate)
    _, after = backend.step(params, batch, rate)
    assert float(after) != float(before)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1, 1.0),
        (np.float32(0.5), 0.5),
        (np.array(0.25), 0.25),
        (Fraction(1, 2), 0.5),
        (10**400, np.inf),
        (-(10**400), -np.inf),
    ],
)
def test_any_real_number_is_a_rate(given, expected):
    """Numbers of Python and of numpy, an array of no dimension, and whole numbers beyond the floats."""
    assert rate_of(given) == expected
    assert type(rate_of(given)) is float


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("call", ["step", "train", "forward"])
def test_a_batch_that_was_not_placed_is_named(name, call):
    """Host arrays in the place of a batch: the error says what the method takes, and what it got."""
    backend, params, _ = placed(name)
    more = {"step": (0.1,), "train": (0.1, 2), "forward": ()}[call]
    with pytest.raises(
        TypeError, match=r"takes params that its place_params.*a batch of its place_batch, got .* and tuple"
    ):
        getattr(backend, call)(params, (INPUTS, TARGETS), *more)


@pytest.mark.parametrize("sizes", [(3, 4, 1), (5, 2, 1), (40, 40, 1), (512, 512, 1)], ids=str)
@pytest.mark.parametrize("mixed", ["params", "batch"])
@pytest.mark.parametrize("rows", [1, 8])
def test_numba_computes_nothing_of_another_network(sizes, mixed, rows):
    """Kernels take addresses on trust: params or a batch of another network would be read past their end."""
    if "numba" not in NAMES:
        pytest.skip("numba is not installed")
    network = Network(sizes)
    backend, params, _ = placed("numba", network)
    batch = backend.place_batch(np.ones((rows, network.inputs)), np.ones((rows, 1)))
    other, other_params, _ = placed("numba", Network((7, 3, 1)))
    other_batch = other.place_batch(np.ones((rows, 7)), np.ones((rows, 1)))
    given = (other_params, batch) if mixed == "params" else (params, other_batch)
    for call in (backend.step, lambda *args: backend.train(*args, 2)):
        with pytest.raises(ValueError, match="placed by a backend of another network"):
            call(*given, 0.1)
    with pytest.raises(ValueError, match="placed by a backend of another network"):
        backend.forward(*given)
    _, gradients = other.backward(other_params, other_batch, other.forward(other_params, other_batch))
    with pytest.raises(ValueError, match="placed by a backend of another network"):
        backend.update(params, gradients, 0.1)


@pytest.mark.parametrize("sizes", [(3, 2, 1), (40, 40, 1)], ids=str)
def test_numba_updates_no_moments_that_are_not_there(sizes):
    """Params placed for gradient descent end where Adam's moments would begin."""
    if "numba" not in NAMES:
        pytest.skip("numba is not installed")
    descent, params, batch = placed("numba", Network(sizes))
    adam = backends.load("numba", Network(sizes), "float64", optimizer=Adam())
    with pytest.raises(ValueError, match="placed by a backend of another network or optimizer"):
        adam.step(params, batch, 0.1)
    _, gradients = descent.backward(params, batch, descent.forward(params, batch))
    with pytest.raises(ValueError, match="placed by a backend of another network or optimizer"):
        adam.update(params, gradients, 0.1)


def test_jax_says_that_params_are_used_up():
    """JAX takes their memory for the next ones; its own error is about buffers and replicas."""
    if "jax" not in NAMES:
        pytest.skip("JAX is not installed")
    backend, params, batch = placed("jax")
    backend.step(params, batch, 0.1)
    with pytest.raises(ValueError, match="go on with the params that it returned"):
        backend.step(params, batch, 0.1)


@pytest.mark.parametrize("params", [None, 5, {"a": 1}, [1, 2], [(1, 2, 3)] * 2], ids=repr)
def test_what_are_no_params_is_said(params):
    """The error names the form that is expected."""
    with pytest.raises(TypeError, match=r"params must be a sequence of Layer\(weights, biases\)"):
        backends.load("numpy", NETWORK).place_params(params)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"device": None}, "device must be 'cpu' or 'cuda', got None"),
        ({"dtype": None}, "dtype must be 'float32' or 'float64', got None"),
        ({"dtype": 5}, "dtype must be 'float32' or 'float64', got 5"),
        ({"ranks": 2}, r"ranks must be what backends.join\(\) returns, got 2"),
        ({"threads": 1.5}, "threads must be a whole number, got 1.5"),
    ],
)
def test_load_says_what_an_argument_must_be(arguments, says):
    """None of them reaches a framework, whose error would be about something else."""
    with pytest.raises(TypeError, match=says):
        backends.load("numpy", NETWORK, **arguments)


def test_load_takes_what_numpy_takes():
    """Names of a dtype that numpy knows, and a number of threads of numpy's."""
    backend = backends.load("numpy", NETWORK, "f8", threads=np.int64(1))
    assert (backend.dtype, backend.threads, type(backend.threads)) == ("float64", 1, int)


@pytest.mark.parametrize("sizes", ["3-2-1", None, 5, (3, float("nan"), 1), (3, float("inf"), 1)], ids=repr)
def test_sizes_that_are_no_whole_numbers_are_shown(sizes):
    """The error shows what was given and what a network's sizes look like."""
    with pytest.raises(ValueError, match=r"whole numbers such as \(3, 2, 1\), got"):
        Network(sizes)


def test_texts_and_parameters_of_other_types_are_refused():
    """A network and an optimizer are read from texts; an optimizer's parameters are numbers."""
    with pytest.raises(TypeError, match="a network is read from a text"):
        Network.parse(5)
    with pytest.raises(TypeError, match="an optimizer is read from a text"):
        parse_optimizer(5)
    with pytest.raises(ValueError, match="beta1 of adam must be at least 0 and less than 1, got 'x'"):
        Adam(beta1="x")


@pytest.mark.parametrize("name", NAMES)
def test_a_backend_is_pickled_as_what_it_was_loaded_with(name):
    """In another process it is loaded anew: nothing of the memory, threads or compiled code of this one is sent."""
    sent = pickle.dumps(backends.load(name, NETWORK, "float64", optimizer=Adam()))
    assert len(sent) < 1000
    anew = pickle.loads(sent)
    assert (anew.name, anew.network, anew.dtype, anew.optimizer) == (name, NETWORK, "float64", Adam())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_fetched_can_be_pickled(name):
    """A network, an optimizer and fetched params go to another process and back unchanged."""
    backend, params, _ = placed(name)
    network, optimizer, fetched = pickle.loads(pickle.dumps((NETWORK, Adam(), backend.fetch(params))))
    assert (network, optimizer) == (NETWORK, Adam())
    for layer, (weights, biases) in zip(fetched, backend.fetch(params), strict=True):
        assert (layer.weights == weights).all()
        assert (layer.biases == biases).all()
    backend.place_params(fetched)
