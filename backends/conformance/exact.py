"""The claim of exact sums: data on which every operation is exact in any order, so that there is one right answer.

All rows and all entries take part, so a row or a column that is lost, or counted twice, shows anywhere, in a batch of
any size. How it is made, for the mean squared error:

- inputs are -1, 0 or 1, and so are the outputs of hidden layers: their weights and biases are -1, 0 or 1 times
  `SATURATING`, so that ``z`` is zero, and ``tanh`` zero with slope one, or so large that ``tanh`` is one of either sign
  with slope zero, also as ``1 / cosh^2``. relu and identity have a factor of one instead: they are exact anyway.
- weights are thin, so that sums of them are often zero: then slopes are alive in all layers
- the output layer has small integers; targets are the predictions less ``d``, and ``d`` is -1, 0 or 1 times the odd
  part of ``N``: ``g = 2 d / N`` is a power of two. `thinned` leaves so few errors that no sum of magnitudes leaves the
  whole numbers of the dtype, in which every order of summation is exact.
- the rate is the power of two that undoes the factor of ``g``, so that new parameters are whole numbers. Behind three
  or more saturating layers a gradient may be so much larger than its parameter that their difference rounds: those that
  are `_coarse` have the bound of a sum of their terms.

Where ``N`` is a power of two, equality to the bit is claimed. Otherwise the factor ``2 / N`` rounds. A backend that
fuses it into multiply-adds then adds terms that are not whole, so that every sum rounds: ``gamma`` of its terms times
the sum of their magnitudes is allowed. The errors are thinned further, so that this is less than one error. The loss,
whose squares are not whole, has its usual bound.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backends.base import ACTIVATIONS, Array, Backend, Layer, Network
from backends.conformance.bounds import Ball, Precision
from backends.conformance.cases import Case
from backends.conformance.composed import BallLayer
from backends.conformance.judge import Tally
from backends.conformance.oracle import affine, product
from backends.conformance.report import Finding
from backends.conformance.stages import judge_one_step, judge_params
from backends.conformance.subject import SMALLEST, Problem, Subject, kind_of, precision_of

CLAIM = "exact sums"
SATURATING = {"tanh": 1024.0, "relu": 1.0, "identity": 1.0}
ROUNDINGS = 4
"""Of an error term: of the factor ``2 / N``, if it is not a power of two, and of its product."""
WHOLE_BITS = {"float32": 24, "float64": 53}
BLOCK_ROWS = 4096
LARGE = (Case(Network((3, 2, 1)), 1 << 20, "normal"),)


@dataclass(frozen=True)
class Exact:
    """A problem and its one right answer. It is computed in the dtype itself, in which nothing here rounds.

    Attributes:
        problem: inputs, targets, parameters and rate.
        outputs: of every layer, in the dtype.
        loss: the mean squared error.
        gradients: of the loss.
        sums: of the magnitudes of the terms of each gradient; zeros if neither it nor an update of it rounds.
        roundings: of a term of the gradients, a number a layer.
        terms: how many errors are not zero.
        whole: whether ``N`` is a power of two.
    """

    problem: Problem
    outputs: list[Array]
    loss: float
    gradients: list[tuple[Array, Array]]
    sums: list[tuple[Array, Array]]
    roundings: list[int]
    terms: int
    whole: bool


def check_exact(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge the shape of every case."""
    for case in dict.fromkeys(replace(case, values="normal", seed=0) for case in cases):
        yield from judge_exact(subject.on(case.network), case.rows, str(case)).findings


def applies(backend: Backend) -> bool:
    """Return whether small whole numbers are exact on a backend: its tanh saturates, and products are not coarser."""
    if backend.capabilities.products != "ieee" or backend.network.activation not in SATURATING:
        return False
    if backend.network.loss != "mse":
        return False
    probe = kind_of(backend)(SMALLEST, backend.dtype, backend.device)
    large = np.array([[SATURATING["tanh"]], [-SATURATING["tanh"]]], backend.dtype)
    weight, bias = np.ones((1, 1), backend.dtype), np.zeros(1, backend.dtype)
    tape = probe.forward(
        probe.place_params((Layer(weight, bias), Layer(weight, bias))), probe.place_batch(large, np.zeros_like(large))
    )
    return bool(np.array_equal(probe.outputs(tape)[0], np.sign(large)))


