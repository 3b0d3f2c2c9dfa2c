"""What every backend promises beyond its numbers: validation, divergence, donation, loss before the update."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest

import backends
from backends import Adam, Backend, Descent, Layer, Network, State, TrainingDiverged

NAMES = backends.available("best")
INPUTS = np.array([[4.0, 9, 1], [2, 5, 6], [1, 8, 3]])
TARGETS = INPUTS @ np.array([[2.0], [-1], [5]])
PARAMS = (
    Layer(np.array([[0.5] * 3, [0.1] * 3]), np.ones(2)),
    Layer(np.ones((1, 2)), np.ones(1)),
)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [((3, 1), "at least one hidden layer"), ((3, 0, 1), "size 1 or more"), ((3, 2.5, 1), "whole numbers")],
)
def test_network_refuses_impossible_sizes(sizes, text):
    """A network without a hidden layer, with an empty layer or half a unit is refused."""
    with pytest.raises(ValueError, match=text):
        Network(sizes)


def test_network_parse_reads_what_it_prints():
    """The command-line form and the sizes are one another's inverse; anything else is refused."""
    network = Network.parse("17-33-3")
    assert network == Network((17, 33, 3))
    assert str(network) == "17-33-3"
    assert network.parameter_count == 17 * 33 + 33 + 33 * 3 + 3
    for text in ("", "3", "3-", "a-b-c", "3--1", "-3-2-1"):
        with pytest.raises(ValueError, match="3-2-1"):
            Network.parse(text)


@pytest.mark.parametrize("name", NAMES)
def test_train_reports_divergence(name):
    """Training that overflows ends with the step, the last finite loss and the advice, never with silent NaN."""
    backend = backends.load(name, Network((3, 2, 1)), "float32")
    batch = backend.place_batch(INPUTS * 1e3, TARGETS * 1e3)
    with pytest.raises(TrainingDiverged, match="lower the learning rate") as caught:
        backend.train(backend.place_params(PARAMS), batch, 1e4, 200)
    error = caught.value
    assert 0 < error.step < 200
    assert np.isfinite(error.losses[: error.step]).all()
    assert not np.isfinite(error.losses[error.step])
    assert error.last_finite_loss == error.losses[error.step - 1]
    assert len(error.losses) == 200


@pytest.mark.parametrize("name", NAMES)
def test_divergence_over_several_blocks_is_reported_once(name):
    """Overflow in the threads that share a large batch is no warning of its own (which would be an error here)."""
    backend = backends.load(name, Network((3, 2, 1)), "float32")
    times = 2 * backend.block_rows // len(INPUTS) + 1
    batch = backend.place_batch(np.tile(INPUTS * 1e3, (times, 1)), np.tile(TARGETS * 1e3, (times, 1)))
    with pytest.raises(TrainingDiverged, match="lower the learning rate"):
        backend.train(backend.place_params(PARAMS), batch, 1e30, 5)


