"""A style of two worker processes, each with half of the rows."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import numpy as np

from backends.base import Array, Layer, Params
from backends.conformance.plain import Batch, Plain
from tests.backends.conformance.styles.style import Style


class TwoWorkers(Style):
    """Each worker sums the gradients of its rows; the parent adds the two."""

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        x, y = batch
        half, scale = len(x) // 2, np.dtype(self.dtype).type(2 / y.size)
        halves = [slice(0, half), slice(half, None)] if half else [slice(None)]
        jobs = [(params, x[rows], y[rows], [h[rows] for h in tape], scale) for rows in halves]
        (squares, total), *others = _workers().map(gradients_of_rows, jobs)
        for more, part in others:
            squares = squares + more
            total = tuple(Layer(a + c, b + d) for (a, b), (c, d) in zip(total, part, strict=True))
        return float(squares / np.dtype(self.dtype).type(y.size)), total


def gradients_of_rows(job: tuple[Params, Array, Array, list[Array], np.generic]) -> tuple[np.generic, Params]:
    """Return the sum of squares and the gradients of some rows."""
    params, x, y, tape, scale = job
    error = tape[-1] - y
    g, gradients = error * scale, []
    for k in range(len(params) - 1, -1, -1):
        gradients.append(Layer(g.T @ (tape[k - 1] if k else x), g.sum(axis=0)))
        if k:
            g = (g @ params[k].weights) * Plain.slope(None, tape[k - 1])  # type: ignore[arg-type]
    return (error * error).sum(), tuple(reversed(gradients))


@cache
def _workers() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, mp_context=get_context("spawn"))


STYLES = (TwoWorkers,)
