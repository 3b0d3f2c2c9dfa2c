"""Matrix products for a batch of few rows, one row after the other.

Vectors run over inputs here, since tiles of rows would be mostly empty. Matrices are as in `numba_tiles`; ``column``,
as long as the widest layer, is scratch.

Tests: `tests/backends/test_numba_blocks.py`.
"""

from numba import njit

from backends.numba_lanes import offset, whole_registers

_INNER = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_LOOP = _INNER | {"fastmath": {"contract"}}
_SUM = _INNER | {"fastmath": {"reassoc", "contract", "nsz"}}


@njit(**_SUM)
def multiply_rows(w, h, z, o, i, pitch, n, column):
    """Write ``z = w h``."""
    whole_registers()
    for r in range(n):
        for k in range(i):
            column[k] = h[k * pitch + r]
        for j in range(o):
            weights = offset(w, j * i)
            total = weights[0] * column[0]
            for k in range(1, i):
                total += weights[k] * column[k]
            z[j * pitch + r] = total


@njit(**_LOOP)
def multiply_rows_transposed(w, g, below, o, i, pitch, n, column):
    """Write ``below = w^T g``."""
    whole_registers()
    for r in range(n):
        for k in range(i):
            column[k] = 0
        for j in range(o):
            weights, error = offset(w, j * i), g[j * pitch + r]
            for k in range(i):
                column[k] += error * weights[k]
        for k in range(i):
            below[k * pitch + r] = column[k]


@njit(**_LOOP)
def add_products_by_rows(g, h, dw, o, i, pitch, n, column):
    """Add ``g h^T`` to ``dw [o, i]``."""
    whole_registers()
    for r in range(n):
        for k in range(i):
            column[k] = h[k * pitch + r]
        for j in range(o):
            to, error = offset(dw, j * i), g[j * pitch + r]
            for k in range(i):
                to[k] += error * column[k]
