"""The activations of the hidden layers, each a value and a slope as formulas, and the loops that apply them.

One entry of `ACTIVATIONS` is all that a new one needs here. The slope is that of the mathematics in `base.py`, from the
stored output. A kernel names its activation by a constant, so only that formula is compiled.

Tests: `tests/backends/test_activations_and_losses.py`.
"""

from typing import Any, NamedTuple

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from backends.numba_lanes import Lanes, lanes_of, load, splat, store
from backends.numba_tanh import sigmoid, tanh


class Activation(NamedTuple):
    """Formulas of `Lanes`: ``value(z)`` is the output ``h``, ``slope(h)`` its derivative by ``z``."""

    value: Any
    slope: Any


ACTIVATIONS = {
    "tanh": Activation(tanh, lambda h: 1.0 - h * h),
    "relu": Activation(lambda z: z.at_least(0.0), lambda h: h.above(0.0, 1.0, 0.0)),
    "sigmoid": Activation(sigmoid, lambda h: h * (1.0 - h)),
    "identity": Activation(lambda z: z, lambda h: h.like(1.0)),
}


def _chosen(name):
    """Return the activation that a literal type names, ``None`` before numba knows the literal."""
    return ACTIVATIONS[name.literal_value] if isinstance(name, types.StringLiteral) else None


@intrinsic
def value(context, name, z):
    """Return the activation ``name`` of a number."""
    if not (activation := _chosen(name)):
        return None
    return z(
        name, z
    ), lambda target, builder, signature, arguments: activation.value(Lanes(builder, arguments[1])).value


@intrinsic
def slope(context, name, h):
    """Return the derivative of the activation ``name`` whose output is ``h``."""
    if not (activation := _chosen(name)):
        return None
    return h(
        name, h
    ), lambda target, builder, signature, arguments: activation.slope(Lanes(builder, arguments[1])).value


@intrinsic
def activate(context, name, z, b, count):
    """Turn ``count`` numbers from pointer ``z`` on, a whole number of vectors, into the activation of ``z + b``."""
    if not (activation := _chosen(name)):
        return None

    def codegen(target, builder, signature, arguments):
        _, z, b, count = arguments
        lanes = lanes_of(b.type)
        bias = Lanes(builder, splat(builder, b, lanes))
        with cgutils.for_range_slice(builder, count.type(0), count, count.type(lanes), count.type) as (r, _):
            at = builder.gep(z, [r])
            store(builder, activation.value(Lanes(builder, load(builder, at, lanes)) + bias).value, at)
        return target.get_dummy_value()

    return types.void(name, z, z.dtype, types.intp), codegen


@intrinsic
def times_slope(context, name, g, h, count):
    """Multiply ``count`` numbers from ``g`` on, a whole number of vectors, by the slopes at the outputs ``h``."""
    if not (activation := _chosen(name)):
        return None

    def codegen(target, builder, signature, arguments):
        _, g, h, count = arguments
        lanes = lanes_of(g.type.pointee)
        with cgutils.for_range_slice(builder, count.type(0), count, count.type(lanes), count.type) as (r, _):
            at = builder.gep(g, [r])
            outputs = Lanes(builder, load(builder, builder.gep(h, [r]), lanes))
            store(builder, (Lanes(builder, load(builder, at, lanes)) * activation.slope(outputs)).value, at)
        return target.get_dummy_value()

    return types.void(name, g, g, types.intp), codegen
