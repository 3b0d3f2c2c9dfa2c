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

from backends.numba_barrier import meet
from backends.numba_blocks import cross_entropy, squared_error
from backends.numba_chunks import LAYERS, PARAMETERS, SIZES, TERMS, WIDEST
from backends.numba_compile import compile_as
from backends.numba_lanes import address, offset
from backends.numba_optimizers import factors_of
from backends.numba_team_parts import (
    errors_below,
    find_rows,
    hidden_outputs,
    last_outputs,
    read_targets,
    share,
    turn_features,
    turn_rows,
    update_weights,
)
from backends.numba_team_places import BLOCKS, ERRORS, GRADIENTS, LOSSES, PITCHES, TARGETS, TURNED
from backends.numba_tiles import STEP_ROWS, rounded_up


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
            find_rows(order, first, rows, tiles, stride, starts)
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
                if layer > 1:
                    of_input = rounded_up(i, STEP_ROWS) * STEP_ROWS
                    by_rows, pitch = offset(room, places[PITCHES + 2 * layer - 1]), places[PITCHES + 2 * layer - 2]
                    a, b = share(me, team, i, STEP_ROWS), share(me + 1, team, i, STEP_ROWS)
                    for tile in range(tiles):
                        to = offset(by_rows, tile * STEP_ROWS * pitch)
                        turn_features(offset(h, tile * of_input), a, b, to, pitch)
                z = offset(room, places[BLOCKS] + (layer & 1) * widest)
                a, b = share(me, team, o, 8), share(me + 1, team, o, 8)
                hidden_outputs(activation, w, a, b, i, o, h, tiles, z)
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
                last_outputs(w, i, o, block, z)
                read_targets(x, offset(starts, r), inputs, o, live, targets)
                if loss == "mse":
                    of_tile = squared_error(z, targets, o, STEP_ROWS, live, scale, z)
                else:
                    of_tile = cross_entropy(z, targets, o, STEP_ROWS, live, scale, z)
                room[places[LOSSES] + tile] = of_tile
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
                w = offset(weights, at)
                update_weights(optimizer, factors, w, a, b, i, o, g, pitch, h, lines, rows, dw, parameters, rate)
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
                    by_rows = offset(room, places[PITCHES + 2 * layer - 3])
                    below_pitch = places[PITCHES + 2 * layer - 4]
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
