"""Training in chunks is training: each step is one exact step, divergence is told, backends agree by the bounds."""

from __future__ import annotations

import math
import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import backends
import bench
from backends import Adam, Backend, BackendUnavailable, Layer, Momentum, Network, TrainingDiverged
from backends.conformance import check_cell
from bench.basics.errors import UsageError
from bench.training import training
from bench.training.choosing import choose_backend, first_available, load_backend
from bench.training.prediction import predict, score, score_standardised
from bench.training.standardise import Standardisation
from bench.training.training import Course, default_learning_rate, start_params, train
from bench.training.watch import Watch

NETWORK = Network((3, 2, 1))  # the tutorial's: a compiling backend may have it in its cache
RATE = 0.05


def problem(rows: int = 40, seed: int = 0) -> tuple[Any, Any]:
    """Return standardised inputs and targets with something to learn."""
    x = np.random.default_rng(seed).standard_normal((rows, 3))
    return x, np.sin(x[:, :1]) + x[:, 1:2]


def go_on(done: int, loss: float) -> bool:
    """Never stop."""
    return True


def test_each_chunk_continues_where_the_last_one_ended(
    backend_name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the state between two chunks the framework alone gives the losses that follow, and one right step."""
    monkeypatch.setattr(training, "_next_chunk", lambda chunk, seconds: training.FIRST_CHUNK)
    backend = backends.load(backend_name, NETWORK, dtype)
    x, y = problem()
    trained = train(backend, start_params(NETWORK, 0), x, y, Course(RATE, 16, go_on))
    assert (len(trained.losses), trained.complete, trained.losses.dtype) == (16, True, np.dtype(dtype))
    between = train(backend, start_params(NETWORK, 0), x, y, Course(RATE, 8, go_on))
    _, following = backend.train(backend.place_params(between.params), backend.place_batch(x, y), RATE, 8)
    if "process" in backend.capabilities.deterministic:
        assert trained.losses.tolist() == [*between.losses, *following]
    assert (np.diff(trained.losses) < 0).all()  # a gentle rate: a chunk that began anew would jump back up
    report = check_cell(backend, between.params, x, y, RATE)
    assert report.passed, report.worst


def test_backends_agree_on_the_same_run(dtype: str) -> None:
    """From the state that one backend's run reached, every backend takes the same step within the proven bounds."""
    x, y = problem()
    loaded = [backends.load(name, NETWORK, dtype) for name in backends.available("best")]
    trained = train(loaded[0], start_params(NETWORK, 1), x, y, Course(RATE, 30, go_on))
    for other in loaded:
        report = check_cell(other, trained.params, x, y, RATE)
        assert report.passed, (loaded[0].name, other.name, report.worst)


def test_divergence_counts_steps_from_the_first_of_all(backend_name: str) -> None:
    """Whatever the chunks, the error names the global step, the last finite loss before it, and the rate to lower."""
    backend = backends.load(backend_name, NETWORK, "float32")
    x, y = problem()
    told = []

    def notice(done: int, loss: float) -> bool:
        told.append(done)
        return True

    with pytest.raises(
        TrainingDiverged, match=r"of 1000: last finite loss .* lower the learning rate \(got 1.5\)"
    ) as error:
        train(backend, start_params(NETWORK, 0), x * 3, y * 3, Course(1.5, 1000, notice))
    losses = error.value.losses
    assert len(losses) == 1000
    assert error.value.step >= max(told, default=0)
    assert np.isfinite(losses[: error.value.step]).all()
    assert error.value.last_finite_loss == losses[error.value.step - 1]
    assert not math.isfinite(losses[error.value.step])


def test_training_stops_when_told(backend_name: str) -> None:
    """When the notice says no, the parameters and losses reached so far come back."""
    backend = backends.load(backend_name, NETWORK, "float32")
    x, y = problem()
    trained = train(backend, start_params(NETWORK, 0), x, y, Course(RATE, 10_000, lambda done, loss: done < 8))
    assert (len(trained.losses), trained.complete) == (8, False)
    if "process" in backend.capabilities.deterministic:
        whole = train(backend, start_params(NETWORK, 0), x, y, Course(RATE, 8, go_on))
        assert trained.losses.tolist() == whole.losses.tolist()
        assert trained.params[0].weights.tolist() == whole.params[0].weights.tolist()


@pytest.mark.parametrize(
    ("chunk", "seconds", "expected"), [(8, 0.001, 64), (8, 0.1, 16), (8, 0.3, 8), (8, 1.0, 4), (1, 9, 1)]
)
def test_chunks_grow_until_they_take_a_third_of_a_second(chunk: int, seconds: float, expected: int) -> None:
    """Short chunks grow, long ones shrink, and one step is the least."""
    assert training._next_chunk(chunk, seconds) == expected


def test_a_length_is_judged_by_its_second_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run of each length may compile, so a slow one changes nothing, and lengths stay few."""
    kind = backends.find("numpy")
    lengths: list[int] = []
    usual = kind.train

    def noted(self: Any, params: Any, batch: Any, learning_rate: float, steps: int) -> Any:
        lengths.append(steps)
        if steps not in lengths[:-1]:
            time.sleep(0.7)
        return usual(self, params, batch, learning_rate, steps)

    monkeypatch.setattr(kind, "train", noted)
    x, y = problem()
    train(kind(NETWORK), start_params(NETWORK, 0), x, y, Course(RATE, 100, go_on))
    assert lengths == [8, 8, 64, 20]


def test_start_params_follow_seed_and_network() -> None:
    """Equal seeds start alike on every backend; another seed or network starts elsewhere."""
    first, again, other = (start_params(NETWORK, seed) for seed in (1, 1, 2))
    assert first[0].weights.tolist() == again[0].weights.tolist() != other[0].weights.tolist()
    assert first[0].weights.shape == (2, 3)


def test_training_that_gets_no_better_on_held_out_rows_is_complete() -> None:
    """It stops after the checks that patience allows, keeps its best parameters, and is no interrupted training."""
    x = np.random.default_rng(0).standard_normal((32, 3))
    backend, start = backends.load("numpy", NETWORK, "float64"), start_params(NETWORK, 0)
    outputs = backend.outputs(backend.forward(backend.place_params(start), backend.place_batch(x, np.zeros((32, 1)))))
    watch = Watch(x, outputs[-1], patience=3)  # held-out targets that the start fits: each step away is worse
    course = Course(RATE, 1_000, go_on, watch)
    trained = train(backend, start, x, np.full((32, 1), 9.0), course)
    assert trained.complete
    assert (len(trained.losses), trained.best_step) == (40, 10)


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_default_learning_rate_of_momentum_allows_for_its_longer_steps(momentum: float) -> None:
    """A step of momentum goes 1 / (1 - momentum) times as far, so its rate is that much smaller."""
    network = Network((8, 32, 1))
    plain, smaller = (default_learning_rate(network, it) for it in (None, Momentum(momentum)))
    assert smaller == pytest.approx(plain * (1 - momentum), rel=0.05)


@pytest.mark.parametrize("sizes", [(1, 2, 1), (8, 32, 1), (20, 64, 1), (100, 32, 32, 1)])
def test_default_learning_rate_learns_without_diverging(sizes: tuple[int, ...]) -> None:
    """Even where all inputs say nearly the same, which makes the loss steepest, it falls and stays finite."""
    network = Network(sizes)
    random = np.random.default_rng(0)
    common = random.standard_normal((200, 1))
    x = (common + 0.05 * random.standard_normal((200, sizes[0]))) / math.sqrt(1.0025)
    y = (common + 0.5 * common**2 - 0.5) / math.sqrt(1.5)
    backend = backends.load("numpy", network)
    trained = train(backend, start_params(network, 0), x, y, Course(default_learning_rate(network), 500, go_on))
    assert trained.losses[-1] < 0.5 * trained.losses[0]
    with pytest.raises(TrainingDiverged):
        train(backend, start_params(network, 0), x, y, Course(20 * default_learning_rate(network), 500, go_on))


def test_default_backend_is_the_measured_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a measurement, its recommendation for this very job is taken, and the reason says so."""
    asked = []

    def recommend(*job: object, **how: object) -> SimpleNamespace:
        asked.append((job, how))
        return SimpleNamespace(
            backend="numpy", outcome="tie", basis="measured here", threads=1, searched_threads=(1, 2)
        )

    monkeypatch.setattr(bench, "recommend", recommend, raising=False)
    backend, why = choose_backend(NETWORK, 100, 10, "float64", "cpu", Adam(), 7)
    assert (backend.name, why) == ("numpy", "recommended: tie, measured here")
    assert backend.optimizer == Adam()
    assert asked == [((NETWORK, 100, 10, "float64", "cpu"), {"optimizer": Adam(), "rows_per_step": 7})]


def test_a_package_that_only_a_stored_run_names_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recommended ``package.module:Class`` is not loaded; the reason says how to ask for it."""
    advice = SimpleNamespace(backend="antigravity:Backend", outcome="tie", basis="measured here", searched_threads=(1,))
    monkeypatch.setattr(bench, "recommend", lambda *_, **__: advice, raising=False)
    backend, why = choose_backend(NETWORK, 100, 10, "float64", "cpu")
    assert ":" not in backend.name
    assert "antigravity:Backend is the fastest measured; to train with it, name it: --backend" in why
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("fault", [UsageError("no stored run"), BackendUnavailable("recommended, but gone")])
def test_default_backend_without_a_measurement_is_one_that_works(
    fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a usable measurement the choice is an installed backend with the dtype and device asked for."""

    def recommend(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(bench, "recommend", recommend, raising=False)
    backend, why = choose_backend(NETWORK, 100, 10, "float64", "cpu")
    assert isinstance(backend, Backend)
    assert (backend.dtype, backend.device) == ("float64", "cpu")
    assert why == ("nothing was measured here" if isinstance(fault, UsageError) else str(fault))


def test_first_available_backend_passes_over_those_that_do_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that refuses is passed over; where all refuse, each one's reason is told."""
    load = backends.load

    def refuse(name: str, *arguments: Any) -> Backend:
        if name in refused:
            raise BackendUnavailable(f"{name} is out")
        return load(name, *arguments)

    monkeypatch.setattr(backends, "load", refuse)
    refused = set(backends.available()) - {"numpy"}
    assert first_available(NETWORK, "float32", "cpu").name == "numpy"
    refused.add("numpy")
    with pytest.raises(BackendUnavailable, match=r"no backend has network 3-2-1 in float32 on cpu: .*numpy is out"):
        first_available(NETWORK, "float32", "cpu")


def test_unknown_backend_is_wrong_usage() -> None:
    """A misspelt name is an error that a person can mend, with the nearest name."""
    with pytest.raises(UsageError, match="--backend: no backend 'nunpy'; did you mean 'numpy'"):
        load_backend("nunpy", NETWORK, "float32", "cpu")


def test_score_is_in_original_units() -> None:
    """R^2 and RMSE match their definitions, and the loss is that of standardised targets."""
    targets = Standardisation(("y", "z"), (5.0, 0.0), (2.0, 10.0))
    observed = np.array([[1.0, 3.0], [3.0, 3.0], [5.0, 3.0]])
    found = score(targets, observed + np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 5.0]]), observed)
    assert found.r2["y"] == pytest.approx(1 - 2 / 8)
    assert math.isnan(found.r2["z"])  # it does not vary here
    alike = np.full((3, 2), 0.1)  # whose mean is not 0.1
    assert all(math.isnan(value) for value in score(targets, alike + 1, alike).r2.values())
    assert found.rmse == {"y": pytest.approx(math.sqrt(2 / 3)), "z": pytest.approx(math.sqrt(25 / 3))}
    assert found.loss == pytest.approx((2 / 3 / 4 + 25 / 3 / 100) / 2)


def test_predictions_come_block_by_block_in_original_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows keep their order over blocks, inputs are standardised and outputs brought back."""
    monkeypatch.setattr("bench.training.prediction.BLOCK_ROWS", 7)
    network = Network((2, 1, 1))
    backend = backends.load("numpy", network, "float64")
    params = (Layer(np.array([[1.0, 0.0]]), np.zeros(1)), Layer(np.array([[2.0]]), np.ones(1)))
    inputs = Standardisation(("a", "b"), (10.0, 0.0), (4.0, 0.0))
    targets = Standardisation(("y",), (100.0,), (50.0,))
    x = np.stack([np.linspace(0, 20, 20), np.linspace(5, 6, 20)], axis=1)
    expected = 100 + 50 * (1 + 2 * np.tanh((x[:, :1] - 10) / 4))
    np.testing.assert_allclose(predict(backend, params, inputs, targets, x), expected, rtol=1e-12)
    found = score_standardised(backend, params, targets, inputs.apply(x), (expected - 100) / 50)
    assert found.loss < 1e-24
    assert found.r2["y"] == pytest.approx(1)
