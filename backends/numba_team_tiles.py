"""Tiles of the products of a team (`numba_team`) that read the rows of a batch from where they are.

As in `numba_tiles`, each sum is a number of the result and stays in a register. A row of ``x`` or ``h`` begins where a
table of positions says, so that rows in any order need no copy.

Tests: `tests/backends/test_numba_team.py`.
"""

from numba import types
from numba.extending import intrinsic

from backends.numba_lanes import lanes_of
from backends.numba_tiles import COUNTS, emit_features, emit_tile


@intrinsic
def rows_tile(context, rows, vectors, x, starts, w, pitch, i, z, z_pitch):
    """Write ``rows`` rows of ``x w`` to ``z`` for some vectors of outputs, ``w [i, pitch]``; row ``r`` of ``x`` starts
    at ``x[starts[r]]``.
    """
    if not isinstance(rows, types.IntegerLiteral) or not isinstance(vectors, types.IntegerLiteral):
        return None
    tile, wide = rows.literal_value, vectors.literal_value

    def codegen(target, builder, signature, arguments):
        _, _, x, starts, w, pitch, i, z, z_pitch = arguments
        lines = [builder.gep(x, [builder.load(builder.gep(starts, [i.type(r)]))]) for r in range(tile)]

        def number_at(r, k):
            return builder.gep(lines[r], [k])

        def weights_at(k):
            return builder.gep(w, [builder.mul(k, pitch)])

        emit_tile(builder, tile, wide, number_at, weights_at, i, z, z_pitch)
        return target.get_dummy_value()

    integer = types.intp
    return types.void(rows, vectors, x, types.CPointer(types.int64), w, integer, integer, x, integer), codegen


@intrinsic
def gathered_products(context, vectors, g, pitch, h, starts, n, o, z):
    """Write ``o`` rows of ``g^T h`` to ``z [o, vectors]`` for some vectors of features, ``g [n, pitch]``; row ``r`` of
    ``h`` starts at ``h[starts[r]]``.
    """
    if not isinstance(vectors, types.IntegerLiteral):
        return None
    wide = vectors.literal_value

    def codegen(target, builder, signature, arguments):
        _, g, pitch, h, starts, n, o, z = arguments
        z_pitch = n.type(wide * lanes_of(z.type.pointee))

        def tile(first, count):
            def weight_at(j, r):
                return builder.gep(g, [builder.add(builder.mul(r, pitch), builder.add(first, n.type(j)))])

            def rows_at(r):
                return builder.gep(h, [builder.load(builder.gep(starts, [r]))])

            emit_tile(
                builder, count, wide, weight_at, rows_at, n, builder.gep(z, [builder.mul(first, z_pitch)]), z_pitch
            )

        emit_features(builder, o, COUNTS, tile)
        return target.get_dummy_value()

    integer = types.intp
    return types.void(vectors, g, integer, g, types.CPointer(types.int64), integer, integer, g), codegen


@intrinsic
def inputs_tile(context, inputs, vectors, x, starts, g, pitch, n, z, z_pitch):
    """Write ``inputs`` rows of ``x^T g`` to ``z`` for some vectors of outputs, ``g [n, pitch]``; row ``r`` of ``x``
    starts at ``x[starts[r]]``.
    """
    if not isinstance(inputs, types.IntegerLiteral) or not isinstance(vectors, types.IntegerLiteral):
        return None
    tile, wide = inputs.literal_value, vectors.literal_value

    def codegen(target, builder, signature, arguments):
        _, _, x, starts, g, pitch, n, z, z_pitch = arguments

        def number_at(k, r):
            return builder.gep(x, [builder.add(builder.load(builder.gep(starts, [r])), n.type(k))])

        def errors_at(r):
            return builder.gep(g, [builder.mul(r, pitch)])

        emit_tile(builder, tile, wide, number_at, errors_at, n, z, z_pitch)
        return target.get_dummy_value()

    integer = types.intp
    return types.void(inputs, vectors, x, types.CPointer(types.int64), x, integer, integer, x, integer), codegen
