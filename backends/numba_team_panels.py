"""The first layer of a team's steps (`numba_team`) by vectors of outputs: no inputs are transposed.

The weights are in panels of `STEP_ROWS` outputs, each ``[i, STEP_ROWS]``, padded, and both products read the rows of a
batch from where they are:

    forward      z [r, o] = x [r, i] w [i, o]      for each input, a number of each row times vectors of weights
    gradients   dw [i, o] = x [r, i]^T g [r, o]    for each row, a number of each input times vectors of error terms

Each sum has the same terms in the same order as with vectors of rows and of inputs, and so the same bits.

Tests: `tests/backends/test_numba_team.py`.
"""

import numpy as np
from numba import njit

from backends.numba_blocking import FEW_ROWS
from backends.numba_lanes import offset
from backends.numba_optimizers import advance
from backends.numba_team_parts import added_up, is_last, transpose_features, transpose_rows
from backends.numba_team_tiles import inputs_tile, rows_tile
from backends.numba_tiles import STEP_ROWS, lanes, rounded_up

_INNER = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_PART = {"inline": "always"}

BY_ROWS, FOR_A_STEP, FOR_A_CALL, ONE_BY_ONE = range(4)
"""How a team multiplies by the first layer's weights: by vectors of rows, whose inputs it transposes in each step; by
panels of the weights that are made in each step; by panels of the weights and of their moments that are made once, used
and updated by all steps of a call, and copied back. Or, in all layers, few rows one by one (`numba_rows`).
"""
REPAID = 16
"""Panels of a call repay copying if it takes at least this many times as many rows as the layer has outputs."""


def panels_for(steps, rows, inputs, outputs, team):
    """Return how a team multiplies in a call of some steps of ``rows``; whole panels must divide among its members.

    The last step may have fewer rows: they are multiplied as those of the others are.
    """
    if rows <= FEW_ROWS:
        return ONE_BY_ONE
    if inputs < STEP_ROWS or outputs % (team * STEP_ROWS):
        return BY_ROWS
    if steps * rows >= REPAID * outputs:
        return FOR_A_CALL
    return FOR_A_STEP if outputs <= rows else BY_ROWS


@njit(**_INNER)
def make_panels(vectors, w, parameters, i, a, b, starts, panels, vector):
    """Copy the weights of outputs ``a`` to ``b`` from ``w [o, i]`` to ``panels``, and so all but one of ``vectors``,
    the moments, which are ``parameters`` numbers further on, and ``vector`` in panels. ``starts`` is scratch.
    """
    for r in range(STEP_ROWS):
        starts[r] = r * i
    for v in range(vectors):
        for j in range(a, b, STEP_ROWS):
            panel = offset(panels, v * vector + j * rounded_up(i, STEP_ROWS))
            transpose_rows(offset(w, v * parameters + j * i), starts, i, panel)


@njit(**_INNER)
def copy_back(vectors, panels, vector, i, a, b, w, parameters):
    """Copy what `make_panels` copied from ``panels`` to ``w [o, i]`` and its moments."""
    for v in range(vectors):
        for j in range(a, b, STEP_ROWS):
            panel, to = offset(panels, v * vector + j * rounded_up(i, STEP_ROWS)), offset(w, v * parameters + j * i)
            for k in range(0, i, lanes(w)):
                first = k if k + lanes(w) <= i else i - lanes(w)  # the last vector ends with the row
                transpose_features(offset(panel, first * STEP_ROWS), np.intp(0), lanes(w), offset(to, first), i)


@njit(**_INNER)
def panel_products(x, starts, panels, i, outputs, live, square, z):
    """Write the products of a layer to ``z [outputs, STEP_ROWS]``, for ``live`` rows of ``x``.

    Row ``r`` starts at ``x[starts[r]]``; ``square [STEP_ROWS, STEP_ROWS]`` is scratch.
    """
    features, pitch = rounded_up(i, STEP_ROWS), np.intp(STEP_ROWS)
    for j in range(0, outputs, STEP_ROWS):
        for o in range(0, STEP_ROWS, 2 * lanes(x)):
            for r in range(0, live, 8):
                to = offset(square, r * STEP_ROWS + o)
                rows_tile(8, 2, x, offset(starts, r), offset(panels, j * features + o), pitch, i, to, pitch)
        transpose_features(square, np.intp(0), pitch, offset(z, j * STEP_ROWS), pitch)


@njit(**_PART)
def update_panels(optimizer, factors, panels, vector, i, outputs, g, pitch, x, starts, rows, gradients, rate):
    """Update the weights of some outputs by their gradients over all rows, after the last part; a moment is ``vector``
    numbers further on.

    Gradients are computed and used for 8 inputs of a panel at a time, so that they stay in the L1 cache. The last of
    these may be no inputs, but what follows in a row: nothing is updated by them.
    """
    for k in range(0, i, 8):
        count = 8 if k + 8 <= i else i - k
        for j in range(0, outputs, STEP_ROWS):
            for o in range(0, STEP_ROWS, 2 * lanes(x)):
                to = offset(gradients.tile, o)
                inputs_tile(8, 2, offset(x, k), starts, offset(g, j + o), pitch, rows, to, np.intp(STEP_ROWS))
            at = j * rounded_up(i, STEP_ROWS) + k * STEP_ROWS
            dw = added_up(gradients, at, count * STEP_ROWS)
            if is_last(gradients):
                advance(optimizer, factors, offset(panels, at), dw, vector, count * STEP_ROWS, rate)
