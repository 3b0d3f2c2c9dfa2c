"""Activations and losses: their names, the targets of classes, and their derivatives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import backends
from backends import ACTIVATIONS, LOSSES, Layer, Network
from tests.backends.workload_cases import CLASS_NUMBERS, CLASSES, INPUTS, NAMES, ROWS, drawn_params, loaded


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (Network((3, 2, 1)), "3-2-1"),
        (Network((3, 2, 1), "relu"), "3-2-1/relu"),
        (Network((3, 2, 4), loss="cross-entropy"), "3-2-4/cross-entropy"),
        (Network((3, 2, 4), "sigmoid", "cross-entropy"), "3-2-4/sigmoid/cross-entropy"),
    ],
)
def test_network_reads_what_it_writes(network, text):
    """The text of a network names what is not the default, and reading it gives an equal network with an equal hash."""
    assert str(network) == text
    assert Network.parse(text) == network
    assert hash(Network.parse(text)) == hash(network)
    assert Network.parse("3-2-1/tanh/mse") == Network((3, 2, 1)) != Network((3, 2, 1), "relu")


@pytest.mark.parametrize("text", ["3-2-1/gelu", "3-2-1/relu/tanh", "3-2-1/mse/mse", "3-2-1/", "relu/3-2-1"])
def test_network_refuses_other_words(text):
    """Words that are no activation or loss, or two of a kind, are refused with an example."""
    with pytest.raises(ValueError, match="for example 3-2-1"):
        Network.parse(text)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (((3, 2, 1), "gelu"), "no activation 'gelu'; known: tanh, relu, sigmoid, identity"),
        (((3, 2, 1), "tanh", "hinge"), "no loss 'hinge'; known: mse, cross-entropy"),
        (((3, 2, 1), "tanh", "cross-entropy"), "at least 2, got 1"),
    ],
)
def test_network_refuses_unknown_names(arguments, text):
    """An unknown activation or loss is refused with those that are known, and cross-entropy of one output too."""
    with pytest.raises(ValueError, match=text):
        Network(*arguments)


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        (np.where(np.arange(ROWS) == 5, 3, CLASS_NUMBERS), "class number 3 in row 5 is out of range.* 0 to 2"),
        (np.where(np.arange(ROWS) == 0, -1, CLASS_NUMBERS)[:, None], "class number -1 in row 0"),
        (CLASS_NUMBERS.astype(float), "class numbers must be integers"),
        (np.full((ROWS, 3), 0.3), "row 0 sum to 0.9, expected 1"),
        (np.full((ROWS, 3), np.nan), "row 0 sum to nan"),
        (np.tile([1.5, -0.5, 0.0], (ROWS, 1)), "a negative one"),
        (CLASS_NUMBERS[:-1], "must have shape"),
    ],
)
def test_batch_refuses_what_are_no_classes(targets, text):
    """Class numbers out of range, numbers that are not whole, and rows that are no probabilities are refused."""
    with pytest.raises(ValueError, match=text):
        backends.load("numpy", CLASSES).place_batch(INPUTS, targets)


def test_class_numbers_are_probabilities():
    """Class numbers as a column or not, and the probabilities they stand for, are the same targets."""
    backend = backends.load("numpy", CLASSES, "float64")
    expected = np.eye(3)[CLASS_NUMBERS]
    for targets in (CLASS_NUMBERS, CLASS_NUMBERS[:, None].astype(np.uint8), expected, expected.astype(int)):
        np.testing.assert_array_equal(backend.host_batch(INPUTS, targets)[1], expected)
    near = np.full((ROWS, 3), 1 / 3, np.float16)
    np.testing.assert_allclose(backend.host_batch(INPUTS, near)[1].sum(axis=1), 1, rtol=4 * 2.0**-53)


@pytest.mark.parametrize(("activation", "loss"), tuple(zip(ACTIVATIONS, itertools.cycle(LOSSES))))
@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_the_slope_of_the_loss(name, activation, loss):
    """Along any direction the loss changes as the gradient says: a central difference, of each activation and loss."""
    network = Network((3, 4, 5, 3), activation, loss)
    backend = loaded(name, network)
    targets = CLASS_NUMBERS if loss == "cross-entropy" else INPUTS
    batch, start = backend.place_batch(INPUTS, targets), drawn_params(network, 3)
    direction = drawn_params(network, 4)

    def loss_at(distance):
        moved = tuple(
            Layer(w + distance * dw, b + distance * db) for (w, b), (dw, db) in zip(start, direction, strict=True)
        )
        params = backend.place_params(moved)
        return backend.backward(params, batch, backend.forward(params, batch))

    h = 1e-6
    gradients = backend.fetch(loss_at(0.0)[1])
    slope = sum((g * d).sum() for dw, gw in zip(direction, gradients, strict=True) for d, g in zip(dw, gw, strict=True))
    difference = (float(loss_at(h)[0]) - float(loss_at(-h)[0])) / (2 * h)
    assert difference == pytest.approx(slope, rel=1e-6)  # h^2 of curvature, u / h of rounding


@pytest.mark.parametrize("name", NAMES)
def test_backward_leaves_the_tape_as_it_is(name):
    """Of many rows under a single output, whose error terms may take the memory of a step's own outputs."""
    network = Network((3, 4, 1))
    backend = loaded(name, network)
    batch = backend.place_batch(np.tile(INPUTS, (500, 1)), np.tile(INPUTS[:, :1], (500, 1)))
    params = backend.place_params(drawn_params(network, 3))
    tape = backend.forward(params, batch)
    before = [layer.copy() for layer in backend.outputs(tape)]
    first, second = (backend.fetch(backend.backward(params, batch, tape)[1]) for _ in range(2))
    for kept, layer in zip(before, backend.outputs(tape), strict=True):
        np.testing.assert_array_equal(layer, kept)
    for of_layer, again in zip(first, second, strict=True):
        np.testing.assert_array_equal(of_layer.weights, again.weights)