def judge_exact(backend: Backend, rows: int, name: str) -> Tally:
    """Judge every stage, one `step` and one step of `train` on exact data of this many rows."""
    network = backend.network
    p = precision_of(backend, rows * network.parameter_count)
    tally = Tally(name, p, backend.dtype)
    if not applies(backend):
        return tally
    exact = make(network, rows, backend.dtype, name)
    problem = exact.problem
    gradients, loss, new = balls(exact, p)
    with np.errstate(all="ignore"):
        params, batch = backend.place_params(problem.params), backend.place_batch(problem.inputs, problem.targets)
        tape = backend.forward(params, batch)
        got_loss, got = backend.backward(params, batch, tape)
        for k, (got_output, right) in enumerate(zip(backend.outputs(tape), exact.outputs, strict=True), start=1):
            if not np.array_equal(got_output, right):
                at = tuple(int(index) for index in np.argwhere(got_output != right)[0])
                tally.refute(CLAIM, f"output of layer {k}{list(at)}: {got_output[at]!r}, expected {right[at]!r}")
        tally.judge(CLAIM, "loss of backward", float(got_loss), loss)
        judge_params(tally, CLAIM, backend.fetch(got), gradients, "gradient of ")
        if backend.optimizer.moments:  # their updates round
            return tally
        judge_params(tally, CLAIM, backend.fetch(backend.update(params, got, problem.learning_rate)), new, "update of ")
        judge_one_step(tally, CLAIM, backend, problem, batch, (loss, new))
    return tally


def balls(exact: Exact, p: Precision, more: int = 0) -> tuple[list[BallLayer], Ball, list[BallLayer]]:
    """Return the gradients, the loss and the new parameters, with radius zero where there is one right answer.

    ``more`` is how many roundings are allowed besides, if ``N`` is not a power of two.
    A fused step may add the terms of a gradient to the parameters, which are one term more, and round a product more.
    """
    rate = exact.problem.learning_rate
    gradients, new = [], []
    every = zip(exact.problem.params, exact.gradients, exact.sums, exact.roundings, _units(exact.problem), strict=True)
    for layer, values, sums, m, unit in every:
        gamma, gamma_of_step = 0.0 if exact.whole else float(p.gamma(m + more)), float(p.gamma(m + more + 3))
        pairs = list(zip(layer, values, sums, strict=True))
        gradient = [Ball(value, gamma * most) for _, value, most in pairs]
        moved = []
        for old, value, most in pairs:
            reach = rate * most + np.abs(old.astype(np.float64))
            rounds = _coarse(old, reach, unit) if exact.whole else most != 0
            moved.append(Ball(old.astype(np.float64) - rate * value, gamma_of_step * reach * rounds))
        gradients.append((gradient[0], gradient[1]))
        new.append((moved[0], moved[1]))
    loss = Ball(
        np.asarray(exact.loss), np.asarray(0.0 if exact.whole else p.gamma(exact.terms + 5 + more) * exact.loss)
    )
    return gradients, loss, new


def _units(problem: Problem) -> list[float]:
    """Return the number of which all terms of a layer's parameters and of their updates are multiples."""
    scale, last = SATURATING[problem.activation], len(problem.params) - 1
    return [1.0 if k >= last - 1 else scale for k in range(last + 1)]


def _coarse(old: Array, reach: Array, unit: float) -> Array:
    """Return which new parameters round: magnitudes of up to ``reach`` are too large for the dtype's whole ``unit``."""
    return np.asarray((old != 0) & (reach > unit * 2.0 ** WHOLE_BITS[str(old.dtype)]))