@pytest.mark.parametrize("name", NAMES)
def test_train_reports_a_last_update_that_overflows(name):
    """Parameters that overflow in the very last update are reported too, although every loss was finite."""
    backend = backends.load(name, Network((3, 2, 1)), "float32")
    batch = backend.place_batch(INPUTS, TARGETS)
    with pytest.raises(TrainingDiverged) as caught:
        backend.train(backend.place_params(PARAMS), batch, 1e38, 1)
    assert caught.value.step == 1
    assert caught.value.last_finite_loss == pytest.approx(238.12, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_train_of_no_steps_changes_nothing(name):
    """No steps: the same parameters, no losses; a negative number is refused."""
    backend = backends.load(name, Network((3, 2, 1)), "float64")
    batch = backend.place_batch(INPUTS, TARGETS)
    params, losses = backend.train(backend.place_params(PARAMS), batch, 1e-3, 0)
    assert losses.shape == (0,)
    for got, expected in zip(backend.fetch(params), PARAMS, strict=True):
        np.testing.assert_array_equal(got.weights, expected.weights)
        np.testing.assert_array_equal(got.biases, expected.biases)
    with pytest.raises(ValueError, match="steps must be 0 or more, got -1"):
        backend.train(params, batch, 1e-3, -1)


@pytest.mark.parametrize("name", NAMES)
def test_step_and_train_return_the_loss_before_the_update(name):
    """The first loss is that of the parameters given, and ``train`` returns the losses of its steps in order."""
    backend = backends.load(name, Network((3, 2, 1)), "float64")
    batch = backend.place_batch(INPUTS, TARGETS)
    params, first = backend.step(backend.place_params(PARAMS), batch, 1e-3)
    _, second = backend.step(params, batch, 1e-3)
    _, losses = backend.train(backend.place_params(PARAMS), batch, 1e-3, 2)
    assert float(first) == pytest.approx(238.12000783695962, rel=1e-14)
    assert float(second) < float(first)
    assert list(losses) == pytest.approx([float(first), float(second)], rel=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_forward_keeps_the_tape_of_another_batch(name):
    """A tape stays what it was when another batch, or a step, runs after it."""
    backend = backends.load(name, Network((3, 2, 1)), "float64")
    params = backend.place_params(PARAMS)
    tape = backend.forward(params, backend.place_batch(INPUTS, TARGETS))
    before = backend.outputs(tape)
    other = backend.place_batch(INPUTS[::-1] * 2, TARGETS)
    backend.forward(params, other)
    backend.step(backend.place_params(PARAMS), other, 1e-3)
    for got, expected in zip(backend.outputs(tape), before, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_default_train_and_step_are_the_three_phases():
    """A backend that writes only the three phases gets ``step`` and ``train`` from them: each is called in turn."""
    kind = backends.find("numpy")
    called = []

    def noted(phase):
        def method(self, *arguments):
            called.append(phase)
            return getattr(kind, phase)(self, *arguments)

        return method

    phases = ("forward", "backward", "update")
    defaults = {"step": backends.Backend.step, "train": backends.Backend.train}
    backend = type("Plain", (kind,), defaults | {phase: noted(phase) for phase in phases})(
        Network((3, 2, 1)), "float64"
    )
    _, losses = backend.train(backend.place_params(PARAMS), backend.place_batch(INPUTS, TARGETS), 1e-3, 3)
    assert called == [*phases] * 3
    assert losses[0] == pytest.approx(238.12000783695962, rel=1e-14)
    assert losses[2] < losses[1] < losses[0]


def test_document_of_the_contract_is_true(project):
    """`docs/backends.md` lists the abstract methods with their arguments, and only files that are there; its example of
    capabilities is one.
    """
    text = (project / "docs" / "backends.md").read_text()
    signature = re.compile(r"^\| `(\w+)\((.*?)\)` \|", re.MULTILINE)
    seven = text.partition("## The seven methods")[2].partition("\n## ")[0]
    assert {name for name, _ in signature.findall(seven)} == backends.Backend.__abstractmethods__
    documented = dict(signature.findall(text))
    for name, arguments in documented.items():
        declared = list(inspect.signature(getattr(backends.Backend, name)).parameters)[1:]
        assert [argument.partition("=")[0] for argument in arguments.split(", ")] == declared
    for path in re.findall(r"`((?:backends|examples|bench)/[\w/]+\.py)`", text):
        assert (project / path).is_file(), path
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    known = {"Backend": backends.Backend, "Capabilities": backends.Capabilities}
    exec(next(example for example in examples if "class MyBackend" in example), known)
    assert known["MyBackend"].capabilities.optimizers == ("descent", "adam")


class Old(Backend):
    """A backend written for the contract of seven methods."""

    name = "old"
    place_params = place_batch = forward = backward = update = outputs = fetch = None

    def __init__(self, network: Network, dtype: str = "float32", device: str = "cpu") -> None:
        super().__init__(network, dtype, device)


def test_backend_of_seven_methods_loads_and_says_what_it_lacks(monkeypatch):
    """A constructor of three arguments is called with three, and whatever it lacks is refused by name."""
    monkeypatch.setattr("backends.registry.find", lambda name: Old)
    assert backends.load("old", Network((3, 2, 1)), optimizer=Descent()).fetch_state(None) == State(0, {})
    for arguments, chosen, text in (
        (((3, 2, 1), "relu"), {}, "backend 'old' has no activation 'relu'; it offers tanh"),
        (((3, 2, 2), "tanh", "cross-entropy"), {}, "has no loss 'cross-entropy'; it offers mse"),
        (((3, 2, 1),), {"optimizer": Adam()}, "has no optimizer 'adam'; it offers descent"),
        (((3, 2, 1),), {"threads": 2}, "cannot choose its number of threads"),
    ):
        with pytest.raises(ValueError, match=text):
            backends.load("old", Network(*arguments), **chosen)
    with pytest.raises(ValueError, match="'old' has no mini-batches"):
        backends.load("old", Network((3, 2, 1))).train(None, None, 0.1, 1, rows_per_step=2)
