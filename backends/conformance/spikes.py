"""The claim on spikes: a batch of which a few rows alone have an error, so that the bound counts those few.

The roundings of a sum of ``n`` rows allow an error of ``gamma_n``, behind which a lost row of a large batch hides. Here
the targets are the predictions, but for some forty rows, the spikes: at both ends, at the edges of blocks and of powers
of two, and drawn. Every other row adds zero to the loss and to the gradients, which is exact in any order, so that
``gamma_k`` of the spikes bounds the error of any batch.

Predictions are known beforehand: the weights of the output layer are tiny (`TINY`), so that a prediction is its bias,
exactly where it is rounded to the dtype, and to within ``t``, the sum of those weights, where it is kept wider. What
the other rows then add is bounded as well, many powers of two below the rest. Gradients of the hidden layers are tiny
with the weights, and as accurate: floating point does not mind. So the same batch judges `backward`, `step` and
`train`, at a rate at which every parameter moves by more than its size.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from backends.base import Array, Backend, Layer, Network
from backends.conformance import bounds
from backends.conformance.bounds import Ball, Precision
from backends.conformance.cases import Case
from backends.conformance.composed import BallLayer, Totals, exact_params, exact_state, hidden_of
from backends.conformance.judge import Tally
from backends.conformance.report import Finding
from backends.conformance.stages import judge_one_step, judge_params
from backends.conformance.subject import Problem, Subject, precision_of
from backends.conformance.updates import updated

CLAIM = "spikes"
TINY = {"float32": 2.0**-60, "float64": 2.0**-110}
SPIKES = 40
"""The more, the more rows are seen, and the wider the bound."""
LARGE = (Case(Network((3, 2, 1)), (1 << 20) + 3, "normal"),)


@dataclass(frozen=True)
class Spiked:
    """A problem of spikes.

    Attributes:
        problem: inputs, targets, parameters and rate.
        rows: which rows are spikes, in order.
    """

    problem: Problem
    rows: Array


def check_spikes(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge the shape of every case."""
    for case in dict.fromkeys(replace(case, values="normal", seed=0) for case in cases):
        if case.network.loss == "mse":
            yield from judge_spikes(subject.on(case.network), case.rows, str(case)).findings


def judge_spikes(backend: Backend, rows: int, name: str) -> Tally:
    """Judge loss and gradients of `backward`, and one step of `step` and of `train`, on a batch of spikes."""
    spiked = spike(backend, rows, name)
    problem = spiked.problem
    p = precision_of(backend, len(spiked.rows) * problem.network.parameter_count)
    tally = Tally(name, p, backend.dtype)
    with np.errstate(all="ignore"):
        gradients, loss = balls_of_spikes(spiked, p)
        new = updated(problem.optimizer, exact_state(problem, p), gradients, problem.learning_rate, p).params
        params, batch = backend.place_params(problem.params), backend.place_batch(problem.inputs, problem.targets)
        got_loss, got = backend.backward(params, batch, backend.forward(params, batch))
        tally.judge(CLAIM, "loss of backward", float(got_loss), loss)
        judge_params(tally, CLAIM, backend.fetch(got), gradients, "gradient of ")
        judge_one_step(tally, CLAIM, backend, problem, batch, (loss, new))
    return tally


