"""The claims on optimisers, mini-batches, activations and losses: who passes them, and whom they are not about."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backends import available, find
from backends.base import Capabilities, Layer, Params
from backends.conformance import check
from backends.conformance.bounds import Ball
from backends.conformance.complete import Complete
from backends.conformance.elementwise import LOSSES
from backends.conformance.oracle import EXTENDED
from backends.conformance.plain import Batch, Plain
from backends.conformance.subject import SMALLEST, precision_of

CLAIMS = ("activations", "losses", "optimizers", "mini-batches")


class NoPromise(Complete):
    """Right, sums in another order each time, and promises nothing."""

    capabilities = replace(Complete.capabilities, deterministic=frozenset())

    def product(self, a: Any, b: Any) -> Any:
        order = np.random.default_rng().permutation(a.shape[1])
        return super().product(a[:, order], b[order])


class OtherTraining(Complete):
    """Right, and `train` sums in another order than single steps do."""

    backwards = False

    def product(self, a: Any, b: Any) -> Any:
        return np.asarray(a[:, ::-1] @ b[::-1]) if self.backwards else super().product(a, b)

    def train(
        self, params: Any, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> Any:
        self.backwards = steps > 1
        try:
            return super().train(params, batch, learning_rate, steps, rows_per_step)
        finally:
            self.backwards = False


class MomentumAlone(Complete):
    """Right, and offers momentum, relu, and nothing else."""

    capabilities = Capabilities(activations=("tanh", "relu"), optimizers=("descent", "momentum"))


@pytest.mark.parametrize(
    ("kind", "claims", "dtype"),
    [
        (Complete, CLAIMS, "float32"),
        (Complete, CLAIMS, "float64"),
        (NoPromise, CLAIMS, "float32"),
        (OtherTraining, CLAIMS, "float64"),
        (MomentumAlone, ("activations", "optimizers"), "float32"),
        (Plain, (), "float32"),
    ],
)
def test_right_backend_passes_what_it_offers(kind: type[Plain], claims: tuple[str, ...], dtype: str) -> None:
    """Each claim is about what a backend's capabilities offer, and passes if that is right; of one in every case."""
    quick = kind is not Complete
    report = check(f"{kind.__module__}:{kind.__name__}", dtype=dtype, claims=CLAIMS, draws=0, quick=quick)
    assert report.failures == ()
    assert {claim.name for claim in report.claims if claim.status == "pass"} == set(claims)


@pytest.mark.parametrize("name", [name for name in available("idiom") if not find(name).capabilities.compiles])
def test_idiom_passes_the_claims_on_workloads(name: str) -> None:
    """What frameworks' documentation would write is right; the fast backends are checked apart from the tests."""
    report = check(name, claims=CLAIMS, quick=True)
    assert [(failed.case, failed.where) for failed in report.failures] == []


def softmax_styles(p: Any) -> list[Any]:
    """Return the softmax of each row in five ways."""
    largest = p.max(axis=1, keepdims=True)
    total = np.exp(p - largest).sum(axis=1, keepdims=True)
    return [
        np.exp(p - largest) / total,
        np.exp(p - largest) * (1 / total),
        np.exp((p - largest) - np.log(total)),
        np.exp(p - (largest + np.log(total))),
        np.exp(p) / np.exp(p).sum(axis=1, keepdims=True) if abs(p).max() < 80 else np.exp(p - largest) / total,
    ]


@pytest.mark.parametrize("spread", [0.1, 3.0, 25.0, 200.0, 3000.0])
def test_softmax_of_every_style_stays_within_its_bound(spread: float, dtype: str) -> None:
    """By its maximum, by its logarithm, by a logarithm of all outputs, and without a maximum if nothing overflows."""
    rng = np.random.default_rng(int(spread))
    predicted = (rng.standard_normal((200, 7)) * spread).astype(dtype)
    y = np.eye(7)[rng.integers(0, 7, 200)].astype(dtype)
    p = precision_of(Plain(SMALLEST, dtype), 1)
    ball = LOSSES["cross-entropy"].error_term(Ball(EXTENDED.array(predicted)), EXTENDED.array(y), 200, p)
    for s in softmax_styles(predicted):
        got = (s - y) / predicted.dtype.type(200)
        assert np.all(abs(got - ball.exact).astype(float) <= ball.radius)


class Narrow(Complete):
    """Wrong: takes its first gradients for those of all layers' biases."""

    def backward(self, params: Any, batch: Batch, tape: Any) -> tuple[float, Params]:
        loss, gradients = super().backward(params, batch, tape)
        return loss, tuple(Layer(w, np.zeros_like(b)) for w, b in gradients)


def test_failure_of_a_workload_names_its_stage_and_its_network() -> None:
    """The reason says which stage failed and on which network, activation and loss."""
    report = check(f"{__name__}:Narrow", claims=("activations", "losses"), draws=0)
    cases = [claim.case for claim in report.failures]
    assert [claim.where.split(":")[0] for claim in report.failures] == ["biases gradients"] * 2
    assert "/relu/" in cases[0]
    assert "/cross-entropy/" in cases[1]
