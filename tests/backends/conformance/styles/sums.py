"""Styles in numpy: other orders of summation, other precision inside, other formulas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backends.base import Array, Layer, Params, State
from backends.conformance.plain import Batch
from tests.backends.conformance.styles.style import Style


class EinsumRowMajor(Style):
    """Products as einsum writes them, row-major, without a BLAS."""

    def product(self, a: Array, b: Array) -> Array:
        return np.einsum("ij,jk->ik", np.ascontiguousarray(a), np.ascontiguousarray(b))


class LongDoubleInside(Style):
    """Calculates in extended precision throughout, and rounds what it hands out."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Params:
        return _converted(super().place_params(params), np.longdouble)

    def place_batch(self, inputs: Any, targets: Any) -> Batch:
        x, y = super().place_batch(inputs, targets)
        return x.astype(np.longdouble), y.astype(np.longdouble)

    def error_term(self, predicted: Array, y: Array) -> Array:
        return np.asarray((predicted - y) * 2 / y.size)

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        new = super().update(params, gradients, learning_rate)
        return _converted(_converted(new, self.dtype), np.longdouble)  # params are in the dtype, or steps would differ

    def outputs(self, tape: list[Array]) -> tuple[Array, ...]:
        return tuple(h.astype(self.dtype) for h in tape)

    def fetch(self, params: Params) -> Params:
        return _converted(params, self.dtype)


class KahanSums(Style):
    """Adds up each product with a compensation for what was rounded away."""

    def product(self, a: Array, b: Array) -> Array:
        total = np.zeros((a.shape[0], b.shape[1]), self.dtype)
        lost = np.zeros_like(total)
        for k in range(a.shape[1]):
            term = np.multiply.outer(a[:, k], b[k]) - lost
            new = total + term
            lost = (new - total) - term
            total = new
        return total


class OddTree(Style):
    """Adds up the terms of a product in a lopsided tree: a third, and the other two thirds."""

    def product(self, a: Array, b: Array) -> Array:
        terms = a.shape[1]
        if terms < 4:
            return np.asarray(
                sum((np.multiply.outer(a[:, k], b[k]) for k in range(1, terms)), np.multiply.outer(a[:, 0], b[0]))
            )
        cut = terms // 3
        return np.asarray(self.product(a[:, cut:], b[cut:]) + self.product(a[:, :cut], b[:cut]))


class BlocksBackwards(Style):
    """Takes the rows of a batch in blocks, the last first."""

    block_rows = 37

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        x, y = batch
        squares, total = np.dtype(self.dtype).type(0), None
        scale = np.dtype(self.dtype).type(2 / y.size)
        for start in reversed(range(0, len(x), self.block_rows)):
            rows = slice(start, start + self.block_rows)
            error = tape[-1][rows] - y[rows]
            squares += (error * error).sum()
            g, gradients = error * scale, []
            for k in range(len(params) - 1, -1, -1):
                gradients.append(Layer(g.T @ (tape[k - 1][rows] if k else x[rows]), g.sum(axis=0)))
                if k:
                    g = (g @ params[k].weights) * self.slope(tape[k - 1][rows])
            part = tuple(reversed(gradients))
            total = (
                part
                if total is None
                else tuple(Layer(a + c, b + d) for (a, b), (c, d) in zip(total, part, strict=True))
            )
        assert total
        return float(squares / np.dtype(self.dtype).type(y.size)), total


class FusedMultiplyAdd(Style):
    """Each term of a product is added with one rounding, as a fused multiply-add does."""

    def product(self, a: Array, b: Array) -> Array:
        wide = np.float64 if self.dtype == "float32" else np.longdouble
        total = np.zeros((a.shape[0], b.shape[1]), self.dtype)
        for k in range(a.shape[1]):
            total = (np.multiply.outer(a[:, k].astype(wide), b[k].astype(wide)) + total).astype(self.dtype)
        return total


class FusedFactor(FusedMultiplyAdd):
    """The factor ``2 / N`` is part of each multiply-add: no error term is rounded, every partial sum is."""

    def error_term(self, predicted: Array, y: Array) -> Array:
        error = predicted - y
        wide = np.float64 if self.dtype == "float32" else np.longdouble
        return np.asarray(error.astype(wide) * error.dtype.type(2 / y.size))

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        loss, gradients = super().backward(params, batch, tape)
        return loss, _converted(gradients, self.dtype)


