"""The network in exact-enough arithmetic: extended precision, and a derivative that needs no backpropagation.

Each function follows one line of the mathematics in `backends.base`, with tanh' written as ``1 / cosh^2``: in double
precision ``1 - tanh^2`` has lost every digit at ``z = 19``. No bounds here, and no backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from backends.base import Array, Layer, Params
from backends.blas import Blas

SMALL_WORK = 1 << 18
"""Rows times parameters up to which extended precision costs less than a blink."""

SMALLEST_WORK = 1 << 8
"""Rows times parameters up to which mpmath costs as little."""

COMPLEX_STEP = 1e-30

BLAS_DTYPES = (np.float32, np.float64)
THREADED_PRODUCT = 1 << 17
"""Multiplications from which on a BLAS uses several threads for a product."""


@dataclass(frozen=True)
class Arithmetic:
    """A number format that the oracle calculates in.

    Attributes:
        name: for people.
        unit: its unit round-off, which every bound adds to that of the backend.
        dtype: the numpy dtype of its arrays; ``object`` for mpmath.
        number: turns one Python float into one of its numbers; used with ``object`` alone.
        tanh: element by element.
        cosh: element by element.
        exp: element by element.
        log: element by element.
        sqrt: element by element.
    """

    name: str
    unit: float
    dtype: Any
    tanh: Callable[[Array], Array] = np.tanh
    cosh: Callable[[Array], Array] = np.cosh
    exp: Callable[[Array], Array] = np.exp
    log: Callable[[Array], Array] = np.log
    sqrt: Callable[[Array], Array] = np.sqrt
    number: Callable[[float], Any] | None = None

    def array(self, values: Any) -> Array:
        """Return ``values`` in this arithmetic, without rounding."""
        if self.number is None:
            return np.asarray(values, self.dtype)
        return np.asarray(np.frompyfunc(self.number, 1, 1)(np.asarray(values)), object)

    def slope(self, z: Array) -> Array:
        """Return tanh' at ``z`` as ``1 / cosh^2``."""
        with np.errstate(over="ignore"):
            return np.asarray(1 / self.cosh(z) ** 2)


DOUBLE = Arithmetic("double precision", 2.0**-53, np.float64)
EXTENDED = Arithmetic("extended precision", float(np.finfo(np.longdouble).eps) / 2, np.longdouble)


def multiprecision(bits: int = 113) -> Arithmetic:
    """Return mpmath's numbers of ``bits`` bits, for platforms whose long double is a double.

    Raises:
        ImportError: mpmath is not installed.
    """
    import mpmath  # type: ignore[import-untyped]

    context = mpmath.MPContext()
    context.prec = bits

    def elementwise(function: Callable[[Any], Any]) -> Callable[[Array], Array]:
        lifted = np.frompyfunc(function, 1, 1)
        return lambda z: np.asarray(lifted(z), object)

    return Arithmetic(
        f"mpmath, {bits} bits",
        2.0**-bits,
        object,
        elementwise(context.tanh),
        elementwise(context.cosh),
        elementwise(context.exp),
        elementwise(context.log),
        elementwise(context.sqrt),
        lambda value: context.mpf(float(value)),
    )


def arithmetic_for(work: int, dtype: str) -> Arithmetic:
    """Return the finest arithmetic that ``work`` (rows times parameters) allows; its own unit goes into every bound.

    Doubles judge float32 well: their unit is 2^-29 of its own. They judge float64 as well, with bounds about twice as
    wide, once the work is too much for extended precision, or for mpmath if there is none.
    """
    if dtype == "float32" or work > SMALL_WORK:
        return DOUBLE
    if EXTENDED.unit < DOUBLE.unit:
        return EXTENDED
    if work <= SMALLEST_WORK:
        try:
            return multiprecision()
        except ImportError:
            return DOUBLE
    return DOUBLE


def product(a: Array, b: Array) -> Array:
    """Return ``a @ b`` in the memory order of ``a``: tall arrays of few columns are ten times as fast column-major.

    A large product takes one thread: its BLAS spins while it waits for others, on cores that other judges use.
    """
    if a.dtype in BLAS_DTYPES and a.size * b.shape[1] >= THREADED_PRODUCT:
        with _blas().held_to_one_thread():
            return _product(a, b)
    return _product(a, b)


