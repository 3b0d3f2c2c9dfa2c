"""A hidden layer of a block, tile by tile: a product, and what follows each sum while it is in its register.

Forward that is bias and activation, backward the slope. Loops of their own would read each number from the L2 cache and
write it again, and would begin to divide when all products are done: now the one hides behind the other. Matrices are
as in `numba_tiles`.

Tests: `tests/backends/test_numba_blocks.py`.
"""

from numba import njit, types
from numba.extending import intrinsic

from backends.numba_activations import ACTIVATIONS
from backends.numba_lanes import Lanes, load, offset, splat
from backends.numba_tiles import VECTORS, emit_tile, lanes

_PART = {"inline": "always"}
"""Of parts of a kernel, for which activation and products are constants."""


def _constants(activation, products, tile):
    """Return the activation's formulas, and features and vectors of rows of a tile; ``None`` before they are known."""
    if not isinstance(tile, types.IntegerLiteral) or not isinstance(activation, types.StringLiteral):
        return None
    vectors = 1 if products.literal_value == "short" else VECTORS
    return ACTIVATIONS[activation.literal_value], tile.literal_value, vectors


@intrinsic
def output_tile(context, activation, products, tile, w, b, h, pitch, i, z):
    """Write the activation of ``w h + b`` to ``z`` for ``tile`` features of a tile of rows."""
    if not (constants := _constants(activation, products, tile)):
        return None
    formulas, features, vectors = constants

    def codegen(target, builder, signature, arguments):
        _, _, _, w, b, h, pitch, i, z = arguments
        weights = [builder.gep(w, [builder.mul(i, i.type(o))]) for o in range(features)]

        def weight_at(o, k):
            return builder.gep(weights[o], [k])

        def rows_at(k):
            return builder.gep(h, [builder.mul(k, pitch)])

        def activated(o, total, at):
            bias = splat(builder, builder.load(builder.gep(b, [i.type(o)])), total.type.count)
            return formulas.value(total + Lanes(builder, bias))

        emit_tile(builder, features, vectors, weight_at, rows_at, i, z, pitch, activated)
        return target.get_dummy_value()

    integer = types.intp
    return types.void(activation, products, tile, w, w, w, integer, integer, w), codegen


@intrinsic
def error_tile(context, activation, products, tile, w, i, g, pitch, o, h, below):
    """Write ``w^T g`` times the slope at the outputs ``h`` to ``below`` for ``tile`` features of a tile of rows."""
    if not (constants := _constants(activation, products, tile)):
        return None
    formulas, features, vectors = constants

    def codegen(target, builder, signature, arguments):
        _, _, _, w, i, g, pitch, o, h, below = arguments

        def weight_at(k, j):
            return builder.gep(w, [builder.add(builder.mul(j, i), i.type(k))])

        def rows_at(j):
            return builder.gep(g, [builder.mul(j, pitch)])

        def sloped(k, total, at):
            outputs = load(builder, builder.gep(h, [at]), total.type.count)
            return total * formulas.slope(Lanes(builder, outputs))

        emit_tile(builder, features, vectors, weight_at, rows_at, o, below, pitch, sloped)
        return target.get_dummy_value()

    integer = types.intp
    return types.void(activation, products, tile, w, integer, w, integer, integer, w, w), codegen


@njit(**_PART)
def hidden_outputs(activation, products, w, b, h, z, o, i, pitch, live):
    """Write a hidden layer's outputs ``z [o, pitch]`` of its inputs ``h [i, pitch]``."""
    for r in range(0, live, (1 if products == "short" else VECTORS) * lanes(w)):
        j = 0
        while j < o:
            to, weights, biases, rows = offset(z, j * pitch + r), offset(w, j * i), offset(b, j), offset(h, r)
            if j + 8 <= o:
                output_tile(activation, products, 8, weights, biases, rows, pitch, i, to)
                j += 8
            elif j + 4 <= o:
                output_tile(activation, products, 4, weights, biases, rows, pitch, i, to)
                j += 4
            elif j + 2 <= o:
                output_tile(activation, products, 2, weights, biases, rows, pitch, i, to)
                j += 2
            else:
                output_tile(activation, products, 1, weights, biases, rows, pitch, i, to)
                j += 1


@njit(**_PART)
def hidden_errors(activation, products, w, g, h, below, o, i, pitch, live):
    """Write the error terms ``below [i, pitch]`` of the hidden layer with outputs ``h``, from those above, ``g``."""
    for r in range(0, live, (1 if products == "short" else VECTORS) * lanes(w)):
        j = 0
        while j < i:
            at = j * pitch + r
            to, weights, rows, outputs = offset(below, at), offset(w, j), offset(g, r), offset(h, at)
            if j + 8 <= i:
                error_tile(activation, products, 8, weights, i, rows, pitch, o, outputs, to)
                j += 8
            elif j + 4 <= i:
                error_tile(activation, products, 4, weights, i, rows, pitch, o, outputs, to)
                j += 4
            elif j + 2 <= i:
                error_tile(activation, products, 2, weights, i, rows, pitch, o, outputs, to)
                j += 2
            else:
                error_tile(activation, products, 1, weights, i, rows, pitch, o, outputs, to)
                j += 1
