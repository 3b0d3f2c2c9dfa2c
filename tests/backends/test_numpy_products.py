"""Products in parts are those of whole matrices."""

from __future__ import annotations

import numpy as np
import pytest

from backends import Network
from backends.numpy_products import COPIED, SMALL_PRODUCT, UNLOCKED, InParts, Whole, products


@pytest.mark.parametrize(("n", "columns"), [(96, 32), (100, 32), (40, 39)])
@pytest.mark.parametrize("row_major", [True, False])
def test_parts_give_the_products_of_whole_matrices(n: int, columns: int, row_major: bool) -> None:
    """Of whole numbers, whose sums are exact in any order, both ways give the same, into the same memory, with a rest
    or without.
    """
    rng = np.random.default_rng(0)
    w, g = (rng.integers(-9, 9, shape).astype(float) for shape in ((3, 5), (3, n)))
    x = rng.integers(-9, 9, (n, 5)).astype(float).T if row_major else rng.integers(-9, 9, (5, n)).astype(float)
    assert all(np.shares_memory(view, x) for view in InParts(columns).operand(x).stacks)
    for by in (Whole(), Whole(large=True), InParts(columns)):
        written, sums = np.full((4, n), 7.0), np.full((3, 5), 7.0)
        by.multiply(w, by.operand(x), by.operand(written[:3]))
        by.sum_products(by.operand(g), by.transposed(by.operand(x)), sums)
        np.testing.assert_array_equal(written[:3], np.einsum("oi,in->on", w, x))
        np.testing.assert_array_equal(written[3], 7.0)
        np.testing.assert_array_equal(sums, np.einsum("on,in->oi", g, x))
        written, sums = np.full((1, n), 7.0), np.full((1, 5), 7.0)
        by.multiply(w[:1], by.operand(x), by.operand(written))
        by.sum_products(by.operand(g[:1]), by.transposed(by.operand(x)), sums)
        np.testing.assert_array_equal(written, np.einsum("oi,in->on", w[:1], x))
        np.testing.assert_array_equal(sums, np.einsum("on,in->oi", g[:1], x))


@pytest.mark.parametrize(("outputs", "inputs"), [(3, 5), (1, COPIED), (32, 64)])
@pytest.mark.parametrize("by", [Whole(), Whole(large=True), InParts(32)])
def test_transposed_weights_are_multiplied_where_they_lie(outputs: int, inputs: int, by: Whole | InParts) -> None:
    """Weights are a view of a matrix that has the biases too; a large view is not copied by `numpy.dot`."""
    rng = np.random.default_rng(0)
    layer = rng.integers(-9, 9, (outputs, inputs + 1)).astype(float)
    g, written = rng.integers(-9, 9, (outputs, 96)).astype(float), np.full((inputs, 96), 7.0)
    multiply = by.multiply_transposed(outputs, inputs)
    multiply(layer[:, :-1].T, by.operand(g), by.operand(written))
    np.testing.assert_array_equal(written, np.einsum("oi,on->in", layer[:, :-1], g))
    assert outputs * inputs < COPIED or outputs == 1 or multiply is not np.dot


@pytest.mark.parametrize(
    ("network", "n", "parts"),
    [("8-32-1", 3000, 0), ("8-32-1", 16_400, 5), ("8-32-1", 16_411, 5), ("64-64-1", 10_000, 0), ("3-2-1", 65_552, 0)],
)
def test_a_product_is_cut_only_if_it_is_large_and_narrow(network: str, n: int, parts: int) -> None:
    """Parts are of at most so many multiplications, and equal if the rows allow it."""
    by = products(Network.parse(network), n)
    assert isinstance(by, InParts) == bool(parts)
    if isinstance(by, InParts):
        assert by.columns * 32 * 9 <= SMALL_PRODUCT
        assert n // by.columns == parts - (n % by.columns > 0)


@pytest.mark.parametrize("network", ["4-8-1", "8-32-1", "3-2-1"])
@pytest.mark.parametrize("n", [40_000, 65_552, 262_144])
def test_sums_of_parts_let_other_threads_run(network: str, n: int) -> None:
    """There are as many parts as give so many numbers that numpy gives the interpreter lock back meanwhile."""
    by, size = products(Network.parse(network), n), max(o * (i + 1) for o, i in Network.parse(network).layer_shapes)
    assert isinstance(by, Whole) or -(-n // by.columns) * size >= UNLOCKED
