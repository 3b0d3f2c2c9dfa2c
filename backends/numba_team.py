"""Steps of wide layers: a team of threads shares each layer's products, tile by tile, in one compiled loop.

A step of a mini-batch is short. With the BLAS, half of each thread's time would go to packing matrices, to adding up
the threads' gradients and to starting threads. Here nothing is packed, and each weight belongs to one member, which
sums its gradient over all rows and updates it at once, in its own cache. The members wait for each other at a barrier
after each layer.

A step of many rows is taken in parts, so that outputs and error terms stay in the caches. Only the gradients of a part
are added to those of the parts before it, and the last part updates.

`numba_tiles` multiplies matrices if what its vectors run over lies side by side:

    forward     z [o, r] = w [o, i] x [i, r]       vectors of rows: outputs are in blocks ``[size, STEP_ROWS]``
    below       g [r, i] = g [r, o] w [o, i]       vectors of inputs: error terms are ``[rows, pitch]``
    gradients   dw [o, i] = g [r, o]^T h [r, i]    vectors of inputs, so outputs are needed as ``[rows, pitch]`` too

Up to `FEW_ROWS` rows are multiplied one by one instead (`numba_rows`).

So the inputs of a step and each layer's outputs are transposed once, in registers. Rows of the batch are read from
where they are, so a batch in a new order is not copied. If whole panels of the first layer's weights divide among the
members, its vectors run over outputs instead, and no inputs are transposed (`numba_team_panels`).

Members take whole rows of weights, columns of error terms, or tiles of rows, so that no sum depends on their number.

Tests: `tests/backends/test_numba_team.py`.
"""

from functools import lru_cache

import numpy as np

from backends.numba_barrier import linger, meet
from backends.numba_chunks import LAYERS, PARAMETERS, SIZES, TERMS
from backends.numba_compile import compile_as
from backends.numba_lanes import address, offset
from backends.numba_optimizers import UPDATES, factors_of
from backends.numba_team_panels import FOR_A_CALL, copy_back, make_panels
from backends.numba_team_parts import find_rows, share
from backends.numba_team_phases import Step, backward_and_update, forward_hidden, output_layer
from backends.numba_team_scratch import BLOCKS, ERRORS, LOSSES, PART, TRANSPOSED, VECTOR
from backends.numba_tiles import STEP_ROWS, rounded_up


def member_kernel(real, activation, loss, optimizer):
    """Return the loop of one member of a team: its part of every step."""
    vectors = 1 + UPDATES[optimizer][0]

    def member(
        me, team, plan, places, params, updates, settings, xy, order, task, panels, learning_rate, losses, scratch,
        tables, barrier, yield_address,
    ):  # fmt: skip
        """Run ``len(losses)`` steps, each on the next rows; row ``k`` is row ``order[k]`` of ``xy`` if it has one.

        After a single step all but the first member linger for the same call again.

        ``panels`` is what `numba_team_panels.panels_for` says of this call.
        """
        sizes = offset(address(plan, 0), SIZES)
        inputs, outputs = sizes[0], sizes[plan[LAYERS]]
        n, rows_per_step, of = task[3], task[4], task[5]
        weights, x, memory, gate = address(params, 0), address(xy, 0), address(scratch, 0), address(barrier, 0)
        starts, straight = address(tables, 2 * me * tables.shape[1]), address(tables, (2 * me + 1) * tables.shape[1])
        widest = (places[ERRORS] - places[BLOCKS]) // 2
        rate = real(learning_rate)
        a, b = share(me, team, sizes[1], STEP_ROWS), share(me + 1, team, sizes[1], STEP_ROWS)
        kept, vector, parameters = offset(memory, places[TRANSPOSED]), places[VECTOR], plan[PARAMETERS]
        while True:
            update = updates[0]
            if panels == FOR_A_CALL:
                make_panels(np.intp(vectors), weights, parameters, inputs, a, b, straight, kept, vector)
            first = 0
            for s in range(losses.shape[0]):
                rows = n - first
                rows = rows_per_step if rows_per_step < rows else rows
                whole = rows if rows < n else of
                scale = real(2.0 / (whole * outputs)) if loss == "mse" else real(whole)
                parts = (rows + places[PART] - 1) // places[PART]
                of_part = rounded_up((rows + parts - 1) // parts, STEP_ROWS)
                update += 1
                factors = factors_of(optimizer, real, settings, update)
                total = real(0)
                for part in range(parts):
                    begin = part * of_part
                    count = of_part if begin + of_part < rows else rows - begin
                    tiles = (count + STEP_ROWS - 1) // STEP_ROWS
                    find_rows(order, first + begin, count, tiles, inputs + outputs, starts)
                    step = Step(
                        me, team, gate, yield_address, plan, sizes, places, memory, weights, x, starts, count, tiles,
                        part, parts, widest, panels,
                    )  # fmt: skip
                    if forward_hidden(activation, straight, step):
                        return
                    if output_layer(activation, loss, scale, step):
                        return
                    if me == 0:
                        for tile in range(tiles):
                            total += memory[places[LOSSES] + tile]
                    if backward_and_update(activation, optimizer, factors, rate, straight, step):
                        return
                if me == 0:
                    losses[s] = total / (whole * plan[TERMS])
                first += rows_per_step
                if first >= n:
                    first = 0
            if panels == FOR_A_CALL:
                copy_back(np.intp(vectors), kept, vector, inputs, a, b, weights, parameters)
            if meet(gate, team, yield_address):
                return
            if me == 0:
                updates[0] = update
                return
            if losses.shape[0] > 1 or not linger(gate, me):  # only single steps are called one after the other
                return

    return member


@lru_cache
def member_of(real, activation, loss, optimizer):
    """Return the loop of a member."""
    name = f"{real.__name__}_{activation}_{loss.replace('-', '_')}_{optimizer}"
    return compile_as(member_kernel(real, activation, loss, optimizer), name, error_model="numpy", nogil=True)
