"""Mini-batches: which rows each step takes, and batches in another order."""

from __future__ import annotations

import numpy as np
import pytest

from backends import Momentum, Network
from tests.backends.workload_cases import (
    CLASS_NUMBERS,
    CLASSES,
    INPUTS,
    ROWS,
    WITH_MINIBATCHES,
    drawn_params,
    loaded,
)


@pytest.mark.parametrize(("inputs", "rows_per_step"), [(3, 1), (3, 5), (130, 5), (3, ROWS)])
@pytest.mark.parametrize("name", WITH_MINIBATCHES)
def test_mini_batches_take_rows_in_order_and_end_a_pass_short(name, rows_per_step, inputs):
    """Two passes and a step are the steps on batches of those rows: every row once a pass, the last step shorter."""
    network = Network((inputs, 4, 3), "tanh", "cross-entropy")
    backend = loaded(name, network, optimizer=Momentum())
    x = np.random.default_rng(2).normal(size=(ROWS, inputs))
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
    for cutting in (backend, getattr(backend, "_batches", backend)):
        if getattr(cutting, "block_rows", None):
            cutting.block_rows = 7
    random = np.random.default_rng(2)
    x, y = random.normal(size=(ROWS, inputs)), random.normal(size=(ROWS, 3))
    order = random.permutation(ROWS)
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
