"""A tanh and a sigmoid that fit into vector registers, for float32 and float64.

The functions of the C library do not vectorise, and llvmlite carries no SVML. The formulas below return NaN for NaN and
stay within 4 ulp; those of tanh are odd to the bit.

Tests: `tests/backends/test_numba_blocks.py`.
"""

from __future__ import annotations

from llvmlite import ir

_F32_LIMIT = 8.100899  # the first x at which the formula below, as compiled with FMA, reaches 1.0 exactly
# tanh(x) = x P(x^2) / Q(x^2) on |x| <= 9: minimax in the relative error, 0.35 units of round-off; all terms positive.
_P = (0.99999997945, 0.13381025834, 3.4955883807e-3, 2.0609086878e-5, 1.3354667883e-8)
_Q = (1.0, 0.46714341425, 2.5876983114e-2, 3.2856352547e-4, 7.7765609324e-7)

_F64_LIMIT = 20.0
_TO_INTEGER = 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits of the mantissa
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # their sum is ln 2, the first has 20 zero bits
_EXPONENT_ONE = 1023 << 52
_SIGN_F32 = -1 << 31
_TO_INTEGER_F32 = 1.5 * 2.0**23
_F64_LEAST, _F32_LEAST = -708.396, -87.33654  # logarithms of the least normal numbers
_LN2_HIGH_F32, _LN2_LOW_F32 = 0.693145751953125, 1.42860682030941e-06  # the first has 9 zero bits
_SIGN = -1 << 63
# exp(r) - 1 = r + r^2 (1/2 + r/6 + ...): Taylor, |r| <= ln(2)/2; the first term left out is below 1.3e-17 r
_EXPM1 = tuple(1.0 / n for n in (2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800, 39916800, 479001600, 6227020800))


def tanh(x):
    """Return tanh of `Lanes` of either type."""
    return tanh_double(x) if isinstance(x.element, ir.DoubleType) else tanh_single(x)


def tanh_single(x):
    """Return tanh of float32: a rational function of x^2, clamped where tanh rounds to one."""
    x = x.at_most(_F32_LIMIT).at_least(-_F32_LIMIT)
    s = x * x
    return x * polynomial(_P, s) / polynomial(_Q, s)


def tanh_double(x):
    """Return tanh of float64: e / (e + 2) with e = exp(2|x|) - 1 = 2^k (exp(r) - 1) + (2^k - 1)."""
    a = (x.bits() & ~_SIGN).real().at_most(_F64_LIMIT)
    r, two_k = _reduced(a + a)
    e = two_k * (polynomial(_EXPM1, r) * r * r + r) + (two_k - 1.0)
    h = e / (e + 2.0)
    return (h.bits() | (x.bits() & _SIGN)).real()


def sigmoid(z):
    """Return 1 / (1 + exp(-z)): with e = exp(-|z|), the e or 1 that belongs to the sign of z, over 1 + e."""
    e = _exp_double(z) if isinstance(z.element, ir.DoubleType) else _exp_single(z)
    return z.above(0.0, 1.0, e) / (1.0 + e)


def _exp_double(z):
    """Return exp(-|z|) of float64, zero if that is no normal number."""
    t = (z.bits() | _SIGN).real()
    r, two_k = _reduced(t.at_least(_F64_LEAST))
    return t.below(_F64_LEAST, 0.0, two_k * (polynomial(_EXPM1, r) * r * r + r) + two_k)


def _exp_single(z):
    """Return exp(-|z|) of float32, zero if that is no normal number."""
    t = (z.bits() | _SIGN_F32).real()
    within = t.at_least(_F32_LEAST)
    shifted = within * _LOG2_E + _TO_INTEGER_F32
    k = shifted - _TO_INTEGER_F32
    r = (within - k * _LN2_HIGH_F32) - k * _LN2_LOW_F32
    two_k = ((shifted.bits() << 23) + (127 << 23)).real()
    return t.below(_F32_LEAST, 0.0, two_k * (polynomial(_EXPM1[:6], r) * r * r + r) + two_k)


def _reduced(t):
    """Return r and 2^k with exp(t) = 2^k exp(r), |r| <= ln(2) / 2, of float64."""
    shifted = t * _LOG2_E + _TO_INTEGER
    k = shifted - _TO_INTEGER
    return (t - k * _LN2_HIGH) - k * _LN2_LOW, ((shifted.bits() << 52) + _EXPONENT_ONE).real()


def polynomial(coefficients, x):
    """Return the sum of ``coefficients[k] x^k`` by Horner's rule."""
    *lower, p = coefficients
    for c in reversed(lower):
        p = p * x + c
    return p
