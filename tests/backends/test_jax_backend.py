"""What JAX compiles and when, by which way its gradients come, and the forms of a batch."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import backends
from backends import Adam, Momentum, Network, Optimizer
from backends.conformance import check_cell
from bench.workload.problem import make

jax = pytest.importorskip("jax", reason="jax is not installed: pip install -e '.[jax]'")

from backends import jax_backend, jax_kernels, jax_narrow, jax_optimizers, jax_wide  # noqa: E402 - they import jax

NARROW, FEATURE_MAJOR, ROW_MAJOR = "3-2-1", "17-33-3", "40-9-1"
ROWS = jax_backend.NARROW_ROWS * Network.parse(NARROW).parameter_count
"""The fewest rows of a loop over the rows, for 3-2-1; twice as many do for any network here."""


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
    ("sizes", "rows", "form", "dtype"),
    [
        (NARROW, ROWS - 1, jax_wide.Batch, "float32"),
        (NARROW, ROWS, jax_narrow.Batch, "float32"),
        (NARROW, 3 * jax_backend.NARROW_BLOCK_ROWS + 5, jax_narrow.Batch, "float64"),
        ("2-3-3-2", 3 * ROWS, jax_narrow.Batch, "float32"),
        ("40-2-1", 85 * jax_backend.NARROW_ROWS, jax_narrow.Batch, "float64"),
        (FEATURE_MAJOR, ROWS, jax_wide.Batch, "float64"),
        (ROW_MAJOR, ROWS, jax_wide.Batch, "float32"),
        ("200-170-2", 50, jax_wide.Batch, "float64"),
    ],
)
def test_each_form_of_a_batch_passes_conformance(sizes: str, rows: int, form: type, dtype: str) -> None:
    """Short and long batches of narrow networks, and both layouts of wide ones, stay within the proven bounds."""
    problem = make(Network.parse(sizes), rows, dtype)
    backend = backends.load("jax", problem.network, dtype)
    assert type(backend.place_batch(problem.inputs, problem.targets)) is form
    report = check_cell(backend, problem.params, problem.inputs, problem.targets, problem.learning_rate)
    assert report.passed, report.worst


@pytest.mark.parametrize(
    ("sizes", "rows", "dtype"),
    [(FEATURE_MAJOR, 17_000, "float32"), (FEATURE_MAJOR, 5_007, "float64"), (ROW_MAJOR, 4_999, "float32")],
)
def test_parts_side_by_side_pass_conformance(
    monkeypatch: pytest.MonkeyPatch, sizes: str, rows: int, dtype: str
) -> None:
    """Blocks in two parts, the last of them shorter, stay within the proven bounds, with a rest and without."""
    monkeypatch.setattr(jax_backend, "_cores", lambda: 2)
    monkeypatch.setattr(jax_backend, "BLOCK_BYTES", 0 if rows < 17_000 else 1 << 62)
    problem = make(Network.parse(sizes), rows, dtype)
    backend = backends.load("jax", problem.network, dtype)
    assert backend.block_rows == (jax_backend.LEAST_ROWS if rows < 17_000 else jax_backend.MOST_ROWS)
    report = check_cell(backend, problem.params, problem.inputs, problem.targets, problem.learning_rate)
    assert report.passed, report.worst


@pytest.mark.parametrize(
    ("sizes", "rows", "threads", "parts"),
    [
        (FEATURE_MAJOR, jax_wide.COPIED_ROWS, 4, 2),
        (FEATURE_MAJOR, jax_wide.COPIED_ROWS, 1, 1),
        (FEATURE_MAJOR, jax_wide.COPIED_ROWS - 1, 4, 1),
        ("33-17-3", jax_wide.COPIED_ROWS, 4, 1),
        ("33-17-3", 1 << 16, 4, 2),
        ("33-17-3", 1 << 16, 1, 1),
        ("33-7-3", 1 << 16, 4, 1),
    ],
)
def test_parts_are_for_threads_and_for_batches_that_repay_them(sizes: str, rows: int, threads: int, parts: int) -> None:
    """A block has two parts if there are threads and work for them; a batch that is not cut, if it repays copies."""
    network = Network.parse(sizes)
    kernels = jax_wide.Wide(network, 1 << 15, 0, threads)
    vector = jax.ShapeDtypeStruct((network.parameter_count,), "float32")
    x, y = (jax.ShapeDtypeStruct((size, rows), "float32") for size in (network.inputs, network.sizes[-1]))
    products = str(jax.make_jaxpr(kernels.gradients)(vector, jax_wide.Batch(x, y))).count("dot_general[")
    assert products == 6 * parts  # for each layer one forward, one of weights, one of its inputs, even if nobody asks


def test_only_the_longest_batches_of_some_networks_are_one_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network of few inputs and too many parameters for a loop has one from `LONG_ROWS` on, if the processor repays
    compiling it, and then within the proven bounds.
    """
    monkeypatch.setattr(jax_backend, "LONG_PARAMETERS", 384)
    monkeypatch.setattr(jax_backend, "LONG_ROWS", 5_000)

    def forms(sizes: str) -> list[bool]:
        """Return whether batches just shorter than that, and as long, are of the narrow form."""
        backend = backends.load("jax", Network.parse(sizes))
        return [backend.form_of(rows) is jax_narrow.Batch for rows in (4_999, 5_000)]

    assert forms("8-16-1") == [False, True]
    assert forms("8-38-1") == [False, True]
    assert forms("8-39-1") == [False, False]
    assert forms("40-9-1") == [False, False]  # row-major
    problem = make(Network.parse("8-16-1"), 5_003)
    backend = backends.load("jax", problem.network)
    assert backend.block_rows > jax_backend.NARROW_BLOCK_ROWS  # of its shorter batches
    assert type(backend.place_batch(problem.inputs, problem.targets)) is jax_narrow.Batch
    report = check_cell(backend, problem.params, problem.inputs, problem.targets, problem.learning_rate)
    assert report.passed, report.worst
    monkeypatch.setattr(jax_backend, "LONG_PARAMETERS", 0)
    assert forms("8-16-1") == [False, False]


