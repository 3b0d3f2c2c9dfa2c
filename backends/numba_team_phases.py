"""The phases of one part of a team's step (`numba_team`), each as one member runs it.

They are: the hidden layers, the output layer with the loss, and the way back with the update. Each ends at a barrier
and returns whether the whole team is to end, because one of its threads will not come. Layer ``l`` takes
``sizes[l - 1]`` numbers and gives ``sizes[l]``.

Tests: `tests/backends/test_numba_team.py`.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from backends.numba_barrier import meet
from backends.numba_blocks import cross_entropy, squared_error
from backends.numba_chunks import LAYERS, PARAMETERS, WIDEST
from backends.numba_lanes import offset
from backends.numba_rows import few_products, update_few
from backends.numba_team_panels import (
    BY_ROWS,
    FOR_A_CALL,
    FOR_A_STEP,
    ONE_BY_ONE,
    make_panels,
    panel_products,
    update_panels,
)
from backends.numba_team_parts import (
    Gradients,
    activate_outputs,
    errors_below,
    hidden_products,
    last_outputs,
    read_targets,
    share,
    transpose_features,
    transpose_rows,
    update_biases,
    update_weights,
)
from backends.numba_team_scratch import BLOCKS, ERRORS, GRADIENTS, LENGTH, LOSSES, PITCHES, TARGETS, TRANSPOSED, VECTOR
from backends.numba_tiles import STEP_ROWS, rounded_up

_INNER = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_PART = {"inline": "always"}


class Step(NamedTuple):
    """What a member knows of one part of a step.

    Attributes:
        me, team: number of this member, and of all.
        barrier, yield_address: as `numba_barrier.meet` takes them.
        plan, sizes: as `numba_chunks.plan_of` has them; ``sizes`` is a pointer to its sizes.
        places, scratch: where the scratch has what, and a pointer to it.
        weights: all parameters.
        x: inputs and targets, row-major.
        starts: where in ``x`` each row of the part begins.
        rows, tiles: of the part; the last tile may be filled up.
        part, parts: number of this part, and of all.
        widest: numbers of the outputs of the widest layer, and of its error terms.
        panels: how the team multiplies by weights, of the first layer or all, as `numba_team_panels.panels_for` says.
    """

    me: Any
    team: Any
    barrier: Any
    yield_address: Any
    plan: Any
    sizes: Any
    places: Any
    scratch: Any
    weights: Any
    x: Any
    starts: Any
    rows: Any
    tiles: Any
    part: Any
    parts: Any
    widest: Any
    panels: Any


@njit(**_INNER)
def outputs_of(step, layer):
    """Return the outputs of a hidden layer, in blocks ``[tiles, size, STEP_ROWS]``; of layer 0, the inputs, or the
    panels of the first layer's weights.
    """
    if layer == 0:
        return offset(step.scratch, step.places[TRANSPOSED])
    return offset(step.scratch, step.places[BLOCKS] + (layer & 1) * step.widest)


@njit(**_INNER)
def outputs_by_rows(step, layer):
    """Return the outputs ``[rows, pitch]`` of a hidden layer, and their pitch."""
    at = PITCHES + 2 * layer
    return offset(step.scratch, step.places[at + 1]), step.places[at]


@njit(**_INNER)
def errors_of(step, layer):
    """Return the error terms ``[rows, pitch]`` of a layer, and their pitch."""
    return offset(step.scratch, step.places[ERRORS] + layer % 3 * step.widest), step.places[PITCHES + 2 * layer]


@njit(**_PART)
def live_rows(step, tile):
    """Return how many rows of a tile count; the others keep what they hold, and nobody uses what becomes of them."""
    live = step.rows - tile * STEP_ROWS
    return STEP_ROWS if live > STEP_ROWS else live


@njit(**_INNER)
def transpose_inputs(step):
    """Transpose this member's tiles of the rows of a part."""
    me, team, features = step.me, step.team, step.sizes[0]
    for tile in range(share(me, team, step.tiles, 1), share(me + 1, team, step.tiles, 1)):
        block = offset(outputs_of(step, 0), tile * rounded_up(features, STEP_ROWS) * STEP_ROWS)
        transpose_rows(step.x, offset(step.starts, tile * STEP_ROWS), features, block)


