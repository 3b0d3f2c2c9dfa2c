"""The parts of a team's step (`numba_team`): what one member does between two barriers, or for one tile.

Every part takes pointers to its arrays, and the range of outputs, inputs or tiles that is the member's. There are no
barriers here, and only `share` knows how many members there are.

Tests: `tests/backends/test_numba_team.py`.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from backends.numba_activations import activate, times_slope
from backends.numba_lanes import offset
from backends.numba_optimizers import advance
from backends.numba_team_tiles import gathered_products
from backends.numba_tiles import STEP_ROWS, lanes, multiply, multiply_short, rounded_up
from backends.numba_transpose import transpose_gathered_tile, transpose_tile

_INNER = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_PART = {"inline": "always"}


class Gradients(NamedTuple):
    """Where a member has its gradients of one layer.

    Attributes:
        tile: of a few of its weights, summed over the rows of one part of a step.
        sums: of all its weights, summed over the parts so far; unused if there is one part.
        part, parts: number of this part, and of all.
    """

    tile: Any
    sums: Any
    part: Any
    parts: Any


@njit(**_INNER)
def share(member, team, count, step):
    """Return where this member's part of ``count`` things begins; it is a multiple of ``step``, or ``count`` for the
    end.
    """
    first = (2 * member * count + team * step) // (2 * team * step) * step
    return count if member == team or first > count else first


@njit(**_INNER)
def transpose_rows(h, starts, features, to):
    """Write `STEP_ROWS` rows of ``h``, row ``r`` from ``h[starts[r]]`` on, to ``to [features, STEP_ROWS]``."""
    for r in range(0, STEP_ROWS, lanes(h)):
        for f in range(0, features, lanes(h)):
            transpose_gathered_tile(offset(h, f), offset(starts, r), offset(to, f * STEP_ROWS + r), np.intp(STEP_ROWS))


@njit(**_INNER)
def transpose_features(z, first, last, h, pitch):
    """Write features ``first`` to ``last`` of ``z [features, STEP_ROWS]`` to ``h [STEP_ROWS, pitch]``."""
    for f in range(first, last, lanes(z)):
        for r in range(0, STEP_ROWS, lanes(z)):
            transpose_tile(0, offset(z, f * STEP_ROWS + r), np.intp(STEP_ROWS), offset(h, r * pitch + f), pitch)


@njit(**_INNER)
def weight_gradients(g, pitch, h, starts, n, o, dw):
    """Write ``g^T h``, summed over ``n`` rows, to ``dw [o, 2 vectors]``: the gradients of as many inputs."""
    gathered_products(2, g, pitch, h, starts, n, o, dw)


@njit(**_INNER)
def bias_gradients(g, pitch, n, o, db):
    """Write the sums of ``g`` over ``n`` rows to ``db [o]``."""
    for j in range(o):
        db[j] = 0
    for r in range(n):
        row = offset(g, r * pitch)
        for j in range(o):
            db[j] += row[j]


@njit(**_INNER)
def added_up(gradients, at, count):
    """Add ``count`` gradients of a tile to the sums from ``at`` on; return where those of all parts so far are."""
    tile, sums = gradients.tile, offset(gradients.sums, at)
    if gradients.parts == 1:
        return tile
    if gradients.part == 0:
        for k in range(count):
            sums[k] = tile[k]
    else:
        for k in range(count):
            sums[k] += tile[k]
    return sums


@njit(**_PART)
def is_last(gradients):
    """Return whether no part follows, so that parameters are to be updated."""
    return gradients.part == gradients.parts - 1


@njit(**_PART)
def errors_below(activation, g, g_pitch, w, o, i, h, below, pitch, rows, inputs):
    """Write ``g w`` times the slopes at the outputs ``h`` to ``below``, for the first ``rows`` and ``inputs``."""
    live = rounded_up(inputs, STEP_ROWS)
    multiply(g, g_pitch, np.intp(1), w, i, below, pitch, rows, o, live)
    for r in range(rows):
        times_slope(activation, offset(below, r * pitch), offset(h, r * pitch), live)


@njit(**_PART)
def find_rows(order, first, rows, tiles, stride, starts):
    """Write to ``starts`` where in the batch each of ``rows`` begins; the last tile is filled up with the first row."""
    for r in range(tiles * STEP_ROWS):
        row = first + r if r < rows else first
        starts[r] = (order[row] if order.shape[0] else row) * stride


@njit(**_INNER)
def hidden_products(w, i, outputs, h, live, z):
    """Write the products of a layer to ``z [outputs, STEP_ROWS]``, for ``live`` rows of a tile of its inputs ``h``."""
    pitch = np.intp(STEP_ROWS)
    if live <= lanes(w):
        multiply_short(w, i, np.intp(1), h, pitch, z, pitch, outputs, i, lanes(w))
    else:
        multiply(w, i, np.intp(1), h, pitch, z, pitch, outputs, i, rounded_up(live, 2 * lanes(w)))


@njit(**_PART)
def activate_outputs(activation, biases, outputs, live, z):
    """Add the biases to ``live`` rows of ``z [outputs, STEP_ROWS]`` and apply the activation."""
    count = rounded_up(live, lanes(z))
    for j in range(outputs):
        activate(activation, offset(z, j * STEP_ROWS), biases[j], count)


@njit(**_PART)
def last_outputs(w, i, o, h, live, z):
    """Write the outputs of the last layer to ``z``, for ``live`` rows of a tile."""
    hidden_products(w, i, o, h, live, z)
    activate_outputs("identity", offset(w, o * i), o, live, z)


@njit(**_PART)
def read_targets(x, starts, inputs, o, live, targets):
    """Copy the targets of ``live`` rows to ``targets [o, STEP_ROWS]``."""
    for j in range(o):
        for r in range(live):
            targets[j * STEP_ROWS + r] = x[starts[r] + inputs + j]


@njit(**_PART)
def update_weights(optimizer, factors, w, a, b, i, g, pitch, h, starts, rows, gradients, parameters, rate):
    """Update the weights of outputs ``a`` to ``b`` of a layer, by their gradients over all rows, after the last part.

    Gradients are computed and used for as many inputs at a time as two vectors hold, so that they stay in the L1
    cache.
    """
    wide = 2 * lanes(w)
    for k in range(0, i, wide):
        weight_gradients(offset(g, a), pitch, offset(h, k), starts, rows, b - a, gradients.tile)
        dw = added_up(gradients, k * (b - a), (b - a) * wide)
        if is_last(gradients):
            count = wide if k + wide <= i else i - k
            for j in range(a, b):
                to, by = offset(w, j * i + k), offset(dw, (j - a) * wide)
                advance(optimizer, factors, to, by, parameters, count, rate)


@njit(**_PART)
def update_biases(optimizer, factors, biases, g, pitch, outputs, rows, gradients, at, parameters, rate):
    """Update the biases of some outputs by their gradients over all rows, after the last part; their sums are at
    ``at``.
    """
    bias_gradients(g, pitch, rows, outputs, gradients.tile)
    db = added_up(gradients, at, outputs)
    if is_last(gradients):
        advance(optimizer, factors, biases, db, parameters, outputs, rate)
