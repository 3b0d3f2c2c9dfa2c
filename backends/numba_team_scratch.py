"""The layout of the scratch of a team's steps (`numba_team`), one vector of numbers that all members share.

Tests: `tests/backends/test_numba_team.py`.
"""

import numpy as np

from backends.numba_tiles import STEP_ROWS

TRANSPOSED, BLOCKS, ERRORS, TARGETS, LOSSES, GRADIENTS, LENGTH, VECTOR, PART, PITCHES = range(10)
"""Positions in the array that `places_of` returns. The first ones have offsets into the scratch: of the inputs by
features, or the panels of the first layer's weights; of two layers' outputs by features, of three layers' error terms,
of each member's targets of a tile of rows, of the loss of each tile, and of each member's gradients of a few inputs.
`LENGTH` has the length of the scratch, at whose end are the sums of all gradients over the parts of a step, layer by
layer. `VECTOR` has the distance from the panels of weights to those of their first moment, `PART` the rows of a part.
From `PITCHES` on there are two numbers for each layer, from the inputs on: the pitch of its outputs, and the offset of
its outputs row by row.
"""


def places_of(network, rows, part, team, itemsize, moments):
    """Return the offsets and pitches in the scratch of steps of up to ``rows`` rows, in parts of up to ``part``, for an
    optimiser's ``moments``.
    """
    sizes, line = network.sizes, 64 // itemsize
    in_parts = rows > part
    rows = _rounded(min(rows, part), STEP_ROWS)
    pitches = [_rounded(size, STEP_ROWS) + line for size in sizes]  # an odd number of cache lines: rows share no sets
    widest = max(pitches)
    features = _rounded(sizes[0], STEP_ROWS)
    vector = features * sizes[1] + line
    panels = (1 + moments) * vector if sizes[1] % STEP_ROWS == 0 else 0
    lengths = [
        max(rows * features, panels),
        2 * rows * widest,
        3 * rows * widest,
        team * STEP_ROWS * sizes[-1],
        rows // STEP_ROWS,
        team * STEP_ROWS * max(sizes[1:]),
        *(rows * pitch for pitch in pitches[1:-1]),
    ]
    starts = np.cumsum([0, *(_rounded(length, line) for length in lengths)])
    of_layers = zip(pitches, [0, *starts[LENGTH:-1], 0], strict=True)
    length = starts[-1] + in_parts * sum(o * (_rounded(i, STEP_ROWS) + 1) for o, i in network.layer_shapes)
    numbers = *starts[:LENGTH], length, vector, part, *(number for pair in of_layers for number in pair)
    return np.array(numbers, np.int64)


def _rounded(count, step):
    """Return ``count`` rounded up to a multiple of ``step``."""
    return -(-count // step) * step