class BlasAlphaBeta(Style):
    """A step is a product with alpha, minus the rate, and beta, one: gradients are never held."""

    def step(self, params: Params, batch: Batch, learning_rate: float) -> tuple[Params, float]:
        from scipy.linalg import blas

        gemm = blas.sgemm if self.dtype == "float32" else blas.dgemm
        x, y = batch
        tape = self.forward(params, batch)
        loss = float(((tape[-1] - y) ** 2).mean())
        g, new = self.error_term(tape[-1], y), []
        one = np.ones((len(x), 1), self.dtype)
        rate = float(np.dtype(self.dtype).type(learning_rate))
        for k in range(len(params) - 1, -1, -1):
            w, b = params[k]
            h = np.hstack([tape[k - 1] if k else x, one])
            moved = gemm(-rate, g, h, 1.0, np.hstack([w, b[:, None]]), trans_a=True)
            new.append(Layer(np.ascontiguousarray(moved[:, :-1]), np.ascontiguousarray(moved[:, -1])))
            if k:
                g = self.product(g, w) * self.slope(tape[k - 1])
        return tuple(reversed(new)), loss


class RankOneUpdates(Style):
    """A step adds one row after the other to the parameters, as a gemv with beta, one, does for a single output."""

    def step(self, params: Params, batch: Batch, learning_rate: float) -> tuple[Params, float]:
        x, y = batch
        tape = self.forward(params, batch)
        g, new = self.error_term(tape[-1], y), []
        rate = np.dtype(self.dtype).type(learning_rate)
        for k in range(len(params) - 1, -1, -1):
            h = tape[k - 1] if k else x
            w, b = params[k]
            for row in range(len(x)):
                w, b = w - rate * np.multiply.outer(g[row], h[row]), b - rate * g[row]
            new.append(Layer(w, b))
            if k:
                g = self.product(g, params[k].weights) * self.slope(tape[k - 1])
        return tuple(reversed(new)), float(((tape[-1] - y) ** 2).mean())


class SlopesFromZ(Style):
    """Keeps what goes into tanh, and takes the slope from it, as one over the square of cosh."""

    def forward(self, params: Params, batch: Batch) -> list[Array]:
        tape: list[Array] = []
        self._slopes: dict[int, Array] = self.__dict__.get("_slopes", {})
        for k, (w, b) in enumerate(params, start=1):
            z = self.product(tape[-1] if tape else batch[0], w.T) + b
            tape.append(z if k == len(params) else _WithSlope(self.tanh(z), z))
        return tape

    def slope(self, h: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(1 / np.cosh(h.z) ** 2)  # type: ignore[attr-defined]

    def outputs(self, tape: list[Array]) -> tuple[Array, ...]:
        return tuple(np.array(h) for h in tape)


class _WithSlope(np.ndarray):
    def __new__(cls, h: Array, z: Array) -> _WithSlope:
        made = np.asarray(h).view(cls)
        made.z = z
        return made


class FeatureMajorWithOnes(Style):
    """Everything transposed, with the biases as a column of the weights and a row of ones in each layer."""

    def forward(self, params: Params, batch: Batch) -> list[Array]:
        h, tape = batch[0].T, []
        for k, (w, b) in enumerate(params, start=1):
            z = np.hstack([w, b[:, None]]) @ np.vstack([h, np.ones((1, h.shape[1]), h.dtype)])
            h = z if k == len(params) else self.tanh(z)
            tape.append(h.T)
        return tape

    def outputs(self, tape: list[Array]) -> tuple[Array, ...]:
        return tuple(np.array(h, order="C") for h in tape)


class SumThenDivide(Style):
    """Divides by the number of entries last of all, and sums squares as a product with itself."""

    def error_term(self, predicted: Array, y: Array) -> Array:
        error = predicted - y
        return np.asarray((error + error) / error.dtype.type(y.size))

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        _, gradients = super().backward(params, batch, tape)
        error = (tape[-1] - batch[1]).ravel()
        return float(error @ error / error.dtype.type(error.size)), gradients


def _converted(params: Params, dtype: Any) -> Params:
    return tuple(Layer(w.astype(dtype), b.astype(dtype)) for w, b in params)


STYLES = (
    EinsumRowMajor,
    LongDoubleInside,
    KahanSums,
    OddTree,
    BlocksBackwards,
    FusedMultiplyAdd,
    FusedFactor,
    BlasAlphaBeta,
    RankOneUpdates,
    SlopesFromZ,
    FeatureMajorWithOnes,
    SumThenDivide,
)
