"""What JAX compiles and when, by which way its gradients come, and the forms of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import backends
from backends import Network
from backends.conformance import check_cell
from bench.problem import make

jax = pytest.importorskip("jax", reason="jax is not installed: pip install -e '.[jax]'")

from backends import jax_backend, jax_kernels, jax_narrow, jax_wide  # noqa: E402 - they import jax

NARROW, FEATURE_MAJOR, ROW_MAJOR = "3-2-1", "17-33-3", "40-9-1"
ROWS = jax_backend.NARROW_ROWS


@pytest.fixture
def compiled() -> Iterator[list[str]]:
    """A list that grows with each compilation."""
    events: list[str] = []

    def listen(event: str, duration_s: float, **_: object) -> None:
        if event.endswith("backend_compile_duration"):
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield events
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture
def fresh_kernels() -> Iterator[None]:
    """Kernels of this test alone."""
    jax_kernels.kernels.cache_clear()
    yield
    jax_kernels.kernels.cache_clear()


@pytest.mark.parametrize("sizes", [NARROW, ROW_MAJOR])
def test_only_kernels_compile(compiled: list[str], sizes: str) -> None:
    """Placing a batch, short or cut into blocks, compiles nothing; the first step of a shape does, the second not."""
    backend = backends.load("jax", Network.parse(sizes))
    placed = backend.place_params(make(backend.network, 1).params)
    for rows in (5, 2 * backend.block_rows + 7):
        problem = make(backend.network, rows)
        batch = backend.place_batch(problem.inputs, problem.targets)
        backend.synchronize()
        assert compiled == []
        placed, _ = backend.step(placed, batch, 0.01)
        assert len(compiled) == 1
        placed, _ = backend.step(placed, batch, 0.01)
        assert len(compiled) == 1
        compiled.clear()


@pytest.mark.parametrize("rows", [5, ROWS])
def test_gradients_come_from_grad(monkeypatch: pytest.MonkeyPatch, fresh_kernels: None, rows: int) -> None:
    """Whatever `jax.value_and_grad` returns is what backward, step and train use: here it is made three times as
    much.
    """
    problem = make(Network.parse(NARROW), rows, "float64")

    def moved(backend: Any) -> list[np.ndarray]:
        """Return by how much backward, step and train say that the first weights change."""
        batch = backend.place_batch(problem.inputs, problem.targets)
        params = backend.place_params(problem.params)
        _, gradients = backend.backward(params, batch, backend.forward(params, batch))
        ends = [backend.step(backend.place_params(problem.params), batch, 1.0)[0]]
        ends.append(backend.train(backend.place_params(problem.params), batch, 1.0, 1)[0])
        start = problem.params[0].weights
        return [backend.fetch(gradients)[0].weights, *(start - backend.fetch(end)[0].weights for end in ends)]

    plain = moved(backends.load("jax", problem.network, "float64"))
    value_and_grad = jax.value_and_grad

    def tripled(*arguments: Any, **options: Any) -> Callable[..., Any]:
        function = value_and_grad(*arguments, **options)

        def call(*values: Any) -> Any:
            value, gradients = function(*values)
            return value, jax.tree.map(lambda gradient: 3 * gradient, gradients)

        return call

    monkeypatch.setattr(jax, "value_and_grad", tripled)
    jax_kernels.kernels.cache_clear()
    for before, after in zip(plain, moved(backends.load("jax", problem.network, "float64")), strict=True):
        np.testing.assert_allclose(after, 3 * before, rtol=1e-9)


@pytest.mark.parametrize(
    ("sizes", "rows", "form"),
    [
        (NARROW, ROWS - 1, jax_wide.Batch),
        (NARROW, ROWS, jax_narrow.Batch),
        (NARROW, 3 * jax_backend.NARROW_BLOCK_ROWS + 5, jax_narrow.Batch),
        ("2-3-3-2", ROWS, jax_narrow.Batch),
        (FEATURE_MAJOR, ROWS, jax_wide.Batch),
        (ROW_MAJOR, ROWS, jax_wide.Batch),
    ],
)
def test_each_form_of_a_batch_passes_conformance(sizes: str, rows: int, form: type, dtype: str) -> None:
    """Short and long batches of narrow networks, and both layouts of wide ones, stay within the proven bounds."""
    problem = make(Network.parse(sizes), rows, dtype)
    backend = backends.load("jax", problem.network, dtype)
    assert type(backend.place_batch(problem.inputs, problem.targets)) is form
    report = check_cell(backend, problem.params, problem.inputs, problem.targets, problem.learning_rate)
    assert report.passed, report.worst
