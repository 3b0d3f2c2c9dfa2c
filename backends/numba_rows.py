"""Matrix products for a batch of few rows, one row after the other.

Vectors run over inputs here, since tiles of rows would be mostly empty. Matrices are as in `numba_tiles`; ``column``,
as long as the widest layer, is scratch. The last functions are a team's (`numba_team`), whose rows lie where a table
says. What takes time there is to read the weights of wide layers: forward reads each once, and the update reads and
writes each once, since the gradients of one output's weights stay in the L1 cache.

Tests: `tests/backends/test_numba_blocks.py`, `tests/backends/test_numba_team.py`.
"""

from numba import njit

from backends.numba_lanes import offset, whole_registers
from backends.numba_optimizers import advance
from backends.numba_tiles import STEP_ROWS

_INNER = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_LOOP = _INNER | {"fastmath": {"contract"}}
_SUM = _INNER | {"fastmath": {"reassoc", "contract", "nsz"}}
_PART = {"inline": "always"}


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


@njit(**_PART)
def four_rows(h, starts):
    """Return pointers to four rows of ``h``."""
    return offset(h, starts[0]), offset(h, starts[1]), offset(h, starts[2]), offset(h, starts[3])


@njit(**_SUM)
def few_products(w, i, outputs, h, starts, rows, z):
    """Write ``w h`` to ``z [outputs, STEP_ROWS]``; row ``r`` of ``h`` starts at ``h[starts[r]]``.

    The other rows of ``z`` keep what they hold: nobody uses what becomes of them.
    """
    whole_registers()
    for j in range(outputs):
        weights, to = offset(w, j * i), offset(z, j * STEP_ROWS)
        r = 0
        while r + 4 <= rows:  # four at a time load weights once
            x0, x1, x2, x3 = four_rows(h, offset(starts, r))
            s0, s1, s2, s3 = weights[0] * x0[0], weights[0] * x1[0], weights[0] * x2[0], weights[0] * x3[0]
            for k in range(1, i):
                s0 += weights[k] * x0[k]
                s1 += weights[k] * x1[k]
                s2 += weights[k] * x2[k]
                s3 += weights[k] * x3[k]
            to[r], to[r + 1], to[r + 2], to[r + 3] = s0, s1, s2, s3
            r += 4
        while r < rows:
            row = offset(h, starts[r])
            total = weights[0] * row[0]
            for k in range(1, i):
                total += weights[k] * row[k]
            to[r] = total
            r += 1


@njit(**_LOOP)
def few_gradients(g, pitch, h, starts, rows, count, dw):
    """Write the gradients of ``count`` weights of one output to ``dw``; its error terms ``g`` are ``pitch`` apart."""
    whole_registers()
    if rows >= 4:
        x0, x1, x2, x3 = four_rows(h, starts)
        g0, g1, g2, g3 = g[0], g[pitch], g[2 * pitch], g[3 * pitch]
        for k in range(count):
            dw[k] = g0 * x0[k] + g1 * x1[k] + g2 * x2[k] + g3 * x3[k]
    else:
        row, error = offset(h, starts[0]), g[0]
        for k in range(count):
            dw[k] = error * row[k]
    for r in range(4 if rows >= 4 else 1, rows):
        row, error = offset(h, starts[r]), g[r * pitch]
        for k in range(count):
            dw[k] += error * row[k]


@njit(**_PART)
def update_few(optimizer, factors, w, a, b, i, g, pitch, h, starts, rows, dw, held, parameters, rate):
    """Update the weights of outputs ``a`` to ``b`` of a layer; ``dw`` holds ``held`` gradients at a time."""
    for j in range(a, b):
        for k in range(0, i, held):
            count = held if k + held <= i else i - k
            few_gradients(offset(g, j), pitch, offset(h, k), starts, rows, count, dw)
            advance(optimizer, factors, offset(w, j * i + k), dw, parameters, count, rate)
