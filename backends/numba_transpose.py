"""Transpose square tiles of numbers in vector registers, inside compiled code.

A plain transposing copy moves one number at a time. Here a tile is read row by row, transposed by shuffles, and written
row by row.

Tests: `tests/backends/test_numba_place.py`, `tests/backends/test_numba_team.py`.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from backends.numba_lanes import INT32, lanes_of, load, store


@intrinsic
def transpose_tile(context, side, rows, stride, to, pitch):
    """Write ``to[c * pitch + r] = rows[r * stride + c]`` for a tile of ``side`` by ``side``; 0: as a vector has."""
    if not isinstance(side, types.IntegerLiteral):
        return None

    def codegen(target, builder, signature, arguments):
        _, rows, stride, to, pitch = arguments
        count = side.literal_value or lanes_of(rows.type.pointee)
        _transpose(builder, count, lambda k: builder.gep(rows, [builder.mul(stride, stride.type(k))]), to, pitch)
        return target.get_dummy_value()

    return types.void(side, rows, stride, to, pitch), codegen


@intrinsic
def transpose_gathered_tile(context, rows, starts, to, pitch):
    """Do the same for a tile as wide as a vector, whose row ``r`` begins at ``rows[starts[r]]``."""

    def codegen(target, builder, signature, arguments):
        rows, starts, to, pitch = arguments

        def row_at(k):
            return builder.gep(rows, [builder.load(builder.gep(starts, [pitch.type(k)]))])

        _transpose(builder, lanes_of(rows.type.pointee), row_at, to, pitch)
        return target.get_dummy_value()

    return types.void(rows, types.CPointer(types.int64), rows, types.intp), codegen


@intrinsic
def transpose_few(context, features, rows, to, pitch):
    """Write ``to[c * pitch + r] = rows[r * features + c]`` for a vector's rows of few features, side by side."""
    if not isinstance(features, types.IntegerLiteral):
        return None
    count = features.literal_value

    def codegen(target, builder, signature, arguments):
        _, rows, to, pitch = arguments
        lanes = lanes_of(rows.type.pointee)
        parts = [load(builder, builder.gep(rows, [pitch.type(k * lanes)]), lanes) for k in range(count)]
        for c in range(count):
            places = [r * count + c for r in range(lanes)]
            column = parts[0]
            for k, part in enumerate(parts):  # take the numbers that lie in this part, and keep those before
                mask = [lanes + at % lanes if at // lanes == k else r for r, at in enumerate(places)]
                column = builder.shuffle_vector(column, part, ir.Constant(ir.VectorType(INT32, lanes), mask))
            store(builder, column, builder.gep(to, [builder.mul(pitch, pitch.type(c))]))
        return target.get_dummy_value()

    return types.void(features, rows, to, types.intp), codegen


def _transpose(builder, count, row_at, to, pitch):
    """Emit the transpose of a tile of ``count`` by ``count`` numbers, whose row ``k`` begins at ``row_at(k)``."""
    tile, step = [load(builder, row_at(k), count) for k in range(count)], 1
    while step < count:  # exchange the off-diagonal squares of each square of 2 step a side
        for r in (r for r in range(count) if not r & step):
            a, b = tile[r], tile[r + step]
            upper = [k if not k & step else count + k - step for k in range(count)]
            lower = [k + step if not k & step else count + k for k in range(count)]
            tile[r], tile[r + step] = (
                builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, count), mask)) for mask in (upper, lower)
            )
        step *= 2
    for c, row in enumerate(tile):
        store(builder, row, builder.gep(to, [builder.mul(pitch, pitch.type(c))]))
