"""Optimisers: names, refusals, states, and updates against exact restatements."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from backends import Adam, Descent, Momentum, Network, State, parse_optimizer
from tests.backends.workload_cases import (
    CLASS_NUMBERS,
    CLASSES,
    INPUTS,
    NAMES,
    WITH_MINIBATCHES,
    drawn_params,
    loaded,
)

OPTIMIZERS = (Descent(), Momentum(0.8), Adam(), Adam(beta1=0.5, weight_decay=0.1))


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, Adam(0.5, 0.25, 1e-3, 1e-2)])
def test_optimizer_reads_what_it_writes(optimizer):
    """The text of an optimiser names what is not the default, and reading it gives an equal one."""
    assert parse_optimizer(str(optimizer)) == optimizer


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("rmsprop", "no optimizer 'rmsprop'; known: descent, momentum, adam"),
        ("adam:gamma=1", "no parameter 'gamma'; it has beta1, beta2, epsilon, weight_decay"),
        ("descent:momentum=0.9", "it has none"),
        ("adam:beta1", "name=number"),
        ("adam:beta1=1", "beta1 of adam must be at least 0 and less than 1, got 1"),
        ("adam:epsilon=-1", "epsilon of adam must be at least 0, got -1"),
        ("momentum:momentum=nan", "got nan"),
    ],
)
def test_optimizer_refuses_other_words(text, match):
    """Unknown optimisers and parameters, and values out of range, are refused with what is known."""
    with pytest.raises(ValueError, match=match):
        parse_optimizer(text)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_numpy_updates_long_vectors_by_pieces_to_the_same_bits(optimizer, monkeypatch):
    """Vectors that a small cache does not hold are updated piece by piece, the last one shorter, and counted once."""
    network, states = Network((3, 4, 2)), []
    for cache in (1 << 20, 9 * 8 * (3 + len(optimizer.moments))):  # pieces of 4 of the 26 parameters
        monkeypatch.setattr("backends.numpy_kernels.l2_cache_bytes", lambda cache=cache: cache)
        backend = loaded("numpy", network, optimizer=optimizer)
        assert len(backend._pieces) == (1 if cache == 1 << 20 else 7)
        batch, params = backend.place_batch(INPUTS, INPUTS[:, :2]), backend.place_params(drawn_params(network))
        for _ in range(3):
            params, _ = backend.step(params, batch, 0.25)
        state = backend.fetch_state(params)
        states.append((state.updates, params.flat, *params.moments))
    for whole, by_pieces in zip(*states, strict=True):
        np.testing.assert_array_equal(whole, by_pieces)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_update_is_the_optimisers_mathematics(name, optimizer):
    """Each of four updates is, within a rounding error bound, one exact update from the state before it."""
    network = Network((3, 4, 2))
    backend = loaded(name, network, optimizer=optimizer)
    batch = backend.place_batch(INPUTS, INPUTS[:, :2])
    params, rate, u = backend.place_params(drawn_params(network)), 0.25, 2.0**-53
    for t in range(1, 5):
        loss_gradients = backend.backward(params, batch, backend.forward(params, batch))[1]
        before, g, state = backend.fetch(params), backend.fetch(loss_gradients), backend.fetch_state(params)
        assert state.updates == (t - 1 if optimizer.counts_updates else 0)
        params = backend.update(params, loss_gradients, rate)
        after, new_state = backend.fetch(params), backend.fetch_state(params)
        for layer, part in itertools.product(range(2), range(2)):
            exact = [np.asarray(a[layer][part], np.longdouble) for a in (before, g)]
            moments = tuple(np.asarray(state.moments[m][layer][part], np.longdouble) for m in optimizer.moments)
            expected, kept = optimizer.advance(*exact, moments, t, np.longdouble(rate))
            # The same of magnitudes: each of at most 16 roundings moves a result by u of this at most. A correction
            # 1 - beta^t formed by subtraction is off by another u / (1 - beta^t).
            roundings = 16.0
            first = abs(exact[1]) if not moments else 0.8 * abs(moments[0]) + abs(exact[1])
            size, sizes = abs(exact[0]) + rate * first, (first,) * len(moments)
            if optimizer.name == "adam":
                first = optimizer.beta1 * abs(moments[0]) + (1 - optimizer.beta1) * abs(exact[1])
                corrected = [1 - np.longdouble(beta) ** t for beta in (optimizer.beta1, optimizer.beta2)]
                step = first / corrected[0] / (np.sqrt(kept[1] / corrected[1]) + optimizer.epsilon)
                size, sizes = abs(exact[0]) * (1 + rate * optimizer.weight_decay) + rate * step, (first, kept[1])
                roundings += float(sum(1 / correction for correction in corrected))
            assert (abs(after[layer][part] - expected) <= roundings * u * size).all()
            for moment, exactly, most in zip(optimizer.moments, kept, sizes, strict=True):
                assert (abs(new_state.moments[moment][layer][part] - exactly) <= 16 * u * most).all()


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_optimisers_are_those_of_torch_and_optax(optimizer):
    """Ten updates by given gradients end where `torch.optim` and optax end, up to rounding."""
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[torch]'")
    random = np.random.default_rng(1)
    start, gradients = random.normal(size=5), random.normal(size=(10, 5))
    rate = 0.1
    w, moments = start, (np.zeros(5),) * len(optimizer.moments)
    for t, g in enumerate(gradients, start=1):
        w, moments = optimizer.advance(w, g, moments, t, rate)

    theirs = torch.tensor(start)
    make = {
        "descent": lambda: torch.optim.SGD([theirs], rate),
        "momentum": lambda: torch.optim.SGD([theirs], rate, momentum=optimizer.momentum),
        "adam": lambda: torch.optim.AdamW(
            [theirs], rate, (optimizer.beta1, optimizer.beta2), optimizer.epsilon, optimizer.weight_decay
        ),
    }
    optimizer_of_torch = make[optimizer.name]()
    for g in gradients:
        theirs.grad = torch.tensor(g)
        optimizer_of_torch.step()
    # Ten updates of at most 16 roundings each, of numbers of at most 4 in magnitude, on both sides.
    np.testing.assert_allclose(theirs.numpy(), w, rtol=0, atol=2 * 10 * 16 * 4 * 2.0**-53)
    assert abs(w).max() < 4

    jax = pytest.importorskip("jax", reason="jax is not installed: pip install -e '.[jax]'")
    optax = pytest.importorskip("optax", reason="optax is not installed: pip install -e '.[idioms]'")
    of_optax = {
        "descent": lambda: optax.sgd(rate),
        "momentum": lambda: optax.sgd(rate, momentum=optimizer.momentum),
        "adam": lambda: optax.adamw(
            rate, optimizer.beta1, optimizer.beta2, optimizer.epsilon, weight_decay=optimizer.weight_decay
        ),
    }[optimizer.name]()
    with jax.enable_x64(True):
        params, state = jax.numpy.asarray(start), of_optax.init(jax.numpy.asarray(start))
        for g in gradients:
            updates, state = of_optax.update(jax.numpy.asarray(g), state, params)
            params = optax.apply_updates(params, updates)
        # optax takes 1 - beta^t without care: for beta 0.999 it cancels a thousandfold.
        np.testing.assert_allclose(np.asarray(params), w, rtol=0, atol=2 * 10 * 16 * 4 * 1000 * 2.0**-53)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("name", WITH_MINIBATCHES)
def test_saved_run_goes_on_where_it_was(name, optimizer):
    """Parameters and state, fetched and placed on another instance, continue with the same bits."""
    backend = loaded(name, optimizer=optimizer)
    batch = backend.place_batch(INPUTS, CLASS_NUMBERS)
    params, _ = backend.train(backend.place_params(drawn_params(CLASSES)), batch, 0.1, 7, rows_per_step=5)
    kept, state = backend.fetch(params), backend.fetch_state(params)
    other = loaded(name, optimizer=optimizer)
    ends = [
        one.train(placed, one.place_batch(INPUTS, CLASS_NUMBERS), 0.1, 7, rows_per_step=5)
        for one, placed in ((backend, params), (other, other.place_params(kept, state)))
    ]
    np.testing.assert_array_equal(ends[0][1], ends[1][1])
    for layer, again in zip(backend.fetch(ends[0][0]), other.fetch(ends[1][0]), strict=True):
        np.testing.assert_array_equal(layer.weights, again.weights)
        np.testing.assert_array_equal(layer.biases, again.biases)


@pytest.mark.parametrize("name", NAMES)
def test_state_of_another_optimiser_is_refused(name):
    """A state with other moments, of another shape or with a count that means nothing is refused."""
    network = Network((3, 2, 1))
    params = drawn_params(network)
    adam = loaded(name, network, optimizer=Adam())
    with pytest.raises(ValueError, match="keeps the moments m, v, got a state with velocity"):
        adam.place_params(params, State(3, {"velocity": params}))
    with pytest.raises(ValueError, match="moment v, weights of layer 1 must have shape"):
        adam.place_params(params, State(3, {"m": params, "v": drawn_params(Network((3, 4, 1)))}))
    with pytest.raises(ValueError, match="has 0 or more updates, got -1"):
        adam.place_params(params, State(-1, {"m": params, "v": params}))
    with pytest.raises(ValueError, match="keeps the moments none, got a state with m, v"):
        loaded(name, network).place_params(params, State(3, {"m": params, "v": params}))
