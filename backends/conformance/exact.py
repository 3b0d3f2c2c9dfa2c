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
- the rate is the power of two that undoes the factor of ``g``, so that new parameters are whole numbers

Where ``N`` is a power of two, equality to the bit is claimed. Otherwise the factor ``2 / N`` rounds wherever a backend
applies it, so that its four roundings are allowed, and the loss, whose squares are not whole, has its usual bound.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backends.base import ACTIVATIONS, Array, Backend, Layer, Network, TrainingDiverged
from backends.conformance.bounds import Ball, Precision
from backends.conformance.cases import Case
from backends.conformance.composed import BallLayer
from backends.conformance.judge import Tally
from backends.conformance.report import Finding
from backends.conformance.stages import judge_params
from backends.conformance.subject import SMALLEST, Problem, Subject, kind_of, precision_of

CLAIM = "exact sums"
SATURATING = {"tanh": 1024.0, "relu": 1.0, "identity": 1.0}
ROUNDINGS = 4
"""Of the factor ``2 / N`` if it is not a power of two."""
WHOLE_BITS = {"float32": 24, "float64": 53}
LARGE = (Case(Network((3, 2, 1)), 1 << 20, "normal"),)


@dataclass(frozen=True)
class Exact:
    """A problem and its one right answer. It is computed in the dtype itself, in which nothing here rounds.

    Attributes:
        problem: inputs, targets, parameters and rate.
        outputs: of every layer, in the dtype.
        loss: the mean squared error.
        gradients: of the loss.
        terms: how many errors are not zero.
        whole: whether ``N`` is a power of two.
    """

    problem: Problem
    outputs: list[Array]
    loss: float
    gradients: list[tuple[Array, Array]]
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
        stepped, got_loss = backend.step(backend.place_params(problem.params), batch, problem.learning_rate)
        tally.judge(CLAIM, "loss of step", float(got_loss), loss)
        judge_params(tally, CLAIM, backend.fetch(stepped), new, "step of ")
        try:
            trained, losses = backend.train(backend.place_params(problem.params), batch, problem.learning_rate, 1)
        except TrainingDiverged as error:
            tally.refute(CLAIM, f"one step of train: {error}")
            return tally
        tally.judge(CLAIM, "loss of train", np.asarray(losses, np.float64).reshape(-1)[0], loss)
        judge_params(tally, CLAIM, backend.fetch(trained), new, "one step of train of ")
    return tally


def balls(exact: Exact, p: Precision, more: int = 0) -> tuple[list[BallLayer], Ball, list[BallLayer]]:
    """Return the gradients, the loss and the new parameters, with radius zero where there is one right answer.

    ``more`` is how many roundings are allowed besides those of the factor ``2 / N``.
    """
    one_answer = exact.whole and not more
    relative = 0.0 if one_answer else float(p.gamma(ROUNDINGS + more))
    rounded = 0.0 if exact.whole else p.unit
    rate = exact.problem.learning_rate

    def of(values: Array) -> Ball:
        return Ball(values, relative * np.abs(values))

    gradients = [(of(weights), of(biases)) for weights, biases in exact.gradients]
    new = []
    for layer, by in zip(exact.problem.params, gradients, strict=True):
        pair = []
        for old, g in zip(layer, by, strict=True):
            value = old.astype(np.float64) - rate * g.exact
            pair.append(Ball(value, 2 * rate * g.radius + rounded * np.abs(value)))
        new.append((pair[0], pair[1]))
    loss = Ball(np.asarray(exact.loss), np.asarray(0.0 if one_answer else p.gamma(exact.terms + 5 + more) * exact.loss))
    return gradients, loss, new


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
    d, gradients = thinned(network, params, x, hs, d, factor, 2.0 ** WHOLE_BITS[dtype], rng)
    terms = int(np.count_nonzero(d))
    scale = factor * 2 / entries
    return Exact(
        Problem(name, tuple(params), x, hs[-1] - d * d.dtype.type(factor), entries / (2 * odd), network.activation),
        hs,
        terms * factor**2 / entries,
        [(weights.astype(np.float64) * scale, biases.astype(np.float64) * scale) for weights, biases in gradients],
        terms,
        odd == 1,
    )


def thinned(
    network: Network,
    params: list[Layer],
    x: Array,
    hs: list[Array],
    d: Array,
    factor: int,
    limit: float,
    rng: np.random.Generator,
) -> tuple[Array, list[tuple[Array, Array]]]:
    """Return ``d`` with errors left out, one of the first and one of the last row kept for sure, until no sum of
    magnitudes times ``factor`` reaches ``limit``; and the gradients of half the sum of squares.
    """
    while True:
        gradients, most = _backward(network, params, x, hs, d)
        if most * factor < limit or np.count_nonzero(d) <= 2:
            return d, gradients
        keep = rng.random(d.shape) < 0.8 * limit / (most * factor)
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


def _forward(network: Network, params: list[Layer], x: Array) -> list[Array]:
    """Return every layer's output: tanh is the sign, since what is not zero saturates."""
    activate: Callable[[Array], Any] = (
        np.sign if network.activation == "tanh" else ACTIVATIONS[network.activation].output
    )
    hs: list[Array] = []
    for k, (w, b) in enumerate(params, start=1):
        z = (hs[-1] if hs else x) @ w.T + b
        hs.append(z if k == len(params) else np.asarray(activate(z)))
    return hs


def _backward(
    network: Network, params: list[Layer], x: Array, hs: list[Array], d: Array
) -> tuple[list[tuple[Array, Array]], float]:
    """Return the gradients of ``sum d^2 / 2``, and the largest sum of magnitudes among them, in units of its layer."""
    slope = ACTIVATIONS[network.activation].slope
    alive = np.flatnonzero(d.any(axis=1))
    g = d[alive]
    gradients: list[tuple[Array, Array]] = []
    most, unit = float(np.vdot(d, d)), 1.0
    for k in range(len(params) - 1, -1, -1):
        before = (hs[k - 1] if k else x)[alive]
        gradients.append((g.T @ before, g.sum(axis=0)))
        largest = max(1.0, float(np.abs(before).max(initial=0.0)))
        most = max(most, float(np.abs(g).sum(axis=0).max(initial=0.0)) * largest / unit)
        if k:
            unit *= SATURATING[network.activation] if k < len(params) - 1 else 1.0
            most = max(most, float((np.abs(g) @ np.abs(params[k].weights)).max(initial=0.0)) / unit)
            g = (g @ params[k].weights) * slope(hs[k - 1][alive])
    return list(reversed(gradients)), most