def _product(a: Array, b: Array) -> Array:
    return np.asarray((b.T @ a.T).T if a.flags.f_contiguous else a @ b)


@lru_cache
def _blas() -> Blas:
    return Blas()


def affine(h: Array, w: Array, b: Array) -> Array:
    """Return ``z = h W^T + b``."""
    return np.asarray(product(h, w.T) + b)


def error_term(predicted: Array, y: Array, entries: int) -> Array:
    """Return ``2 (predicted - y) / N``, the derivative of the loss by ``predicted``."""
    return np.asarray((predicted - y) * 2 / entries)


def forward(params: Sequence[Layer], x: Array, arithmetic: Arithmetic = EXTENDED) -> tuple[list[Array], list[Array]]:
    """Return every layer's ``z`` and every layer's output ``h``, the last of which is ``predicted``."""
    zs: list[Array] = []
    hs: list[Array] = []
    for k, (w, b) in enumerate(params, start=1):
        zs.append(affine(hs[-1] if hs else arithmetic.array(x), arithmetic.array(w), arithmetic.array(b)))
        hs.append(zs[-1] if k == len(params) else arithmetic.tanh(zs[-1]))
    return zs, hs


def loss(params: Sequence[Layer], x: Array, y: Array, arithmetic: Arithmetic = EXTENDED) -> Any:
    """Return the mean squared error over all entries."""
    predicted = forward(params, x, arithmetic)[1][-1]
    return ((predicted - arithmetic.array(y)) ** 2).sum() / predicted.size


def backward(params: Sequence[Layer], x: Array, y: Array, arithmetic: Arithmetic = EXTENDED) -> Params:
    """Return the gradients of the loss."""
    zs, hs = forward(params, x, arithmetic)
    g = error_term(hs[-1], arithmetic.array(y), hs[-1].size)
    gradients = []
    for k in range(len(params) - 1, -1, -1):
        gradients.append(Layer(g.T @ (hs[k - 1] if k else arithmetic.array(x)), g.sum(axis=0)))
        if k:
            g = (g @ arithmetic.array(params[k].weights)) * arithmetic.slope(zs[k - 1])
    return tuple(reversed(gradients))


def update(
    params: Sequence[Layer], gradients: Sequence[Layer], learning_rate: float, arithmetic: Arithmetic = EXTENDED
) -> Params:
    """Return ``params - learning_rate * gradients``."""
    rate = arithmetic.array(learning_rate)
    return tuple(
        Layer(arithmetic.array(w) - rate * dw, arithmetic.array(b) - rate * db)
        for (w, b), (dw, db) in zip(params, gradients, strict=True)
    )


def complex_step(params: Sequence[Layer], x: Array, y: Array) -> Params:
    """Return the gradients of the loss by the complex step ``Im L(p + ih) / h``, without backpropagation.

    Nothing is subtracted, so ``h = 1e-30`` costs no digits (Squire and Trapp, 1998). One forward pass a parameter.
    """
    arithmetic = Arithmetic("complex double", 2.0**-53, np.complex128)
    gradients = tuple(Layer(np.zeros(np.shape(w)), np.zeros(np.shape(b))) for w, b in params)
    moved = tuple(Layer(np.array(w, complex), np.array(b, complex)) for w, b in params)
    for into, layer in zip(gradients, moved, strict=True):
        for derivative, values in zip(into, layer, strict=True):
            for at in np.ndindex(values.shape):
                values[at] += 1j * COMPLEX_STEP
                derivative[at] = loss(moved, x, y, arithmetic).imag / COMPLEX_STEP
                values[at] = values[at].real
    return gradients


def round_to(value: float, dtype: str) -> float:
    """Return ``value`` rounded once to ``dtype``, as a learning rate is before it is used."""
    rounded = float(np.dtype(dtype).type(value))
    return rounded if math.isfinite(rounded) else value
