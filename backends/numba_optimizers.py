"""The optimisers: one pass over the parameters, fused. Each is one formula of `UPDATES`, as `backends.base` has it.

A kernel names its optimiser by a constant, so only that formula is compiled. Moments follow the parameters in one
vector, ``[1 + moments, parameters]``. Constants are computed in float64 and rounded once.

A moment without gradients, as of a relu that is never above zero again, is multiplied by 0.9 or so in each update until
it is subnormal, and there rounding to nearest keeps it: 0.9 times 4 units is 4 units. A processor takes many times as
long for subnormal numbers. So a subnormal first moment is stored as the next number towards zero, and reaches it. A
second moment, multiplied by 0.999, is not subnormal before tens of thousands of updates.

Tests: `tests/backends/test_optimizers.py`.
"""

import dataclasses
import math

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from backends.numba_lanes import Lanes, lanes_of, load, splat, store

OPTIMIZERS = ("descent", "momentum", "adam")


def settings_of(optimizer):
    """Return the parameters of an optimiser, in the order of its fields, as float64."""
    return np.array([*dataclasses.astuple(optimizer), 0.0])


@njit(inline="always")
def factors_of(optimizer, real, settings, updates):
    """Return the constants of update number ``updates``, and zeros for those that an optimiser does not have: ``beta1``
    or momentum, ``1 - beta1``, ``beta2``, ``1 - beta2``, ``1 / c1``, ``1 / sqrt(c2)`` with the corrections ``c``,
    ``epsilon``, weight decay.
    """
    zero = real(0.0)
    if optimizer == "adam":
        c1 = -math.expm1(updates * math.log(settings[0])) if settings[0] > 0.0 else 1.0
        c2 = -math.expm1(updates * math.log(settings[1])) if settings[1] > 0.0 else 1.0
        betas = real(settings[0]), real(1.0 - settings[0]), real(settings[1]), real(1.0 - settings[1])
        return (*betas, real(1.0 / c1), real(1.0 / math.sqrt(c2)), real(settings[2]), real(settings[3]))
    if optimizer == "momentum":
        return (real(settings[0]), zero, zero, zero, zero, zero, zero, zero)
    return (zero, zero, zero, zero, zero, zero, zero, zero)


def _descend(w, g, moments, factors, rate):
    return w - rate * g, ()


def _descend_with_momentum(w, g, moments, factors, rate):
    v = factors[0] * moments[0] + g
    return w - rate * v, (v,)


def _adam(w, g, moments, factors, rate):
    beta1, rest1, beta2, rest2, scale, root, epsilon, decay = factors
    m = beta1 * moments[0] + rest1 * g
    v = beta2 * moments[1] + rest2 * (g * g)
    return w - rate * ((m * scale) / (v.root() * root + epsilon) + decay * w), (m, v)


UPDATES = {"descent": (0, _descend), "momentum": (1, _descend_with_momentum), "adam": (2, _adam)}
"""Number of moments; formula of `Lanes`, from parameter, gradient, moments, `factors_of` the update and rate."""


@intrinsic
def advance(context, optimizer, factors, params, gradients, parameters, count, rate):
    """Update ``count`` parameters; each moment is ``parameters`` further on. The arrays are pointers."""
    if not isinstance(optimizer, types.StringLiteral):
        return None
    moments, formula = UPDATES[optimizer.literal_value]

    def codegen(target, builder, signature, arguments):
        _, factors, params, gradients, parameters, count, rate = arguments
        numbers = [*cgutils.unpack_tuple(builder, factors), rate]
        kept = [builder.gep(params, [builder.mul(parameters, count.type(k))]) for k in range(1, moments + 1)]
        lanes = lanes_of(rate.type)
        whole = builder.and_(count, count.type(-lanes))

        def emit(first, last, lanes):
            constants = [Lanes(builder, splat(builder, number, lanes)) for number in numbers]
            with cgutils.for_range_slice(builder, first, last, count.type(lanes), count.type) as (k, _):
                places = [builder.gep(array, [k]) for array in (params, gradients, *kept)]
                w, g, *old = (Lanes(builder, load(builder, at, lanes)) for at in places)
                new, of_moments = formula(w, g, old, constants[:-1], constants[-1])
                store(builder, new.value, places[0])
                for k, (moment, at) in enumerate(zip(of_moments, places[2:], strict=True)):
                    store(builder, (moment if k else moment.subnormal_towards_zero()).value, at)

        emit(count.type(0), whole, lanes)
        emit(whole, count, 1)
        return target.get_dummy_value()

    integer = types.intp
    return types.void(optimizer, factors, params, params, integer, integer, params.dtype), codegen
