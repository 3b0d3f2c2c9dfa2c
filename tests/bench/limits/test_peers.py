"""Peers do the same work: the same losses and parameters as the network's definition, within the proven bounds."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import backends
from backends import BackendUnavailable, Layer, Network, Params
from backends.base import Array
from backends.conformance import check_cell
from bench.limits.peers import PEERS
from bench.limits.peers.peer import Batch, Peer
from bench.workload import Workload
from bench.workload.problem import make

# What TensorFlow, Keras and flax warn of on import is theirs to mend.
pytestmark = pytest.mark.filterwarnings("ignore")


class ThinPeer(Peer):
    """A package that keeps its weights transposed, in a list."""

    name = "thin"

    def place_params(self, params: Sequence[Layer]) -> list[Any]:
        return [(w.T.copy(), b) for w, b in self.host_params(params)]

    def place_arrays(self, x: Array, y: Array) -> tuple[Any, Any]:
        return x, y

    def step(self, params: Any, batch: Batch, learning_rate: float) -> tuple[Any, Any]:
        raise NotImplementedError

    def fetch_moments(self, params: Any) -> tuple[int, list[Params]]:
        raise NotImplementedError

    def fetch_layers(self, params: list[Any]) -> Params:
        return tuple(Layer(w.T.copy(), b.copy()) for w, b in params)


@pytest.mark.parametrize("name", PEERS)
def test_peer_makes_the_same_steps(name: str) -> None:
    """One step and two steps of training stay within the bounds, for one output and for several, at two rates."""
    module, target = PEERS[name]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{name}: No module named {module!r}; pip install -e '.[all,peers]'")
    for sizes, batch in (((3, 2, 1), 3), ((7, 5, 4, 3), 65)):
        problem = make(Network(sizes), batch)
        backend = backends.load(target, problem.network)
        for rate in (problem.learning_rate, problem.learning_rate / 4):
            report = check_cell(backend, problem.params, problem.inputs, problem.targets, rate)
            assert report.passed, report.worst


@pytest.mark.parametrize("name", PEERS)
def test_peer_takes_the_rate_of_each_call(name: str) -> None:
    """A step at a quarter of the rate, on the same params, moves them a quarter as far."""
    module, target = PEERS[name]
    pytest.importorskip(module)
    problem = make(Network((3, 2, 1)), 16)
    backend = backends.load(target, problem.network)
    params, batch = backend.place_params(problem.params), backend.place_batch(problem.inputs, problem.targets)
    states = [backend.fetch(params)[0].weights]
    for rate in (1e-3, 0.25e-3):
        params, _ = backend.step(params, batch, rate)
        states.append(backend.fetch(params)[0].weights)
    far, near = np.abs(np.diff(states, axis=0)).sum(axis=(1, 2))
    assert 3.5 < far / near < 4.5


@pytest.mark.parametrize("text", ["4-5-3/adam", "4-5-3/momentum", "4-5-3/relu/cross-entropy/adam", "4-5-1/sigmoid"])
@pytest.mark.parametrize("name", PEERS)
def test_peer_trains_any_workload_that_it_has_as_the_definition_says(name: str, text: str) -> None:
    """Steps, and what the optimiser keeps, stay within the bounds; mini-batches in a new order have the same losses."""
    module, target = PEERS[name]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{name}: No module named {module!r}; pip install -e '.[all,peers]'")
    workload = Workload.parse(text)
    if lack := workload.lacking(backends.find(target).capabilities):
        pytest.skip(f"{name} {lack}")
    problem = make(workload, 23)
    order = np.random.default_rng(0).permutation(23)
    trained = []
    for one in (target, "numpy-idiom"):
        backend = backends.load(one, workload.network, "float32", optimizer=workload.optimizer)
        report = check_cell(backend, problem.params, problem.inputs, problem.targets, 0.01)
        assert report.passed, report.worst
        batch = backend.reorder(backend.place_batch(problem.inputs, problem.targets), order)
        trained.append(backend.train(backend.place_params(problem.params), batch, 0.01, 6, rows_per_step=8)[1])
    np.testing.assert_allclose(*trained, rtol=1e-5)


@pytest.mark.parametrize("name", PEERS)
def test_peer_that_is_not_installed_says_how_to_get_it(name: str) -> None:
    """Loading a peer without its package raises the one error of missing backends."""
    module, target = PEERS[name]
    if importlib.util.find_spec(module) is not None:
        pytest.skip(f"{module} is installed")
    with pytest.raises(BackendUnavailable, match=r"No module named.*; install"):
        backends.load(target, Network((3, 2, 1)))


def test_peer_answers_the_other_phases_from_its_own_params() -> None:
    """Forward, backward, update and fetch of a peer with transposed params are those of numpy, to the bit."""
    backend = ThinPeer(Network((3, 2, 1)))
    reference = backends.load("numpy-idiom", Network((3, 2, 1)))
    problem = make(Network((3, 2, 1)), 5)
    found = []
    for one in (backend, reference):
        params, batch = one.place_params(problem.params), one.place_batch(problem.inputs, problem.targets)
        tape = one.forward(params, batch)
        loss, gradients = one.backward(params, batch, tape)
        params = one.update(params, gradients, 0.1)
        arrays = [array for layer in (*one.fetch(params), *one.fetch(gradients)) for array in layer]
        found.append([*one.outputs(tape), np.asarray(loss), *arrays])
    for got, expected in zip(*found, strict=True):
        np.testing.assert_array_equal(got, expected)
