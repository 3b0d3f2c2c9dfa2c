"""Steps of few rows of wide layers: a team of threads shares each layer's products, tile by tile, in one compiled loop.

A step of a mini-batch is short, and half of each thread's time would go to packing matrices for the BLAS, to sums of
each thread's gradients and to starting threads. Here nothing is packed, and a weight has one owner, who sums its
gradient over all rows and updates it at once, in the owner's cache. The members meet at a barrier after each layer.

`numba_tiles` multiplies matrices if what its vectors run over lies side by side:

    forward     z [o, r] = w [o, i] x [i, r]       vectors of rows: outputs are in blocks ``[size, STEP_ROWS]``
    below       g [r, i] = g [r, o] w [o, i]       vectors of inputs: error terms are ``[rows, pitch]``
    gradients   dw [o, i] = g [r, o]^T h [r, i]    vectors of inputs, so outputs are needed as ``[rows, pitch]`` too

So the inputs of a step and each layer's outputs are turned once, in registers. Rows of the batch are read where they
lie, in any order: a batch in a new order is not copied.

Members take whole rows of weights, columns of error terms, or tiles of rows, so that no sum depends on their number.

Tests: `tests/backends/test_numba_team.py`.
"""

from functools import lru_cache

import numpy as np
from numba import njit

from backends.numba_activations import activate, times_slope
from backends.numba_barrier import meet
from backends.numba_blocks import cross_entropy, squared_error
from backends.numba_chunks import LAYERS, PARAMETERS, SIZES, TERMS, WIDEST
from backends.numba_compile import compile_as
from backends.numba_lanes import address, offset
from backends.numba_optimizers import advance, factors_of
from backends.numba_tiles import STEP_ROWS, gathered_tile, lanes, multiply, rounded_up
from backends.numba_turn import turn_gathered_tile, turn_tile

TURNED, BLOCKS, ERRORS, TARGETS, LOSSES, GRADIENTS, LENGTH, PITCHES = range(8)
"""Where the scratch has the inputs by features, two layers' outputs by features, three layers' error terms, the targets
of a tile of rows of each member, the losses of each tile, the gradients of a few inputs of each member, its length;
and from `PITCHES` on, of each layer but the last, the pitch of its outputs, and where these are row by row.
"""
_INNER = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_PART = {"inline": "always"}


def places_of(network, rows, team, itemsize):
    """Return where the scratch of steps of up to ``rows`` has what."""
    sizes, line = network.sizes, 64 // itemsize
    rows = _rounded(rows, STEP_ROWS)
    pitches = [_rounded(size, STEP_ROWS) + line for size in sizes]  # an odd number of cache lines: rows share no sets
    widest = max(pitches)
    lengths = [
        rows * _rounded(sizes[0], STEP_ROWS),
        2 * rows * widest,
        3 * rows * widest,
        team * STEP_ROWS * sizes[-1],
        rows // STEP_ROWS,
        team * STEP_ROWS * max(sizes[1:]),
        *(rows * pitch for pitch in pitches[1:-1]),
    ]
    starts = np.cumsum([0, *(_rounded(length, line) for length in lengths)])
    of_layers = zip(pitches, [0, *starts[LENGTH:-1], 0], strict=True)
    return np.array([*starts[:LENGTH], starts[-1], *(number for pair in of_layers for number in pair)], np.int64)


