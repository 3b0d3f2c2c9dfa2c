"""Other activations and losses are judged as tanh and the mean squared error are: the right pass, the wrong do not."""

from itertools import cycle

import numpy as np
import pytest

import backends
from backends import Adam, Layer, Momentum, Network, Optimizer
from backends.conformance import Report, check_cell
from backends.conformance.cell import CLAIMS
from backends.conformance.complete import Complete
from backends.numpy_backend import NumpyBackend

WORKLOADS = ("5-9-7-3/relu", "5-9-7-3/sigmoid", "5-9-3/identity", "5-9-4/cross-entropy", "5-9-7-4/relu/cross-entropy")


def judged(backend: backends.Backend, rows: int = 60, rows_per_step: int | None = None) -> Report:
    """Return the report of a drawn cell."""
    rng = np.random.default_rng(11)
    network = backend.network
    params = tuple(
        Layer(rng.standard_normal((o, i)) / np.sqrt(i), rng.standard_normal(o)) for o, i in network.layer_shapes
    )
    x, y = rng.standard_normal((rows, network.inputs)), rng.standard_normal((rows, network.outputs))
    if network.loss == "cross-entropy":
        y = np.exp(y) / np.exp(y).sum(axis=1, keepdims=True)
    return check_cell(backend, params, x, y, 0.05, rows_per_step=rows_per_step)


@pytest.mark.parametrize(("workload", "dtype"), list(zip(WORKLOADS, cycle(backends.DTYPES))))
def test_right_workloads_pass(backend_name: str, dtype: str, workload: str) -> None:
    """Each backend that has the activation and the loss stays within its bounds, in one of the dtypes."""
    network = Network.parse(workload)
    offered = backends.find(backend_name).capabilities
    if network.activation not in offered.activations or network.loss not in offered.losses:
        pytest.skip(f"backend {backend_name!r} does not offer {workload}")
    report = judged(backends.load(backend_name, network, dtype))
    assert [(claim.name, claim.where, claim.ratio) for claim in report.failures] == []


class Off(NumpyBackend):
    """Gradients are wrong by a thousandth."""

    name = "off"

    def backward(self, params, batch, tape):
        loss, gradients = super().backward(params, batch, tape)
        gradients.flat[:] *= self._real(1.001)
        return loss, gradients


@pytest.mark.parametrize("workload", WORKLOADS)
def test_wrong_gradients_are_rejected(dtype: str, workload: str) -> None:
    """The gradients' own claims fail, and neither outputs nor loss."""
    failed = [claim.name for claim in judged(Off(Network.parse(workload), dtype)).failures]
    assert (
        {"weights gradients", "biases gradients"}
        <= set(failed)
        <= {"weights gradients", "biases gradients", "spikes", "exact sums"}
    )


@pytest.mark.parametrize(
    ("meant", "computed", "claim"),
    [
        ("5-9-3/relu", "5-9-3/identity", "outputs"),
        ("5-9-3/sigmoid", "5-9-3", "outputs"),
        ("5-9-3/cross-entropy", "5-9-3", "loss"),
    ],
)
def test_another_activation_or_loss_is_rejected(dtype: str, meant: str, computed: str, claim: str) -> None:
    """A backend that computes another network than it was asked for fails the first claim that this touches."""
    backend = NumpyBackend(Network.parse(computed), dtype)
    backend.network = Network.parse(meant)
    assert claim in [failed.name for failed in judged(backend).failures]


@pytest.mark.parametrize(("optimizer", "dtype"), [(Momentum(), "float64"), (Adam(weight_decay=0.1), "float32")])
def test_updates_of_every_optimiser_are_judged(backend_name: str, dtype: str, optimizer: Optimizer) -> None:
    """With momentum and Adam every claim of a cell holds, the updates' too; descent in their place fails them."""
    network = Network.parse("5-9-3")
    if optimizer.name not in backends.find(backend_name).capabilities.optimizers:
        pytest.skip(f"backend {backend_name!r} does not offer {optimizer}")
    report = judged(backends.load(backend_name, network, dtype, optimizer=optimizer))
    assert {claim.name: claim.status for claim in report.claims} == dict.fromkeys(CLAIMS, "pass")
    other = NumpyBackend(network, dtype)
    other.optimizer = optimizer
    other.fetch_state = lambda params: other.host_state(None)
    failed = [claim.name for claim in judged(other).failures]
    assert failed == ["update", "step", "train"] + ["spikes"] * (optimizer.name == "adam")


class AlwaysFirstRows(Complete):
    """Takes the first rows at every step of mini-batches."""

    def train(self, params, batch, learning_rate, steps, rows_per_step=None):
        parts = None if rows_per_step is None else self.split(batch, rows_per_step)[0]
        return super().train(params, parts or batch, learning_rate, steps)


@pytest.mark.parametrize("network", ["5-9-3", "5-9-7-4/relu/cross-entropy"])
@pytest.mark.parametrize("rows_per_step", [2, 7, 59])
def test_cell_judges_the_mini_batches_it_is_told(dtype: str, network: str, rows_per_step: int) -> None:
    """With a number of rows a step the claim on training is about its steps too; without one it is not."""
    wrong = AlwaysFirstRows(Network.parse(network), dtype)
    assert judged(wrong).passed
    assert [claim.name for claim in judged(wrong, rows_per_step=rows_per_step).failures] == ["train"]
    assert judged(Complete(Network.parse(network), dtype, optimizer=Adam()), rows_per_step=rows_per_step).passed
