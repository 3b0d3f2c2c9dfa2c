"""Activations, losses, optimisers and mini-batches: names, refusals, states, and updates against exact restatements."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import backends
from backends import ACTIVATIONS, LOSSES, Adam, Backend, Descent, Layer, Momentum, Network, State, parse_optimizer

OPTIMIZERS = (Descent(), Momentum(0.8), Adam(), Adam(beta1=0.5, weight_decay=0.1))
CLASSES = Network((3, 4, 3), "relu", "cross-entropy")
RANDOM = np.random.default_rng(0)
ROWS = 23
INPUTS, CLASS_NUMBERS = RANDOM.normal(size=(ROWS, 3)), RANDOM.integers(0, 3, ROWS)


def drawn_params(network: Network, seed: int = 0) -> tuple[Layer, ...]:
    """Return weights and biases drawn from a normal distribution."""
    random = np.random.default_rng(seed)
    return tuple(Layer(random.normal(size=shape), random.normal(size=shape[0])) for shape in network.layer_shapes)


def loaded(name: str, network: Network = CLASSES, dtype: str = "float64", **chosen: object) -> Backend:
    """Return a backend, or skip the test if it lacks what is asked for."""
    offered = backends.find(name).capabilities
    asked = (("activations", network.activation), ("losses", network.loss))
    optimizer = chosen.get("optimizer")
    asked += (("optimizers", optimizer.name),) if optimizer else ()
    for what, wanted in asked:
        if wanted not in getattr(offered, what):
            pytest.skip(f"{name} has no {wanted}")
    return backends.load(name, network, dtype, **chosen)


NAMES = backends.available("best", "idiom")
WITH_MINIBATCHES = [name for name in NAMES if backends.find(name).capabilities.minibatches]


@pytest.mark.parametrize(
    ("network", "text"),
    [
        (Network((3, 2, 1)), "3-2-1"),
        (Network((3, 2, 1), "relu"), "3-2-1/relu"),
        (Network((3, 2, 4), loss="cross-entropy"), "3-2-4/cross-entropy"),
        (Network((3, 2, 4), "sigmoid", "cross-entropy"), "3-2-4/sigmoid/cross-entropy"),
    ],
)
def test_network_reads_what_it_writes(network, text):
    """The text of a network names what is not the default, and reading it gives an equal network with an equal hash."""
    assert str(network) == text
    assert Network.parse(text) == network
    assert hash(Network.parse(text)) == hash(network)
    assert Network.parse("3-2-1/tanh/mse") == Network((3, 2, 1)) != Network((3, 2, 1), "relu")


@pytest.mark.parametrize("text", ["3-2-1/gelu", "3-2-1/relu/tanh", "3-2-1/mse/mse", "3-2-1/", "relu/3-2-1"])
def test_network_refuses_other_words(text):
    """Words that are no activation or loss, or two of a kind, are refused with an example."""
    with pytest.raises(ValueError, match="for example 3-2-1"):
        Network.parse(text)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (((3, 2, 1), "gelu"), "no activation 'gelu'; known: tanh, relu, sigmoid, identity"),
        (((3, 2, 1), "tanh", "hinge"), "no loss 'hinge'; known: mse, cross-entropy"),
        (((3, 2, 1), "tanh", "cross-entropy"), "at least 2, got 1"),
    ],
)
def test_network_refuses_unknown_names(arguments, text):
    """An unknown activation or loss is refused with those that are known, and cross-entropy of one output too."""
    with pytest.raises(ValueError, match=text):
        Network(*arguments)


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


def test_threads_below_one_are_refused():
    """A backend that can choose its threads needs at least one."""
    with pytest.raises(ValueError, match="threads must be 1 or more, got 0"):
        backends.load("numpy", Network((3, 2, 1)), threads=0)


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        (np.where(np.arange(ROWS) == 5, 3, CLASS_NUMBERS), "class number 3 in row 5 is out of range.* 0 to 2"),
        (np.where(np.arange(ROWS) == 0, -1, CLASS_NUMBERS)[:, None], "class number -1 in row 0"),
        (CLASS_NUMBERS.astype(float), "class numbers must be integers"),
        (np.full((ROWS, 3), 0.3), "row 0 sum to 0.9, expected 1"),
        (np.full((ROWS, 3), np.nan), "row 0 sum to nan"),
        (np.tile([1.5, -0.5, 0.0], (ROWS, 1)), "a negative one"),
        (CLASS_NUMBERS[:-1], "must have shape"),
    ],
)
def test_batch_refuses_what_are_no_classes(targets, text):
    """Class numbers out of range, numbers that are not whole, and rows that are no probabilities are refused."""
    with pytest.raises(ValueError, match=text):
        backends.load("numpy", CLASSES).place_batch(INPUTS, targets)


def test_class_numbers_are_probabilities():
    """Class numbers as a column or not, and the probabilities they stand for, are the same targets."""
    backend = backends.load("numpy", CLASSES, "float64")
    expected = np.eye(3)[CLASS_NUMBERS]
    for targets in (CLASS_NUMBERS, CLASS_NUMBERS[:, None].astype(np.uint8), expected, expected.astype(int)):
        np.testing.assert_array_equal(backend.host_batch(INPUTS, targets)[1], expected)
    near = np.full((ROWS, 3), 1 / 3, np.float16)
    np.testing.assert_allclose(backend.host_batch(INPUTS, near)[1].sum(axis=1), 1, rtol=4 * 2.0**-53)


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


@pytest.mark.parametrize(("inputs", "rows_per_step"), [(3, 1), (3, 5), (130, 5), (3, ROWS)])
@pytest.mark.parametrize("name", WITH_MINIBATCHES)
def test_mini_batches_take_rows_in_order_and_end_a_pass_short(name, rows_per_step, inputs):
    """Two passes and a step are the steps on batches of those rows: every row once a pass, the last step shorter."""
    network = Network((inputs, 4, 3), "tanh", "cross-entropy")
    backend = loaded(name, network, optimizer=Momentum())
    x = RANDOM.normal(size=(ROWS, inputs))
    starts = [*range(0, ROWS, rows_per_step)] * 2 + [0]
    batch = backend.place_batch(x, CLASS_NUMBERS)
    params, losses = backend.train(backend.place_params(drawn_params(network)), batch, 0.1, len(starts), rows_per_step)
    one, expected = backend.place_params(drawn_params(network)), []
    for k in starts:
        rows = slice(k, k + rows_per_step)
        one, loss = backend.step(one, backend.place_batch(x[rows], CLASS_NUMBERS[rows]), 0.1)
        expected.append(float(loss))
    # A gentle rate on a smooth loss: rounding grows at most by a factor of ten a step in none of these 47 steps.
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    for layer, again in zip(backend.fetch(params), backend.fetch(one), strict=True):
        np.testing.assert_allclose(layer.weights, again.weights, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", WITH_MINIBATCHES)
def test_mini_batches_refuse_impossible_numbers_of_rows(name):
    """No rows a step, or more than there are, are refused with the number of rows."""
    backend = loaded(name)
    params, batch = backend.place_params(drawn_params(CLASSES)), backend.place_batch(INPUTS, CLASS_NUMBERS)
    for rows in (0, -1, ROWS + 1):
        with pytest.raises(ValueError, match=f"from 1 to the {ROWS} rows of the batch, got {rows}"):
            backend.train(params, batch, 0.1, 1, rows_per_step=rows)


@pytest.mark.parametrize("inputs", [3, 130])
@pytest.mark.parametrize("name", WITH_MINIBATCHES)
def test_reordered_batch_is_the_batch_of_reordered_rows(name, inputs):
    """Reordering a placed batch of several blocks gives the outputs of the reordered rows, and leaves the batch."""
    network = Network((inputs, 4, 3))
    backend = loaded(name, network)
    backend.block_rows = backend.block_rows and 7
    x, y = RANDOM.normal(size=(ROWS, inputs)), RANDOM.normal(size=(ROWS, 3))
    order = RANDOM.permutation(ROWS)
    params, batch = backend.place_params(drawn_params(network)), backend.place_batch(x, y)
    before = backend.outputs(backend.forward(params, batch))
    reordered = backend.reorder(batch, order)
    for got, expected in zip(backend.outputs(backend.forward(params, reordered)), before, strict=True):
        np.testing.assert_allclose(got, expected[order], rtol=0, atol=64 * 2.0**-53 * 32)
    for got, expected in zip(backend.outputs(backend.forward(params, batch)), before, strict=True):
        np.testing.assert_array_equal(got, expected)
    loss, _ = backend.backward(params, reordered, backend.forward(params, reordered))
    assert float(loss) == pytest.approx(((before[-1] - y) ** 2).mean(), rel=1e-13)


@pytest.mark.parametrize("name", WITH_MINIBATCHES)
def test_reorder_takes_an_order_in_any_form(name):
    """A reversed view, a list and an array that is read-only are orders too."""
    backend = loaded(name)
    batch, params = backend.place_batch(INPUTS, CLASS_NUMBERS), backend.place_params(drawn_params(CLASSES))
    read_only = np.arange(ROWS)
    read_only.flags.writeable = False
    expected = backend.outputs(backend.forward(params, batch))[-1]
    for order, rows in ((np.arange(ROWS)[::-1], slice(None, None, -1)), (list(range(ROWS)), ...), (read_only, ...)):
        got = backend.outputs(backend.forward(params, backend.reorder(batch, order)))[-1]
        np.testing.assert_allclose(got, expected[rows], rtol=0, atol=64 * 2.0**-53 * 32)


@pytest.mark.parametrize("name", WITH_MINIBATCHES)
@pytest.mark.parametrize(
    ("order", "text"),
    [
        (np.zeros(ROWS, int), "every row number from 0 to 22 once"),
        (np.arange(1, ROWS + 1), "every row number"),
        (np.arange(ROWS - 1), "integer array of shape"),
        (np.arange(ROWS) * 1.0, "integer array of shape"),
    ],
)
def test_reorder_refuses_what_is_no_order(name, order, text):
    """Row numbers twice, out of range, too few or not whole are refused."""
    backend = loaded(name)
    with pytest.raises(ValueError, match=text):
        backend.reorder(backend.place_batch(INPUTS, CLASS_NUMBERS), order)


@pytest.mark.parametrize(("activation", "loss"), tuple(zip(ACTIVATIONS, itertools.cycle(LOSSES))))
@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_the_slope_of_the_loss(name, activation, loss):
    """Along any direction the loss changes as the gradient says: a central difference, of each activation and loss."""
    network = Network((3, 4, 5, 3), activation, loss)
    backend = loaded(name, network)
    targets = CLASS_NUMBERS if loss == "cross-entropy" else INPUTS
    batch, start = backend.place_batch(INPUTS, targets), drawn_params(network, 3)
    direction = drawn_params(network, 4)

    def loss_at(distance):
        moved = tuple(
            Layer(w + distance * dw, b + distance * db) for (w, b), (dw, db) in zip(start, direction, strict=True)
        )
        params = backend.place_params(moved)
        return backend.backward(params, batch, backend.forward(params, batch))

    h = 1e-6
    gradients = backend.fetch(loss_at(0.0)[1])
    slope = sum((g * d).sum() for dw, gw in zip(direction, gradients, strict=True) for d, g in zip(dw, gw, strict=True))
    difference = (float(loss_at(h)[0]) - float(loss_at(-h)[0])) / (2 * h)
    assert difference == pytest.approx(slope, rel=1e-6)  # h^2 of curvature, u / h of rounding


@pytest.mark.parametrize("dtype", backends.DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_cross_entropy_of_large_outputs_does_not_overflow(name, dtype):
    """Outputs of ten thousand, whose exponential no float holds, give the loss that the difference of outputs says."""
    network = Network((1, 1, 2), "identity", "cross-entropy")
    backend = loaded(name, network, dtype)
    params = backend.place_params((Layer(np.ones((1, 1)), np.zeros(1)), Layer([[1e4], [-1e4]], np.zeros(2))))
    batch = backend.place_batch([[1.0], [-1.0]], np.array([1, 1]))
    loss, gradients = backend.backward(params, batch, backend.forward(params, batch))
    assert float(loss) == 1e4
    np.testing.assert_array_equal(backend.fetch(gradients)[1].weights, [[0.5], [-0.5]])


@pytest.mark.parametrize("dtype", backends.DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_sigmoid_is_right_far_from_zero(name, dtype):
    """Where the sigmoid is tiny it has its digits, and nothing overflows."""
    network = Network((1, 1, 1), "sigmoid")
    backend = loaded(name, network, dtype)
    params = backend.place_params((Layer(np.ones((1, 1)), np.zeros(1)),) * 2)
    z = np.array([-500.0, -80, -20, -1, 0, 1, 20, 500])
    outputs = backend.outputs(backend.forward(params, backend.place_batch(z[:, None], z[:, None])))
    exact = 1 / (1 + np.exp(-z.astype(np.longdouble)))
    limits = np.finfo(dtype)
    np.testing.assert_allclose(outputs[0][:, 0], exact.astype(dtype), rtol=8 * limits.eps, atol=limits.tiny)


def test_relu_slope_at_zero_is_zero():
    """A hidden unit at exactly zero passes no gradient on."""
    for name in NAMES:
        if "relu" not in backends.find(name).capabilities.activations:
            continue
        backend = backends.load(name, Network((1, 1, 1), "relu"), "float64")
        params = backend.place_params((Layer(np.zeros((1, 1)), np.zeros(1)), Layer(np.ones((1, 1)), np.zeros(1))))
        batch = backend.place_batch(np.ones((4, 1)), np.ones((4, 1)))
        _, gradients = backend.backward(params, batch, backend.forward(params, batch))
        assert backend.fetch(gradients)[0].weights == 0, name
        assert backend.fetch(gradients)[1].biases == -2, name


@pytest.mark.parametrize("name", NAMES)
def test_number_of_threads_is_the_one_asked_for(name):
    """A backend that can choose uses as many threads as asked, and says so."""
    if not backends.find(name).capabilities.threads:
        pytest.skip(f"{name} cannot choose its threads")
    usual = backends.load(name, Network((3, 2, 1)), "float64")
    before = usual.describe()["threads"]
    try:
        one = backends.load(name, Network((3, 2, 1)), "float64", threads=1)
        assert one.describe()["threads"] == 1
        params, _ = one.step(one.place_params(drawn_params(one.network)), one.place_batch(INPUTS, INPUTS[:, :1]), 0.1)
        assert np.isfinite(one.fetch(params)[0].weights).all()
    finally:
        backends.load(name, Network((3, 2, 1)), "float64", threads=int(before))
    assert usual.describe()["threads"] == before
