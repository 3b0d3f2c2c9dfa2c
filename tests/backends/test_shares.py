"""Shares of a batch add up: on every backend, over ranks, with every optimiser, in mini-batches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import backends
from backends import Adam, Backend, Descent, Layer, Momentum, Network, Optimizer, Shares, TrainingDiverged
from backends.conformance.cases import Case
from backends.conformance.composed import balls_of_steps
from backends.conformance.plain import Plain
from backends.conformance.stages import judge_train
from backends.conformance.subject import Problem, precision_of
from backends.ranks import Alone, Ranks, RanksError
from backends.shares import rows_due

NAMES = (*backends.available("best"), "numpy-idiom", "backends.conformance.plain:Plain")
SMALL = Case.parse("3-2-1/n=64/normal")


class Together:
    """What ranks that are threads of this process share."""

    def __init__(self, size: int) -> None:
        self.said: list[Any] = [None] * size
        self.barrier = threading.Barrier(size)


class Threads(Ranks):
    """An engine whose ranks are threads; sums are in rank order."""

    engine = "threads"

    def __init__(self, rank: int, size: int, together: Together) -> None:
        super().__init__(rank, size, 30.0)
        self.together = together

    def sum(self, vector: np.ndarray) -> np.ndarray:
        first, *others = self.tell(vector.copy())
        return sum(others, start=first.copy())

    def gather(self, text: str) -> list[str]:
        return self.tell(text)

    def tell(self, mine: Any) -> list[Any]:
        """Return what every rank tells."""
        self.together.said[self.rank] = mine
        self.together.barrier.wait(self.timeout_s)
        said = list(self.together.said)
        self.together.barrier.wait(self.timeout_s)
        return said


def on_ranks(size: int, work: Callable[[Ranks], Any]) -> list[Any]:
    """Return what ``work`` gives on each rank; what it raises is raised here, of the lowest rank."""
    together = Together(size)
    with ThreadPoolExecutor(size) as pool:
        return [done.result() for done in [pool.submit(work, Threads(k, size, together)) for k in range(size)]]


def parted(problem: Problem, sizes: tuple[int, ...], rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of one rank: ``sizes`` are relative."""
    ends = np.cumsum((0, *sizes)) * len(problem.inputs) // sum(sizes)
    rows = slice(ends[rank], ends[rank + 1])
    return problem.inputs[rows], problem.targets[rows]


class OneRank(Shares):
    """A rank that takes its rows from all that it is given, as its fellows do from theirs."""

    def __init__(self, backend: Backend, ranks: Ranks, sizes: tuple[int, ...]) -> None:
        super().__init__(backend, ranks)
        self.sizes = sizes

    def place_batch(self, inputs: Any, targets: Any, of: int | None = None) -> Any:
        return super().place_batch(*parted(Problem("", (), inputs, targets, 0.0), self.sizes, self.ranks.rank), of=of)


