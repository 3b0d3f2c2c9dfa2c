"""The optimisers: one pass over the parameters, fused. Each is one branch of `advance`, as `backends.base` has it.

A kernel names its optimiser by a constant, so only that branch is compiled. Moments follow the parameters in one
vector, ``[1 + moments, parameters]``. Constants are computed in float64 and rounded once.

Tests: `tests/backends/test_optimizers.py`.
"""

import dataclasses
import math

import numpy as np
from numba import njit

OPTIMIZERS = ("descent", "momentum", "adam")


def settings_of(optimizer):
    """Return the parameters of an optimiser, in the order of its fields, as float64."""
    return np.array([*dataclasses.astuple(optimizer), 0.0])


@njit(inline="always")
def advance(optimizer, real, settings, updates, params, gradients, parameters, first, last, rate):
    """Take update number ``updates`` of parameters ``first`` to ``last``; all but settings and counts are pointers."""
    if optimizer == "descent":
        for k in range(first, last):
            params[k] -= rate * gradients[k]
    elif optimizer == "momentum":
        momentum = real(settings[0])
        for k in range(first, last):
            v = momentum * params[parameters + k] + gradients[k]
            params[parameters + k] = v
            params[k] -= rate * v
    else:
        beta1, beta2, epsilon, decay = real(settings[0]), real(settings[1]), real(settings[2]), real(settings[3])
        rest1, rest2 = real(1.0 - settings[0]), real(1.0 - settings[1])
        correction1 = real(-math.expm1(updates * math.log(settings[0])) if settings[0] > 0.0 else 1.0)
        correction2 = real(-math.expm1(updates * math.log(settings[1])) if settings[1] > 0.0 else 1.0)
        for k in range(first, last):
            g = gradients[k]
            m = beta1 * params[parameters + k] + rest1 * g
            v = beta2 * params[2 * parameters + k] + rest2 * (g * g)
            params[parameters + k] = m
            params[2 * parameters + k] = v
            w = params[k]
            params[k] = w - rate * ((m / correction1) / (math.sqrt(v / correction2) + epsilon) + decay * w)