def spike(backend: Backend, n: int, name: str) -> Spiked:
    """Return the batch of ``n`` rows for a backend's network and blocks; equal names give equal numbers."""
    network, dtype = backend.network, backend.dtype
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    layers = [
        Layer(rng.standard_normal((o, i)) / math.sqrt(i), rng.standard_normal(o) / 2) for o, i in network.layer_shapes
    ]
    o, i = network.layer_shapes[-1]
    # Output weights and errors of one sign: nothing cancels on the way back.
    layers[-1] = Layer(TINY[dtype] * rng.uniform(1, 2, (o, i)) / i, rng.uniform(1, 2, o) * rng.choice([-1, 1], o))
    params = tuple(Layer(w.astype(dtype), b.astype(dtype)) for w, b in layers)
    x = rng.standard_normal((n, network.inputs), np.float32).astype(dtype)
    y = np.tile(params[-1].biases, (n, 1))
    rows = spike_rows(n, getattr(backend, "block_rows", None), rng)
    y[rows] -= rng.uniform(1, 2, (len(rows), o)).astype(dtype)
    rate = 2.0 ** math.ceil(math.log2(n * o / len(rows) / TINY[dtype]))
    return Spiked(Problem(name, params, x, y, rate, network.activation, optimizer=backend.optimizer), rows)


def spike_rows(n: int, block_rows: int | None, rng: np.random.Generator) -> Array:
    """Return up to `SPIKES` rows: both ends, both sides of the edges of a backend's first and last blocks, then some of
    those at powers of two and at the last of their multiples, and some drawn.
    """
    blocks = [int(block_rows)] if block_rows and block_rows < n else []
    powers = [1 << exponent for exponent in range(1, n.bit_length())]
    chosen = {0, 1, n - 2, n - 1, n // 2}
    chosen |= {at + side for b in blocks for at in (b, 2 * b, n - n % b, n - n % b - b) for side in (-1, 0)}
    edges = [at + side for b in powers for at in (b, n - n % b) for side in (-1, 0)]
    drawn = [*rng.permutation(edges)[: 2 * SPIKES // 3].tolist(), *rng.integers(0, n, SPIKES).tolist()]
    rows = list(dict.fromkeys(row for row in [*sorted(chosen), *drawn] if 0 <= row < n))
    return np.sort(np.array(rows[:SPIKES]))


def balls_of_spikes(spiked: Spiked, p: Precision) -> tuple[list[BallLayer], Ball]:
    """Return the gradients and the loss of the whole batch: of the spikes, and a little for all other rows."""
    problem = spiked.problem
    params = exact_params(problem, p)
    x, y = (np.asfortranarray(p.arithmetic.array(array[spiked.rows])) for array in (problem.inputs, problem.targets))
    hs, slopes = [Ball(x)], []
    for w, b in params[:-1]:
        z = bounds.ball_of_layer(hs[-1], w, b, p)
        hs.append(hidden_of(problem).value(z, p))
        slopes.append(hidden_of(problem).slope(hs[-1], p, z.exact))
    most = _most(problem)
    others_most = 2 * most[-1] @ params[-1][0].size.T
    biases = np.broadcast_to(params[-1][1].exact, y.shape)
    total = Totals(problem, params, p)
    total.add([*hs, Ball(biases, np.broadcast_to(others_most, y.shape))], slopes, y)
    others = len(problem.inputs) - len(spiked.rows)
    entries = problem.targets.size
    loss = _wider(total.loss, others * float((others_most**2).sum()) / entries)
    # Rounding each of them into a sum costs no more than itself; three times covers it.
    g = 3 * others * 2 * others_most / entries
    gradients = total.gradients
    for k in range(len(params) - 1, -1, -1):
        weights, biases_gradient = gradients[k]
        gradients[k] = _wider(weights, np.outer(g, most[k])), _wider(biases_gradient, g)
        g = g @ params[k][0].size
    return gradients, loss


def _wider(ball: Ball, by: Array | float) -> Ball:
    return replace(ball, radius=np.asarray(ball.radius + by))


def _most(problem: Problem) -> list[Array]:
    """Return the largest magnitude of each column of the inputs and of each hidden unit; no slope exceeds one."""
    most = [np.abs(problem.inputs).max(axis=0).astype(np.float64)]
    for w, b in problem.params[:-1]:
        reached = np.abs(w.astype(np.float64)) @ most[-1] + np.abs(b)
        most.append(np.minimum(reached, hidden_of(problem).largest) * (1 + 2.0**-10))
    return most