@pytest.mark.parametrize("name", NAMES)
def test_cross_entropy_of_large_outputs_does_not_overflow(name):
    """Outputs of ten thousand, whose exponential no float holds, give the loss that the difference of outputs says."""
    network = Network((1, 1, 2), "identity", "cross-entropy")
    backend = loaded(name, network, "float32")
    params = backend.place_params((Layer(np.ones((1, 1)), np.zeros(1)), Layer([[1e4], [-1e4]], np.zeros(2))))
    batch = backend.place_batch([[1.0], [-1.0]], np.array([1, 1]))
    loss, gradients = backend.backward(params, batch, backend.forward(params, batch))
    assert float(loss) == 1e4
    np.testing.assert_array_equal(backend.fetch(gradients)[1].weights, [[0.5], [-0.5]])


@pytest.mark.parametrize("dtype", backends.DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_sigmoid_is_right_far_from_zero(name, dtype):
    """Where the sigmoid is tiny it has its digits, and nothing overflows."""
    network = Network((1, 1, 1), "sigmoid")
    backend = loaded(name, network, dtype)
    params = backend.place_params((Layer(np.ones((1, 1)), np.zeros(1)),) * 2)
    z = np.array([-500.0, -80, -20, -1, 0, 1, 20, 500])
    outputs = backend.outputs(backend.forward(params, backend.place_batch(z[:, None], z[:, None])))
    exact = 1 / (1 + np.exp(-z.astype(np.longdouble)))
    limits = np.finfo(dtype)
    np.testing.assert_allclose(outputs[0][:, 0], exact.astype(dtype), rtol=8 * limits.eps, atol=limits.tiny)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n", [1024, 1500, 40_001])
def test_numpy_step_of_one_output_has_the_gradients_of_backward(activation, n):
    """Many rows under a single output: the fewer passes of a step give the loss and the gradients of a tape."""
    network = Network((3, 4, 1), activation)
    backend, rng = loaded("numpy", network, threads=2), np.random.default_rng(n)
    backend._batches.block_rows = 8192
    batch = backend.place_batch(rng.standard_normal((n, 3)), rng.standard_normal((n, 1)))
    params = backend.place_params(drawn_params(network))
    loss, gradients = backend.backward(params, batch, backend.forward(params, batch))
    message = backend.message(params, batch)
    np.testing.assert_allclose(message[-1], loss, rtol=n * 2.0**-53)
    np.testing.assert_allclose(message[:-1], gradients.flat, rtol=0, atol=n * 2.0**-53 * np.abs(gradients.flat).max())


def test_relu_slope_at_zero_is_zero():
    """A hidden unit at exactly zero passes no gradient on."""
    for name in NAMES:
        if "relu" not in backends.find(name).capabilities.activations:
            continue
        backend = backends.load(name, Network((1, 1, 1), "relu"), "float64")
        params = backend.place_params((Layer(np.zeros((1, 1)), np.zeros(1)), Layer(np.ones((1, 1)), np.zeros(1))))
        batch = backend.place_batch(np.ones((4, 1)), np.ones((4, 1)))
        _, gradients = backend.backward(params, batch, backend.forward(params, batch))
        assert backend.fetch(gradients)[0].weights == 0, name
        assert backend.fetch(gradients)[1].biases == -2, name
