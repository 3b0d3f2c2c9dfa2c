"""Kernels in Pallas: proven by its interpreter on a CPU, and taken by its compiler for CUDA, without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import backends
from backends import Adam, Descent, Momentum, Network, Optimizer
from backends.conformance import check, check_cell
from backends.idioms import fused_plan
from bench.workload.problem import make

jax = pytest.importorskip("jax", reason="jax is not installed: pip install -e '.[jax]'")

from backends import jax_narrow  # noqa: E402 - they import jax
from backends.idioms import pallas_kernels  # noqa: E402
from backends.idioms.jax_pallas import JaxPallas  # noqa: E402
from backends.jax_optimizers import Trained  # noqa: E402

TUTORIAL = Network((3, 2, 1))
ROWS = fused_plan.block_rows(TUTORIAL, 4)
CALL = "__gpu$xla.gpu.triton"


class Interpreted(JaxPallas):
    """The backend whose kernels Pallas interprets."""

    name = "jax-pallas-interpreted"
    capabilities = replace(JaxPallas.capabilities, devices=("cpu",))
    interpreted = True


@pytest.fixture
def few_programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give several blocks to a program, as in a batch of millions of rows, and few rows to one program."""
    monkeypatch.setattr(fused_plan, "PROGRAMS", 2)
    monkeypatch.setattr(fused_plan, "ONE_PROGRAM_ROWS", 2 * ROWS)
    pallas_kernels.kernels.cache_clear()
    yield
    pallas_kernels.kernels.cache_clear()


@pytest.mark.parametrize(("rows", "dtype"), [(3, "float32"), (6 * ROWS, "float32"), (7 * ROWS - 1, "float64")])
def test_interpreted_kernels_pass_conformance(few_programs: None, rows: int, dtype: str) -> None:
    """In one program and in several, with whole blocks and one that is cut, every claim holds within its bounds."""
    problem = make(TUTORIAL, rows, dtype)
    backend = Interpreted(TUTORIAL, dtype)
    assert type(backend.place_batch(problem.inputs, problem.targets)) is jax_narrow.Batch
    report = check_cell(backend, problem.params, problem.inputs, problem.targets, problem.learning_rate)
    assert report.passed, report.worst


def test_interpreted_kernels_keep_what_is_no_number() -> None:
    """NaN and infinities come through, by the claim of the kit."""
    report = check(f"{__name__}:Interpreted", dtype="float32", quick=True, claims=("values",))
    assert [(claim.name, claim.case, claim.where) for claim in report.failures] == []


@pytest.mark.parametrize(
    ("text", "optimizer", "rows_per_step"),
    [
        ("3-4-3/relu", None, 7),
        ("3-4-3/sigmoid/cross-entropy", Momentum(), None),
        ("2-3-3-2/identity", Adam(weight_decay=0.1), 7),
    ],
)
def test_kernels_train_as_the_tuned_backend(text: str, optimizer: Optimizer | None, rows_per_step: int | None) -> None:
    """Every activation, loss and optimiser, on whole batches and on mini-batches, trains to the same numbers."""
    network = Network.parse(text)
    random = np.random.default_rng(0)
    inputs = random.normal(size=(40, network.inputs))
    targets = np.abs(random.normal(size=(40, network.outputs)))
    targets /= targets.sum(axis=1, keepdims=True)
    ends = []
    for backend in (
        Interpreted(network, "float64", "cpu", optimizer),
        backends.load("jax", network, "float64", "cpu", optimizer),
    ):
        batch = backend.place_batch(inputs, targets)
        params, losses = backend.train(backend.place_params(make(network, 1).params), batch, 1e-2, 13, rows_per_step)
        state = backend.fetch_state(params)
        layers = [*backend.fetch(params), *(layer for moment in state.moments.values() for layer in moment)]
        ends.append(np.concatenate([losses, [state.updates], *(array.ravel() for layer in layers for array in layer)]))
    np.testing.assert_allclose(*ends, rtol=1e-12, atol=1e-13)  # 13 steps of sums of 40 terms, each rounded by 2^-53


@pytest.mark.parametrize(
    ("text", "optimizer", "rows", "dtype"),
    [
        ("3-2-1", None, 3, "float32"),
        ("3-2-1", None, 1 << 26, "float32"),
        ("3-2-1", None, (1 << 20) + 7, "float64"),
        ("3-4-3/relu", Adam(weight_decay=0.1), 2 * ROWS + 7, "float64"),
        ("3-4-3/sigmoid/cross-entropy", Momentum(), 5, "float32"),
        ("2-3-3-2/identity", Adam(), 1 << 20, "float32"),
    ],
)
@pytest.mark.parametrize("kernel", ["step", "train"])
def test_kernels_are_lowered_for_cuda(
    text: str, optimizer: Optimizer | None, rows: int, dtype: str, kernel: str
) -> None:
    """JAX lowers a step, and training, for CUDA without a GPU: one kernel of Triton's for a narrow network."""
    network, chosen = Network.parse(text), optimizer or Descent()
    with jax.enable_x64(dtype == "float64"):
        vector = jax.ShapeDtypeStruct((network.parameter_count,), dtype)
        params: Any = vector
        if chosen.moments:
            params = Trained(vector, (vector,) * len(chosen.moments), jax.ShapeDtypeStruct((), "int32"))
        x, y = (jax.ShapeDtypeStruct((size, rows), dtype) for size in (network.inputs, network.outputs))
        rate = jax.ShapeDtypeStruct((), dtype)
        kernels = pallas_kernels.kernels(network, chosen, 2048, interpreted=False)
        batch = jax_narrow.Batch(x, y)
        more = (5, 8, None) if kernel == "train" else ()
        lowered = kernels[kernel].trace(params, batch, rate, *more).lower(lowering_platforms=("cuda",))
    assert lowered.as_text().count(CALL) == 1