@njit(**_PART)
def forward_hidden(activation, straight, step):
    """Compute the outputs of all hidden layers, by features and by rows; each member has some units of each layer.

    ``straight`` is scratch for where the weights of the first layer's outputs begin. Only inputs that are transposed
    need a barrier before the first layer: a member has its own weights.
    """
    me, team, tiles, sizes = step.me, step.team, step.tiles, step.sizes
    square = offset(step.scratch, step.places[GRADIENTS] + me * STEP_ROWS * step.plan[WIDEST])
    if step.panels == BY_ROWS:
        transpose_inputs(step)
        if meet(step.barrier, team, step.yield_address):
            return True
    at = 0
    for layer in range(1, step.plan[LAYERS]):
        i, o = sizes[layer - 1], sizes[layer]
        h = outputs_of(step, layer - 1)
        inputs, lines = step.x, step.starts
        if layer > 1:
            by_rows, pitch = outputs_by_rows(step, layer - 1)
            a, b = share(me, team, i, STEP_ROWS), share(me + 1, team, i, STEP_ROWS)
            for tile in range(tiles):
                block = offset(h, tile * rounded_up(i, STEP_ROWS) * STEP_ROWS)
                transpose_features(block, a, b, offset(by_rows, tile * STEP_ROWS * pitch), pitch)
            if step.panels == ONE_BY_ONE:
                inputs, lines = by_rows, straight
                for r in range(step.rows):
                    straight[r] = r * pitch
                if meet(step.barrier, team, step.yield_address):
                    return True
        a, b = share(me, team, o, 8), share(me + 1, team, o, 8)
        w = offset(step.weights, at)
        if layer == 1 and step.panels == FOR_A_STEP and step.part == 0:
            make_panels(np.intp(1), w, step.plan[PARAMETERS], i, a, b, straight, h, step.places[VECTOR])
        for tile in range(tiles):
            z = offset(outputs_of(step, layer), (tile * rounded_up(o, STEP_ROWS) + a) * STEP_ROWS)
            live = live_rows(step, tile)
            if step.panels == ONE_BY_ONE:
                few_products(offset(w, a * i), i, b - a, inputs, lines, step.rows, z)
            elif layer == 1 and step.panels != BY_ROWS:
                panels = offset(h, a * rounded_up(i, STEP_ROWS))
                panel_products(step.x, offset(step.starts, tile * STEP_ROWS), panels, i, b - a, live, square, z)
            else:
                block = offset(h, tile * rounded_up(i, STEP_ROWS) * STEP_ROWS)
                hidden_products(offset(w, a * i), i, b - a, block, live, z)
            activate_outputs(activation, offset(w, o * i + a), b - a, live, z)
        at += o * i + o
        if meet(step.barrier, team, step.yield_address):
            return True
    return False