WORKLOADS = [("3-4-3/relu", None), ("3-4-3/sigmoid/cross-entropy", Momentum()), ("3-4-3/identity", Adam())]


class Products(jax_backend.JaxBackend):
    """The backend with matrix products for every network."""

    one_loop = False


@pytest.mark.parametrize(("text", "optimizer"), WORKLOADS)
@pytest.mark.parametrize("rows_per_step", [None, 7, 3 * ROWS])
def test_one_loop_and_products_agree(text: str, optimizer: Optimizer | None, rows_per_step: int | None) -> None:
    """Both forms train to the same numbers, on whole batches and on mini-batches that take the one form or the other
    and end a pass short.
    """
    network = Network.parse(text)
    random = np.random.default_rng(0)
    inputs = random.normal(size=(3 * ROWS + 500, 3))
    targets = np.abs(inputs)
    targets /= targets.sum(axis=1, keepdims=True)
    losses, ends = [], []
    for kind in (jax_backend.JaxBackend, Products):
        backend = kind(network, "float64", optimizer=optimizer)
        batch = backend.place_batch(inputs, targets)
        assert (type(batch) is jax_narrow.Batch) == (kind is jax_backend.JaxBackend)
        params, found = backend.train(backend.place_params(make(network, 1).params), batch, 1e-3, 5, rows_per_step)
        losses.append(found)
        ends.append(np.concatenate([array.ravel() for layer in backend.fetch(params) for array in layer]))
    # Sums of up to 3,668 rows, each rounded 3,668 times at most by 2^-53, five times; Adam's first steps, which divide
    # by the gradient's own size, keep that relative error.
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-11)
    np.testing.assert_allclose(ends[0], ends[1], rtol=0, atol=1e-11)


@pytest.mark.parametrize("optimizer", [None, Momentum(), Adam()], ids=str)
def test_parameters_in_one_vector_or_an_array_each_train_alike(
    monkeypatch: pytest.MonkeyPatch, optimizer: Optimizer | None
) -> None:
    """Gradients, steps, losses, parameters and moments are the same in both forms, on whole and on cut batches."""
    problem = make(Network.parse(FEATURE_MAJOR), 5_000, "float64")
    ends = []
    for most in (jax_backend.ONE_VECTOR_PARAMETERS, 0):
        monkeypatch.setattr(jax_backend, "ONE_VECTOR_PARAMETERS", most)
        backend = backends.load("jax", problem.network, "float64", optimizer=optimizer)
        batch = backend.place_batch(problem.inputs, problem.targets)
        params = backend.place_params(problem.params)
        assert isinstance(jax_optimizers.parameters(params), tuple) == (most == 0)
        _, gradients = backend.backward(params, batch, backend.forward(params, batch))
        params, _ = backend.step(params, batch, 1e-3)
        params, losses = backend.train(params, batch, 1e-3, 3)
        moments = backend.fetch_state(params).moments.values()
        layers = [layer for params in (backend.fetch(gradients), backend.fetch(params), *moments) for layer in params]
        ends.append([losses, *(array for layer in layers for array in layer)])
    for one_vector, an_array_each in zip(*ends, strict=True):
        np.testing.assert_allclose(an_array_each, one_vector, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sizes", [NARROW, ROW_MAJOR])
def test_split_batches_take_the_form_of_their_rows(sizes: str) -> None:
    """The parts of a split batch are the batches that placing their rows would give, the last one shorter."""
    problem = make(Network.parse(sizes), ROWS + 5)
    backend = backends.load("jax", problem.network)
    for rows in (ROWS, ROWS - 1, 3):
        parts = backend.split(backend.place_batch(problem.inputs, problem.targets), rows)
        for start, part in zip(range(0, ROWS + 5, rows), parts, strict=True):
            cut = slice(start, start + rows)
            placed = backend.place_batch(problem.inputs[cut], problem.targets[cut])
            assert type(part) is type(placed)
            for got, expected in zip(part, placed, strict=True):
                np.testing.assert_array_equal(got, expected)


def test_batch_gives_its_memory_back_to_the_next() -> None:
    """Of batches placed one after the other, the memory of the newest is held, and no more than one other's."""
    network = Network.parse(ROW_MAJOR)
    backend = backends.load("jax", network)
    problem = make(network, 1 << 15, "float32")
    batch_bytes = problem.inputs.nbytes + problem.targets.nbytes
    tracemalloc.start()
    batch = None
    for _ in range(4):
        del batch
        batch = backend.place_batch(problem.inputs, problem.targets)
    held_bytes, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert batch is not None
    assert held_bytes < 1.5 * batch_bytes
    assert most_bytes < 2.5 * batch_bytes
