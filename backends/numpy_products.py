"""Products of small matrices with those of many columns, as `numpy_backend` computes them: whole, or part by part.

OpenBLAS computes a product of up to a million multiplications without copying its factors first, and then takes a third
to a half of the time if one side is short, as in narrow networks. So the columns are cut into such parts, which numpy
multiplies in one call: blocks of rows can be long, and Python's calls few.

Tests: `tests/backends/test_numpy_products.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from backends.base import Array, Network

SMALL_PRODUCT = 1_000_000
"""Multiplications of a part at most."""
LEAST_COLUMNS = 256
"""Parts of fewer columns cost more than they gain."""
LARGE_RESULT, LARGE_ROWS = 1 << 14, 1 << 10
"""From this many numbers and rows on, `numpy.matmul` writes a result. `numpy.dot` writes zeros first, and keeps the
interpreter lock meanwhile; its calls are shorter by 0.3 us.
"""
COPIED = 1 << 10
"""From this many weights on, `numpy.matmul` multiplies by transposed weights. They lie in a matrix with the biases, and
`numpy.dot` copies a matrix whose rows do not follow each other.
"""
UNLOCKED = 500
"""numpy keeps the interpreter lock during a `numpy.matmul` whose result has fewer numbers, however long it takes."""

Product = Callable[[Array, Array, Array], Any]
_DOT: Any = np.dot  # whose type forbids to say where the result goes


class Whole:
    """Each product is one call of the BLAS. An operand, what a product needs of a matrix, is an array.

    Args:
        large: whether results of as many columns as ``x`` are large.
    """

    sum_products: Product = staticmethod(_DOT)
    """Write ``g x^T``, sums over all columns, to ``out``; ``x`` is a transposed operand."""

    def __init__(self, large: bool = False) -> None:
        self.multiply: Product = np.matmul if large else _DOT
        """Write ``w x`` to ``out``; ``x`` and ``out`` are operands."""

    def multiply_transposed(self, outputs: int, inputs: int) -> Product:
        """Return what multiplies by the transposed weights of such a layer. Those of one output are no view."""
        return np.matmul if outputs > 1 and outputs * inputs >= COPIED else self.multiply

    def operand(self, matrix: Array) -> Array:
        """Return a matrix ``[features, columns]`` as an operand."""
        return matrix

    def transposed(self, operand: Array) -> Array:
        """Return the transposed operand."""
        return operand.T


class Parts(NamedTuple):
    """A matrix, and views of it: stacks ``[parts, features, columns]``, of which the second may be the rest."""

    whole: Array
    stacks: list[Array]


class InParts:
    """The same with one call for all parts of ``columns``, and one for the rest, if any. An operand is a `Parts`.

    A single row times a matrix is another function of the BLAS, which gains nothing by parts: it is computed whole.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns

    def operand(self, matrix: Array) -> Parts:
        """Return all parts."""
        features, n = matrix.shape
        whole = n - n % self.columns
        stacks = [matrix[:, :whole].reshape(features, -1, self.columns).transpose(1, 0, 2)]
        return Parts(matrix, stacks if whole == n else [*stacks, matrix[None, :, whole:]])

    def transposed(self, operand: Parts) -> Parts:
        """Return all parts, each transposed."""
        return Parts(operand.whole.T, [stack.transpose(0, 2, 1) for stack in operand.stacks])

    def multiply(self, w: Array, x: Parts, out: Parts) -> None:
        """Write each part of the product."""
        if len(w) == 1:
            np.matmul(w, x.whole, out.whole)
            return
        for stack, to in zip(x.stacks, out.stacks, strict=True):
            np.matmul(w, stack, to)

    def multiply_transposed(self, outputs: int, inputs: int) -> Callable[[Array, Parts, Parts], None]:
        """Return what multiplies by the transposed weights of such a layer."""
        return self.multiply

    def sum_products(self, g: Parts, x: Parts, out: Array) -> None:
        """Add up the products of all parts."""
        if len(out) == 1:
            _DOT(g.whole, x.whole, out)
            return
        np.add.reduce(np.matmul(g.stacks[0], x.stacks[0]), 0, out=out)
        for stack, transposed in zip(g.stacks[1:], x.stacks[1:], strict=True):
            np.add(out, np.matmul(stack, transposed)[0], out)


Products = Whole | InParts


@lru_cache(64)
def products(network: Network, n: int) -> Products:
    """Return how the products of a block of ``n`` rows are computed: in equal parts if there are such."""
    largest = max(o * (i + 1) for o, i in network.layer_shapes)
    most = SMALL_PRODUCT // largest // 16 * 16
    if not LEAST_COLUMNS <= most < n:
        return Whole(n >= LARGE_ROWS and n * max(network.sizes[1:]) >= LARGE_RESULT)
    fewest = max(-(-n // most), -(-UNLOCKED // largest))
    columns = -(-n // fewest)
    return InParts(next((n // parts for parts in range(fewest, 2 * fewest) if n % parts == 0), columns + -columns % 16))
