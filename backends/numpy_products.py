"""Products of small matrices with those of many columns, as `numpy_backend` computes them: whole, or part by part.

OpenBLAS computes a product of up to a million multiplications without copying its factors first, and then takes a third
to a half of the time if one side is short, as in narrow networks. So the columns are cut into such parts, which numpy
multiplies in one call: blocks of rows can be long, and Python's calls few.

Tests: `tests/backends/test_numpy_products.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from backends.base import Array, Network

SMALL_PRODUCT = 1_000_000
"""Multiplications of a part at most."""
LEAST_COLUMNS = 256
"""Parts of fewer columns cost more than they gain."""

Product = Callable[[Array, Array, Array], Any]
_DOT: Any = np.dot  # whose type forbids to say where the result goes


class Whole:
    """Each product is one call of the BLAS. An operand, what a product needs of a matrix, is an array."""

    multiply: Product = staticmethod(_DOT)
    """Write ``w x`` to ``out``; ``x`` and ``out`` are operands."""
    sum_products: Product = staticmethod(_DOT)
    """Write ``g x^T``, sums over all columns, to ``out``; ``x`` is a transposed operand."""

    def operand(self, matrix: Array) -> Array:
        """Return a matrix ``[features, columns]`` as an operand."""
        return matrix

    def transposed(self, operand: Array) -> Array:
        """Return the transposed operand."""
        return operand.T


class InParts:
    """The same with one call for all parts of ``columns``, and one for the rest, if any.

    An operand is a list of stacks ``[parts, features, columns]``, of which the second may be the rest: views.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns

    def operand(self, matrix: Array) -> list[Array]:
        """Return all parts."""
        features, n = matrix.shape
        whole = n - n % self.columns
        if whole == n:  # a large batch has hundreds of blocks
            return [matrix.reshape(features, -1, self.columns).transpose(1, 0, 2)]
        return [*self.operand(matrix[:, :whole]), matrix[None, :, whole:]]

    def transposed(self, operand: list[Array]) -> list[Array]:
        """Return all parts, each transposed."""
        return [stack.transpose(0, 2, 1) for stack in operand]

    def multiply(self, w: Array, x: list[Array], out: list[Array]) -> None:
        """Write each part of the product."""
        for stack, to in zip(x, out, strict=True):
            np.matmul(w, stack, to)

    def sum_products(self, g: list[Array], x: list[Array], out: Array) -> None:
        """Add up the products of all parts."""
        np.add.reduce(np.matmul(g[0], x[0]), 0, out=out)
        for stack, transposed in zip(g[1:], x[1:], strict=True):
            np.add(out, np.matmul(stack, transposed)[0], out)


Products = Whole | InParts


@lru_cache(64)
def products(network: Network, n: int) -> Products:
    """Return how the products of a block of ``n`` rows are computed: in equal parts if there are such."""
    most = SMALL_PRODUCT // max(o * (i + 1) for o, i in network.layer_shapes) // 16 * 16
    if not LEAST_COLUMNS <= most < n:
        return Whole()
    fewest = -(-n // most)
    return InParts(next((n // parts for parts in range(fewest, 2 * fewest) if n % parts == 0), most))