@njit(**_PART)
def output_layer(activation, loss, scale, step):
    """Compute predicted, the loss, and the error terms of the last two layers; each member has some tiles of rows."""
    me, team, sizes, layers = step.me, step.team, step.sizes, step.plan[LAYERS]
    i, o = sizes[layers - 1], sizes[layers]
    w = offset(step.weights, step.plan[PARAMETERS] - o * i - o)
    by_rows, pitch = outputs_by_rows(step, layers - 1)
    g, g_pitch = errors_of(step, layers)
    below, _ = errors_of(step, layers - 1)
    targets = offset(step.scratch, step.places[TARGETS] + me * STEP_ROWS * o)
    for tile in range(share(me, team, step.tiles, 1), share(me + 1, team, step.tiles, 1)):
        r = tile * STEP_ROWS
        live = live_rows(step, tile)
        block = offset(outputs_of(step, layers - 1), tile * rounded_up(i, STEP_ROWS) * STEP_ROWS)
        transpose_features(block, np.intp(0), i, offset(by_rows, r * pitch), pitch)
        z = offset(outputs_of(step, layers), tile * rounded_up(o, STEP_ROWS) * STEP_ROWS)
        last_outputs(w, i, o, block, live, z)
        read_targets(step.x, offset(step.starts, r), sizes[0], o, live, targets)
        if loss == "mse":
            of_tile = squared_error(z, targets, o, STEP_ROWS, live, scale, z)
        else:
            of_tile = cross_entropy(z, targets, o, STEP_ROWS, live, scale, z)
        step.scratch[step.places[LOSSES] + tile] = of_tile
        transpose_features(z, np.intp(0), o, offset(g, r * g_pitch), g_pitch)
        to, tape = offset(below, r * pitch), offset(by_rows, r * pitch)
        errors_below(activation, offset(g, r * g_pitch), g_pitch, w, o, i, tape, to, pitch, live, i)
    return meet(step.barrier, team, step.yield_address)


@njit(**_PART)
def backward_and_update(activation, optimizer, factors, rate, straight, step):
    """Add up each layer's gradients, the last layer first, and compute the error terms below it; after the last part
    update the parameters.

    A member updates the weights of some units, and computes the error terms of some inputs; ``straight`` is scratch for
    where the rows of a layer's outputs begin.
    """
    me, team, rows, sizes = step.me, step.team, step.rows, step.sizes
    layers, parameters = step.plan[LAYERS], step.plan[PARAMETERS]
    held = STEP_ROWS * step.plan[WIDEST]
    tile = offset(step.scratch, step.places[GRADIENTS] + me * held)
    at, sums = parameters, step.places[LENGTH]
    for layer in range(layers, 0, -1):
        i, o = sizes[layer - 1], sizes[layer]
        features = rounded_up(i, STEP_ROWS)
        at -= o * i + o
        sums -= o * features + o
        g, pitch = errors_of(step, layer)
        a, b = share(me, team, o, 8), share(me + 1, team, o, 8)
        h, lines = step.x, step.starts
        if layer > 1:
            h, h_pitch = outputs_by_rows(step, layer - 1)
            lines = straight
            for r in range(rows):
                straight[r] = r * h_pitch
        w = offset(step.weights, at)
        of_own = offset(g, a)
        gradients = Gradients(tile, offset(step.scratch, sums + a * (features + 1)), step.part, step.parts)
        if layer == 1 and step.panels == FOR_A_CALL:
            panels, vector = offset(outputs_of(step, 0), a * features), step.places[VECTOR]
            update_panels(optimizer, factors, panels, vector, i, b - a, of_own, pitch, h, lines, rows, gradients, rate)
        elif step.panels == ONE_BY_ONE:
            update_few(optimizer, factors, w, a, b, i, g, pitch, h, lines, rows, tile, held, parameters, rate)
        else:
            update_weights(optimizer, factors, w, a, b, i, g, pitch, h, lines, rows, gradients, parameters, rate)
        biases, of_biases = offset(w, o * i + a), (b - a) * features
        update_biases(
            optimizer, factors, biases, of_own, pitch, b - a, rows, gradients, of_biases, parameters, rate
        )  # fmt: skip
        if layer > 2:
            lower = sizes[layer - 2]
            w = offset(step.weights, at - i * lower - i)
            g, pitch = errors_of(step, layer - 1)
            below, below_pitch = errors_of(step, layer - 2)
            by_rows, _ = outputs_by_rows(step, layer - 2)
            a, b = share(me, team, lower, STEP_ROWS), share(me + 1, team, lower, STEP_ROWS)
            to, tape = offset(below, a), offset(by_rows, a)
            errors_below(activation, g, pitch, offset(w, a), i, lower, tape, to, below_pitch, rows, b - a)
            if meet(step.barrier, team, step.yield_address):
                return True
    return False