def make(network: Network, n: int, dtype: str, name: str) -> Exact:
    """Return the exact problem of a network and a number of rows; equal names give equal numbers."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    entries = n * network.outputs
    odd = entries >> ((entries & -entries).bit_length() - 1)
    factor = odd * _multiplier(odd, dtype)
    params = _params(network, rng, dtype)
    density = min(2 / 3, max(0.1, 4 / _terms(params[0][0])))
    x = _signs(rng, (n, network.inputs), density, dtype)
    hs = _forward(network, params, x)
    d = _signs(rng, (n, network.outputs), 1.0, dtype)
    bits, scale = WHOLE_BITS[dtype], SATURATING[network.activation]
    limit = (2.0**bits - scale) / factor if odd == 1 else min(2.0**bits / factor, 2.0 ** (bits / 2 - 1))
    d, gradients = thinned(network, params, x, hs, d, limit, rng)
    terms = int(np.count_nonzero(d))
    deep = scale > 1 and len(params) > 3
    scale = factor * 2 / entries
    if odd == 1 and not deep:  # nothing rounds
        sums, roundings = [(np.zeros(w.shape), np.zeros(b.shape)) for w, b in gradients], [0] * len(gradients)
    else:
        sums, roundings = _magnitudes(network, params, x, hs, d)
    return Exact(
        Problem(name, tuple(params), x, hs[-1] - d * d.dtype.type(factor), entries / (2 * odd), network.activation),
        hs,
        terms * factor**2 / entries,
        [(weights.astype(np.float64) * scale, biases.astype(np.float64) * scale) for weights, biases in gradients],
        [(weights * scale, biases * scale) for weights, biases in sums],
        roundings,
        terms,
        odd == 1,
    )


def thinned(
    network: Network,
    params: list[Layer],
    x: Array,
    hs: list[Array],
    d: Array,
    limit: float,
    rng: np.random.Generator,
) -> tuple[Array, list[tuple[Array, Array]]]:
    """Return ``d`` with errors left out, one of the first and one of the last row kept for sure, until no sum of
    magnitudes reaches ``limit``; and the gradients of half the sum of squares.
    """
    while True:
        gradients, most = _backward(network, params, x, hs, d)
        if most < limit or np.count_nonzero(d) <= 2:
            return d, gradients
        keep = rng.random(d.shape) < 0.8 * limit / most
        keep[[0, -1], rng.integers(0, d.shape[1], 2)] = True
        d = d * keep


def _params(network: Network, rng: np.random.Generator, dtype: str) -> list[Layer]:
    """Return thin weights: of each unit three inputs or, where that would leave inputs without a unit, as many more."""
    layers = []
    scale = SATURATING[network.activation]
    for o, i in network.layer_shapes[:-1]:
        each = min(i, max(3, -(-i // o)))
        w = np.zeros((o, i))
        order = np.concatenate([rng.permutation(i) for _ in range(-(-o * each // i))])
        columns = order[: o * each].reshape(o, each)
        np.put_along_axis(w, columns, rng.choice([-1.0, 1.0], columns.shape), axis=1)
        layers.append(Layer(scale * w, scale * rng.choice([-1.0, 0.0, 0.0, 1.0], o)))
    o, i = network.layer_shapes[-1]
    layers.append(Layer(rng.choice([-2.0, -1.0, 1.0, 2.0], (o, i)), rng.integers(-4, 5, o).astype(float)))
    return [Layer(w.astype(dtype), b.astype(dtype)) for w, b in layers]


def _terms(weights: Array) -> int:
    return int((weights != 0).sum(axis=1).max())


def _signs(rng: np.random.Generator, shape: tuple[int, int], density: float, dtype: str) -> Array:
    """Return -1 or 1 with a probability of ``density``, else 0."""
    drawn = rng.random(shape, np.float32)
    return np.asarray((drawn < density / 2).astype(dtype) - (drawn > 1 - density / 2).astype(dtype))


def _multiplier(odd: int, dtype: str) -> int:
    """Return the least odd number which, times ``odd``, every way of applying the factor ``2 / N`` keeps exact."""
    real = np.dtype(dtype).type
    for factor in range(1, 64, 2):
        whole = real(odd * factor)
        if whole * (real(1) / real(odd)) == factor and whole / real(odd) == factor and int(whole) == odd * factor:
            return factor
    return 1


def _blocks(rows: Array) -> Iterator[Array]:
    """Cut the numbers of rows into blocks, since a whole large batch would not stay in cache."""
    for start in range(0, len(rows), BLOCK_ROWS):
        yield rows[start : start + BLOCK_ROWS]


def _forward(network: Network, params: list[Layer], x: Array) -> list[Array]:
    """Return every layer's output: tanh is the sign, since what is not zero saturates."""
    activate: Callable[[Array], Any] = (
        np.sign if network.activation == "tanh" else ACTIVATIONS[network.activation].output
    )
    hs = [np.empty((len(x), len(w)), x.dtype) for w, _ in params]
    for rows in _blocks(np.arange(len(x))):
        h = x[rows]
        for k, (w, b) in enumerate(params):
            z = affine(h, w, b)
            hs[k][rows] = h = z if k == len(params) - 1 else np.asarray(activate(z))
    return hs


