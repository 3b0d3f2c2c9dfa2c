"""A hidden layer of a block, tile by tile: a product, and what follows each sum while it is in its register.

Forward that is bias and activation, backward the slope. Loops of their own would read each number from the L2 cache and
write it again, and would begin to divide when all products are done: now the one hides behind the other. Matrices are
as in `numba_tiles`.

Tests: `tests/backends/test_numba_blocks.py`.
"""

from numba import types
from numba.extending import intrinsic

from backends.numba_activations import ACTIVATIONS
from backends.numba_lanes import Lanes, load, splat
from backends.numba_tiles import VECTORS, emit_products


def _constants(activation, products):
    """Return the activation's formulas and the vectors of rows of a tile; ``None`` before they are known."""
    if not isinstance(activation, types.StringLiteral):
        return None
    return ACTIVATIONS[activation.literal_value], 1 if products.literal_value == "short" else VECTORS


@intrinsic
def hidden_outputs(context, activation, products, w, b, h, z, o, i, pitch, live):
    """Write a hidden layer's outputs ``z [o, pitch]`` of its inputs ``h [i, pitch]``."""
    if not (constants := _constants(activation, products)):
        return None
    formulas, vectors = constants

    def codegen(target, builder, signature, arguments):
        _, _, w, b, h, z, o, i, pitch, live = arguments

        def activated(feature, total, at):
            bias = splat(builder, builder.load(builder.gep(b, [feature])), total.type.count)
            return formulas.value(total + Lanes(builder, bias))

        emit_products(builder, vectors, w, i, i.type(1), h, pitch, i, z, pitch, o, live, activated)
        return target.get_dummy_value()

    integer = types.intp
    return types.void(activation, products, w, w, w, w, integer, integer, integer, integer), codegen


@intrinsic
def hidden_errors(context, activation, products, w, g, h, below, o, i, pitch, live):
    """Write the error terms ``below [i, pitch]`` of the hidden layer with outputs ``h``, from those above, ``g``."""
    if not (constants := _constants(activation, products)):
        return None
    formulas, vectors = constants

    def codegen(target, builder, signature, arguments):
        _, _, w, g, h, below, o, i, pitch, live = arguments

        def sloped(feature, total, at):
            outputs = load(builder, builder.gep(h, [at]), total.type.count)
            return total * formulas.slope(Lanes(builder, outputs))

        emit_products(builder, vectors, w, i.type(1), i, g, pitch, o, below, pitch, i, live, sloped)
        return target.get_dummy_value()

    integer = types.intp
    return types.void(activation, products, w, w, w, w, integer, integer, integer, integer), codegen