@pytest.mark.parametrize("sizes", [(1, 1), (1, 0), (1, 20), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_ranks_train_as_one_within_the_bounds_and_to_the_same_bits(name, sizes, dtype):
    """Losses and params of ranks with any parts of the rows are within the bounds of one batch, and equal on all."""
    problem = SMALL.problem(dtype)

    def rank(ranks: Ranks) -> Any:
        backend = OneRank(backends.find(name)(problem.network, dtype, "cpu"), ranks, sizes)
        tally = judge_train(backend, problem, balls_of_steps(problem, 2, precision_of(backend, problem.work)))
        batch = backend.place_batch(problem.inputs, problem.targets)
        params, losses = backend.train(backend.place_params(problem.params), batch, 0.1, 30)
        return tally.findings, losses.tobytes(), [array.tobytes() for layer in backend.fetch(params) for array in layer]

    judged, *bits = zip(*on_ranks(len(sizes), rank), strict=True)
    assert all(finding.ratio <= 1 for findings in judged for finding in findings), judged
    assert all(len(set(map(str, of_ranks))) == 1 for of_ranks in bits)


@pytest.mark.parametrize("optimizer", [Momentum(0.5), Adam()], ids=str)
@pytest.mark.parametrize("name", [*backends.available("best", "idiom")])
def test_optimisers_take_the_summed_gradients(name, optimizer):
    """An optimiser's params and state after one update of two ranks are those of one, within two roundings."""
    if optimizer.name not in backends.find(name).capabilities.optimizers:
        pytest.skip(f"{name} has no {optimizer.name}")
    problem = Case.parse("3-2-1/n=8/dyadic").problem("float64")  # exact sums in any order

    def rank(ranks: Ranks | None) -> Any:
        backend = backends.load(name, problem.network, "float64", optimizer=optimizer, ranks=ranks)
        x, y = parted(problem, (1, 3), ranks.rank) if ranks else (problem.inputs, problem.targets)
        params, _ = backend.step(backend.place_params(problem.params), backend.place_batch(x, y), 0.25)
        state = backend.fetch_state(params)
        return state.updates, [a for kept in (backend.fetch(params), *state.moments.values()) for p in kept for a in p]

    (updates, first), second = on_ranks(2, rank)
    assert (updates, updates) == (second[0], rank(None)[0])
    for mine, yours, alone in zip(first, second[1], rank(None)[1], strict=True):
        np.testing.assert_array_equal(mine, yours)
        np.testing.assert_array_almost_equal_nulp(mine, alone, 2)


@pytest.mark.parametrize("sizes", [(20, 12), (31, 1), (32, 0), (11, 10, 11)], ids=str)
@pytest.mark.parametrize("name", backends.available("best"))
def test_minibatches_of_ranks_are_exactly_those_that_are_due(name, sizes):
    """On whole numbers, whose sums are exact, two steps of 16 rows give the bits of one rank with those rows."""
    network, rng = Network((3, 2, 1), "identity"), np.random.default_rng(4)
    x, y = rng.integers(-2, 3, (32, 3)).astype(float), rng.integers(-2, 3, (32, 1)).astype(float)
    params = tuple(Layer(rng.integers(-2, 3, s).astype(float), np.ones(s[0])) for s in network.layer_shapes)
    starts, due = np.cumsum((0, *sizes[:-1])), rows_due(sizes, 16)
    early = [start + k for start, n in zip(starts, due, strict=True) for k in range(n)]
    order = [*early, *(k for k in range(32) if k not in early)]

    def rank(ranks: Ranks | None) -> Any:
        backend = backends.load(name, network, "float64", ranks=ranks)
        rows = order if ranks is None else range(starts[ranks.rank], starts[ranks.rank] + sizes[ranks.rank])
        batch = backend.place_batch(x[rows], y[rows])
        trained, losses = backend.train(backend.place_params(params), batch, 2.0**-6, 2, rows_per_step=16)
        return losses.tolist(), [array.tolist() for layer in backend.fetch(trained) for array in layer]

    assert on_ranks(len(sizes), rank) == [rank(None)] * len(sizes)


@pytest.mark.parametrize("rows", [(5, 5), (7, 0, 2), (1, 100), (13,), (3, 3, 3, 1)], ids=str)
def test_rows_are_due_evenly_and_each_once(rows):
    """Of any number of rows that are due, there are as many as asked, in the order of (k + 1/2) / n, then of ranks."""
    order = sorted(((2 * k + 1) / n, rank) for rank, n in enumerate(rows) for k in range(n))
    for first in range(sum(rows) + 1):
        assert rows_due(rows, first) == tuple(sum(at == rank for _, at in order[:first]) for rank in range(len(rows)))


@pytest.mark.parametrize("name", backends.available("best"))
def test_whole_batch_given_as_a_share_of_itself_has_the_same_bits(name, dtype):
    """``of`` = the rows gives loss and gradients of the same bits as no ``of``."""
    problem = SMALL.problem(dtype)
    backend = backends.load(name, problem.network, dtype)
    params = backend.place_params(problem.params)
    plain, share = (backend.place_batch(problem.inputs, problem.targets, **of) for of in ({}, {"of": 64}))
    assert backend.message(params, plain).tobytes() == backend.message(params, share).tobytes()


@pytest.mark.parametrize("name", backends.available("best"))
def test_share_larger_than_its_batch_is_refused(name):
    """More rows than the whole batch has is an error that names both."""
    backend = backends.load(name, Network((3, 2, 1)))
    with pytest.raises(ValueError, match="a share of 4 rows is part of a batch of 4 rows or more, got of=3"):
        backend.place_batch(np.ones((4, 3)), np.ones((4, 1)), of=3)


def test_divergence_is_raised_on_every_rank_at_the_same_step():
    """A rank whose own rows overflow makes all ranks raise, at one step with the same losses."""
    problem = SMALL.problem("float32")

    def rank(ranks: Ranks) -> Any:
        backend = backends.load("numpy", problem.network, ranks=ranks)
        x, y = parted(problem, (1, 1), ranks.rank)
        batch = backend.place_batch(x, y * (1e3 if ranks.rank else 1))
        with pytest.raises(TrainingDiverged) as caught:
            backend.train(backend.place_params(problem.params), batch, 1e3, 50)
        return caught.value.step, caught.value.losses.tobytes()

    first, second = on_ranks(2, rank)
    assert first == second


@pytest.mark.parametrize(
    ("differs", "text"),
    [
        ("network", "ranks differ in backend, network, dtype, device or optimizer: rank 0: numpy 3-2-1"),
        ("optimizer", "ranks differ in backend, network, dtype, device or optimizer"),
        ("params", "ranks differ in the parameters that training starts from"),
        ("steps", "ranks differ in steps: rank 0: 3 steps at a rate of 0.1; rank 1: 4 steps at a rate of 0.1"),
        ("path", "ranks took different paths: rank 0: rows: 64; rank 1: steps: "),
    ],
)
def test_ranks_that_differ_are_told_on_every_rank(differs, text):
    """What must be equal and is not is an error on each rank that names every rank's value."""
    problem = SMALL.problem("float32")

    def train(ranks: Ranks) -> None:
        other = ranks.rank == 1
        network = Network((3, 3, 1)) if other and differs == "network" else problem.network
        optimizer: Optimizer = Momentum() if other and differs == "optimizer" else Descent()
        backend = backends.load("numpy", network, optimizer=optimizer, ranks=ranks)
        params = tuple(Layer(w * (1 + (other and differs == "params")), b) for w, b in problem.params)
        placed = backend.place_params(params)
        batch = backend.place_batch(problem.inputs, problem.targets)
        if differs == "path" and not other:
            backend.place_batch(problem.inputs, problem.targets)
        backend.train(placed, batch, 0.1, 3 + (other and differs == "steps"))

    def rank(ranks: Ranks) -> str:
        with pytest.raises(RanksError) as caught:
            train(ranks)
        return str(caught.value)

    first, second = on_ranks(2, rank)
    assert first == second
    assert text in first


def test_no_rank_with_a_row_is_refused():
    """A batch of no rows on any rank is an error on each of them."""

    def rank(ranks: Ranks) -> Any:
        backend = backends.load("numpy", Network((3, 2, 1)), ranks=ranks)
        with pytest.raises(ValueError, match="no rank has any"):
            backend.place_batch(np.ones((0, 3)), np.ones((0, 1)))

    on_ranks(2, rank)


def test_one_rank_alone_has_the_backend_itself():
    """With one rank `load` adds nothing, so it costs nothing."""
    assert type(backends.load("numpy", Network((3, 2, 1)), ranks=Alone())) is backends.find("numpy")


def test_minibatches_of_a_backend_that_cannot_cut_a_share_are_refused():
    """Ranks of a backend with the seven methods alone have no mini-batches, and the error says why."""

    def rank(ranks: Ranks) -> Any:
        backend = Shares(backends.load("numpy-idiom", Network((3, 2, 1))), ranks)
        batch = backend.place_batch(np.ones((4, 3)), np.ones((4, 1)))
        params = backend.place_params(SMALL.problem("float32").params)
        with pytest.raises(ValueError, match="omit rows_per_step"):
            backend.train(params, batch, 0.1, 2, rows_per_step=2)
        plain = Shares(Plain(Network((3, 2, 1))), ranks)
        with pytest.raises(ValueError, match="no mini-batches"):
            plain.train(params, plain.place_batch(np.ones((4, 3)), np.ones((4, 1))), 0.1, 2, rows_per_step=2)

    on_ranks(2, rank)