def _backward(
    network: Network, params: list[Layer], x: Array, hs: list[Array], d: Array
) -> tuple[list[tuple[Array, Array]], float]:
    """Return the gradients of ``sum d^2 / 2``, and the largest sum of magnitudes among them, in units of its layer."""
    slope = ACTIVATIONS[network.activation].slope
    gradients = [(np.zeros_like(w), np.zeros_like(b)) for w, b in params]
    magnitudes = [np.zeros_like(b) for _, b in params]
    largest, below = [1.0] * len(params), [0.0] * len(params)
    for rows in _blocks(np.flatnonzero(d.any(axis=1))):
        g = d[rows]
        for k in range(len(params) - 1, -1, -1):
            before = (hs[k - 1] if k else x)[rows]
            weights, biases = gradients[k]
            weights += product(g.T, before)
            biases += g.sum(axis=0)
            magnitudes[k] += np.abs(g).sum(axis=0)
            largest[k] = max(largest[k], float(np.abs(before).max()))
            if k:
                below[k] = max(below[k], float(product(np.abs(g), np.abs(params[k].weights)).max()))
                g = product(g, params[k].weights) * slope(before)
    most, unit = float(np.vdot(d, d)), 1.0
    for k in range(len(params) - 1, -1, -1):
        most = max(most, float(magnitudes[k].max()) * largest[k] / unit)
        if k:
            unit *= SATURATING[network.activation] if k < len(params) - 1 else 1.0
            most = max(most, below[k] / unit)
    return gradients, most


def _magnitudes(
    network: Network, params: list[Layer], x: Array, hs: list[Array], d: Array
) -> tuple[list[tuple[Array, Array]], list[int]]:
    """Return the sums of the magnitudes of all terms of the gradients of ``sum d^2 / 2``, and how often one is rounded:
    once for each row, and on the way for each term of a product with weights, and for that with the slope.
    """
    slope = ACTIVATIONS[network.activation].slope
    alive = np.flatnonzero(d.any(axis=1))
    g = np.abs(d[alive]).astype(np.float64)
    sums: list[tuple[Array, Array]] = []
    roundings: list[int] = []
    way = ROUNDINGS
    for k in range(len(params) - 1, -1, -1):
        before = np.abs(hs[k - 1] if k else x)[alive].astype(np.float64)
        sums.append((product(g.T, before), g.sum(axis=0)))
        roundings.append(way + len(alive))
        if k:
            way += len(params[k].weights) + 2
            g = product(g, np.abs(params[k].weights).astype(np.float64)) * slope(hs[k - 1][alive])
    return list(reversed(sums)), list(reversed(roundings))