def _rounded(count, step):
    """Return ``count`` rounded up to a multiple of ``step``."""
    return -(-count // step) * step


@njit(**_PART)
def share(member, team, count, step):
    """Return the first of ``count`` things that is this member's; all but the last end are multiples of ``step``."""
    first = (2 * member * count + team * step) // (2 * team * step) * step
    return count if member == team or first > count else first


@njit(**_INNER)
def turn_rows(h, starts, features, to):
    """Write `STEP_ROWS` rows of ``h``, row ``r`` from ``h[starts[r]]`` on, to ``to [features, STEP_ROWS]``."""
    for r in range(0, STEP_ROWS, lanes(h)):
        for f in range(0, features, lanes(h)):
            turn_gathered_tile(offset(h, f), offset(starts, r), offset(to, f * STEP_ROWS + r), np.intp(STEP_ROWS))


@njit(**_INNER)
def turn_features(z, first, last, h, pitch):
    """Write features ``first`` to ``last`` of ``z [features, STEP_ROWS]`` to ``h [STEP_ROWS, pitch]``."""
    for f in range(first, last, lanes(z)):
        for r in range(0, STEP_ROWS, lanes(z)):
            turn_tile(0, offset(z, f * STEP_ROWS + r), np.intp(STEP_ROWS), offset(h, r * pitch + f), pitch)


@njit(**_INNER)
def weight_gradients(g, pitch, h, starts, n, o, dw):
    """Write ``g^T h``, summed over ``n`` rows, to ``dw [o, 2 vectors]``: the gradients of as many inputs."""
    wide = 2 * lanes(g)
    j = 0
    while j + 8 <= o:
        gathered_tile(8, 2, offset(g, j), pitch, h, starts, n, offset(dw, j * wide), wide)
        j += 8
    if j + 4 <= o:
        gathered_tile(4, 2, offset(g, j), pitch, h, starts, n, offset(dw, j * wide), wide)
        j += 4
    if j + 2 <= o:
        gathered_tile(2, 2, offset(g, j), pitch, h, starts, n, offset(dw, j * wide), wide)
        j += 2
    if j < o:
        gathered_tile(1, 2, offset(g, j), pitch, h, starts, n, offset(dw, j * wide), wide)


@njit(**_INNER)
def bias_gradients(g, pitch, n, o, db):
    """Write the sums of ``g`` over ``n`` rows to ``db [o]``."""
    for j in range(o):
        db[j] = 0
    for r in range(n):
        row = offset(g, r * pitch)
        for j in range(o):
            db[j] += row[j]


@njit(**_PART)
def errors_below(activation, g, g_pitch, w, o, i, h, below, pitch, rows, inputs):
    """Write ``g w`` times the slopes at the outputs ``h`` to ``below``, for the first ``rows`` and ``inputs``."""
    live = rounded_up(inputs, STEP_ROWS)
    multiply(g, g_pitch, np.intp(1), w, i, below, pitch, rows, o, live)
    for r in range(rows):
        times_slope(activation, offset(below, r * pitch), offset(h, r * pitch), live)


def member_kernel(real, activation, loss, optimizer):
    """Return the loop of one member of a team: its part of every step."""

    def member(
        me, team, plan, places, params, updates, settings, xy, order, task, learning_rate, losses, scratch, tables,
        barrier, rest,
    ):  # fmt: skip
        """Run ``len(losses)`` steps, each on the next rows; row ``k`` is row ``order[k]`` of ``xy`` if it has one."""
        layers, parameters, sizes = plan[LAYERS], plan[PARAMETERS], offset(address(plan, 0), SIZES)
        inputs, outputs = sizes[0], sizes[layers]
        stride = inputs + outputs
        n, rows_per_step, of = task[3], task[4], task[5]
        weights, x, room, bell = address(params, 0), address(xy, 0), address(scratch, 0), address(barrier, 0)
        starts, straight = address(tables, 2 * me * tables.shape[1]), address(tables, (2 * me + 1) * tables.shape[1])
        turned, dw = offset(room, places[TURNED]), offset(room, places[GRADIENTS] + me * STEP_ROWS * plan[WIDEST])
        targets = offset(room, places[TARGETS] + me * STEP_ROWS * outputs)
        widest = (places[ERRORS] - places[BLOCKS]) // 2
        rate, update = real(learning_rate), updates[0]
        first = 0
        for s in range(losses.shape[0]):
            rows = n - first
            rows = rows_per_step if rows_per_step < rows else rows
            whole = rows if rows < n else of
            scale = real(2.0 / (whole * outputs)) if loss == "mse" else real(whole)
            tiles = (rows + STEP_ROWS - 1) // STEP_ROWS
            for r in range(tiles * STEP_ROWS):
                row = first + r if r < rows else first
                starts[r] = (order[row] if order.shape[0] else row) * stride
            my_tile, end_tile = share(me, team, tiles, 1), share(me + 1, team, tiles, 1)
            features = rounded_up(inputs, STEP_ROWS)
            for tile in range(my_tile, end_tile):
                block = offset(turned, tile * features * STEP_ROWS)
                turn_rows(x, offset(starts, tile * STEP_ROWS), inputs, block)
            if meet(bell, team, rest):
                return
            h, w, at = turned, weights, 0
            for layer in range(1, layers):
                i, o = sizes[layer - 1], sizes[layer]
                of_input = rounded_up(i, STEP_ROWS) * STEP_ROWS
                of_output = rounded_up(o, STEP_ROWS) * STEP_ROWS
                if layer > 1:
                    by_rows, pitch = offset(room, places[PITCHES + 2 * layer - 1]), places[PITCHES + 2 * layer - 2]
                    a, b = share(me, team, i, STEP_ROWS), share(me + 1, team, i, STEP_ROWS)
                    for tile in range(tiles):
                        turn_features(
                            offset(h, tile * of_input), a, b, offset(by_rows, tile * STEP_ROWS * pitch), pitch
                        )
                z = offset(room, places[BLOCKS] + (layer & 1) * widest)
                a, b = share(me, team, o, 8), share(me + 1, team, o, 8)
                for tile in range(tiles):
                    to = offset(z, tile * of_output + a * STEP_ROWS)
                    block = offset(h, tile * of_input)
                    multiply(
                        offset(w, a * i),
                        i,
                        np.intp(1),
                        block,
                        np.intp(STEP_ROWS),
                        to,
                        np.intp(STEP_ROWS),
                        b - a,
                        i,
                        np.intp(STEP_ROWS),
                    )
                    for j in range(a, b):
                        activate(activation, offset(to, (j - a) * STEP_ROWS), w[o * i + j], np.intp(STEP_ROWS))
                at += o * i + o
                h, w = z, offset(weights, at)
                if meet(bell, team, rest):
                    return
            i, o = sizes[layers - 1], outputs
            of_input = rounded_up(i, STEP_ROWS) * STEP_ROWS
            by_rows, pitch = offset(room, places[PITCHES + 2 * layers - 1]), places[PITCHES + 2 * layers - 2]
            g_pitch = places[PITCHES + 2 * layers]
            g = offset(room, places[ERRORS] + layers % 3 * widest)
            below = offset(room, places[ERRORS] + (layers - 1) % 3 * widest)
            for tile in range(my_tile, end_tile):
                r = tile * STEP_ROWS
                live = rows - r
                live = STEP_ROWS if live > STEP_ROWS else live
                block = offset(h, tile * of_input)
                turn_features(block, 0, i, offset(by_rows, r * pitch), pitch)
                z = offset(room, places[BLOCKS] + (layers & 1) * widest + tile * rounded_up(o, STEP_ROWS) * STEP_ROWS)
                multiply(w, i, np.intp(1), block, np.intp(STEP_ROWS), z, np.intp(STEP_ROWS), o, i, np.intp(STEP_ROWS))
                for j in range(o):
                    activate("identity", offset(z, j * STEP_ROWS), w[o * i + j], np.intp(STEP_ROWS))
                    for k in range(live):
                        targets[j * STEP_ROWS + k] = x[starts[r + k] + inputs + j]
                if loss == "mse":
                    total = squared_error(z, targets, o, STEP_ROWS, live, scale, z)
                else:
                    total = cross_entropy(z, targets, o, STEP_ROWS, live, scale, z)
                room[places[LOSSES] + tile] = total
                turn_features(z, 0, o, offset(g, r * g_pitch), g_pitch)
                to, tape = offset(below, r * pitch), offset(by_rows, r * pitch)
                errors_below(activation, offset(g, r * g_pitch), g_pitch, w, o, i, tape, to, pitch, live, i)
            if meet(bell, team, rest):
                return
            update += 1
            factors = factors_of(optimizer, real, settings, update)
            for layer in range(layers, 0, -1):
                i, o = sizes[layer - 1], sizes[layer]
                g, pitch = offset(room, places[ERRORS] + layer % 3 * widest), places[PITCHES + 2 * layer]
                a, b = share(me, team, o, 8), share(me + 1, team, o, 8)
                h, lines = x, starts
                if layer > 1:
                    h, lines = offset(room, places[PITCHES + 2 * layer - 1]), straight
                    for r in range(rows):
                        straight[r] = r * places[PITCHES + 2 * layer - 2]
                wide = 2 * lanes(weights)
                for k in range(0, i, wide):
                    weight_gradients(offset(g, a), pitch, offset(h, k), lines, rows, b - a, dw)
                    count = wide if k + wide <= i else i - k
                    for j in range(a, b):
                        to, by = offset(weights, at + j * i + k), offset(dw, (j - a) * wide)
                        advance(optimizer, factors, to, by, parameters, count, rate)
                bias_gradients(offset(g, a), pitch, rows, b - a, dw)
                advance(optimizer, factors, offset(weights, at + o * i + a), dw, parameters, b - a, rate)
                if layer == layers and me == 0:
                    total = real(0)
                    for tile in range(tiles):
                        total += room[places[LOSSES] + tile]
                    losses[s] = total / (whole * plan[TERMS])
                if layer > 1:
                    at -= i * sizes[layer - 2] + i
                if layer > 2:
                    below = offset(room, places[ERRORS] + (layer - 2) % 3 * widest)
                    g, pitch = offset(room, places[ERRORS] + (layer - 1) % 3 * widest), places[PITCHES + 2 * layer - 2]
                    by_rows, below_pitch = (
                        offset(room, places[PITCHES + 2 * layer - 3]),
                        places[PITCHES + 2 * layer - 4],
                    )
                    o, i = i, sizes[layer - 2]
                    a, b = share(me, team, i, STEP_ROWS), share(me + 1, team, i, STEP_ROWS)  # the owner's: in its cache
                    w, to, tape = offset(weights, at + a), offset(below, a), offset(by_rows, a)
                    errors_below(activation, g, pitch, w, o, i, tape, to, below_pitch, rows, b - a)
                    if meet(bell, team, rest):
                        return
            first += rows_per_step
            if first >= n:
                first = 0
        if meet(bell, team, rest):
            return
        if me == 0:
            updates[0] = update

    return member


@lru_cache
def member_of(real, activation, loss, optimizer):
    """Return the loop of a member."""
    name = f"{real.__name__}_{activation}_{loss.replace('-', '_')}_{optimizer}"
    return compile_as(member_kernel(real, activation, loss, optimizer), name, error_model="numpy", nogil=True)
