"""A tanh that LLVM can vectorise, for float32 and float64, and arrays on the stack for kernels of constant size.

The scalar ``tanh`` of the C library does not vectorise, and llvmlite carries no SVML. Both forms below are odd to the
bit, return NaN for NaN, and stay within 4 ulp. They must be compiled without ``reassoc``: the reduction of the argument
relies on the order of operations. ``error_model="numpy"`` matters as much: the check for division by zero is a branch,
and a loop with a branch is not vectorised (7 times slower).
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

_OPTIONS = {"fastmath": {"contract"}, "error_model": "numpy", "forceinline": True}

_F32_LIMIT = np.float32(8.100899)  # the first x at which the form below, as compiled with FMA, reaches 1.0 exactly
# tanh(x) = x P(x^2) / Q(x^2) on |x| <= 9: minimax in the relative error, 0.35 units of round-off; all terms positive.
_P = tuple(np.float32(c) for c in (0.99999997945, 0.13381025834, 3.4955883807e-3, 2.0609086878e-5, 1.3354667883e-8))
_Q = tuple(np.float32(c) for c in (1.0, 0.46714341425, 2.5876983114e-2, 3.2856352547e-4, 7.7765609324e-7))
_P0, _P1, _P2, _P3, _P4 = _P
_Q0, _Q1, _Q2, _Q3, _Q4 = _Q


@njit(**_OPTIONS)
def tanh32(x):
    """Return tanh of a float32: a rational function of x^2, clamped where tanh rounds to one."""
    x = _F32_LIMIT if x > _F32_LIMIT else x
    x = -_F32_LIMIT if x < -_F32_LIMIT else x
    s = x * x
    p = (((_P4 * s + _P3) * s + _P2) * s + _P1) * s + _P0
    q = (((_Q4 * s + _Q3) * s + _Q2) * s + _Q1) * s + _Q0
    return x * p / q


_F64_LIMIT = 20.0
_TO_INTEGER = 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits of the mantissa
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # their sum is ln 2, the first has 20 zero bits
_EXPONENT_ONE = np.int64(1023 << 52)


@njit(**_OPTIONS)
def tanh64(x):
    """Return tanh of a float64: e / (e + 2) with e = exp(2|x|) - 1 = 2^k (exp(r) - 1) + (2^k - 1)."""
    a = abs(x)
    a = _F64_LIMIT if a > _F64_LIMIT else a
    t = a + a
    shifted = t * _LOG2_E + _TO_INTEGER
    k = shifted - _TO_INTEGER
    r = (t - k * _LN2_HIGH) - k * _LN2_LOW
    bits = np.int64((np.float64(shifted).view(np.int64) << 52) + _EXPONENT_ONE)
    two_k = np.int64(bits).view(np.float64)
    # exp(r) - 1 by its Taylor series: |r| <= ln(2)/2, the first term left out is below 1.3e-17 r
    p = 1 / 6227020800.0
    p = p * r + 1 / 479001600.0
    p = p * r + 1 / 39916800.0
    p = p * r + 1 / 3628800.0
    p = p * r + 1 / 362880.0
    p = p * r + 1 / 40320.0
    p = p * r + 1 / 5040.0
    p = p * r + 1 / 720.0
    p = p * r + 1 / 120.0
    p = p * r + 1 / 24.0
    p = p * r + 1 / 6.0
    p = p * r + 0.5
    e = two_k * (p * r * r + r) + (two_k - 1.0)
    h = e / (e + 2.0)
    return math.copysign(h, x)


def tanh(x):
    """Return tanh, vectorised; called from jitted code only."""
    raise NotImplementedError


@overload(tanh, jit_options=_OPTIONS, inline="never")
def _tanh(x):
    if x == types.float32:
        return lambda x: tanh32(x)
    return lambda x: tanh64(x)


@intrinsic
def stack_array(context, size, like):
    """Return a pointer to ``size`` (a constant) elements on the stack, of the element type of array ``like``.

    What LLVM can unroll it then keeps in registers, which it never does with a numpy array.
    """
    if not isinstance(size, types.IntegerLiteral) or not isinstance(like, types.Array):
        return None
    count = size.literal_value

    def codegen(target, builder, signature, arguments):
        element = target.get_data_type(like.dtype)
        return cgutils.alloca_once(builder, element, size=ir.Constant(ir.IntType(64), count))

    return types.CPointer(like.dtype)(size, like), codegen
