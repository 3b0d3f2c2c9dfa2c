"""The time of one phase of one backend for any workload and batch, learnt from the cells that were measured.

    log time = log(overhead + work / throughput) + what the measured neighbours say

The first term is a sum of kinds of work (`work_of`: calls, layers, tanh, products, bytes, ...), each with a cost of
zero or more, fitted by relative error; sizes go in, never names. It carries over to networks and batches that were
never measured. The second is a Gaussian process over the logarithms of batch and work a row: next to a measured cell it
repeats what was measured, between two of them it blends, far from all it vanishes. Its amplitude is the error that the
first term makes on a network left out of the fit, so that an interval far from all cells is as wide as that.

A model is of one kind of workload: one activation, loss and optimiser, with or without mini-batches. Of a kind that was
not measured, `as_kind` makes estimates of the cells of another, by the work of both.

No totals here (`bench.advice.costs`), no files.

Tests: `tests/bench/advice/test_recommendation.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.advice.nnls import nnls
from bench.workload import Workload
from bench.workload.work import product_flop, tanh_count, update_flop

Floats = NDArray[np.float64]


class Shape(NamedTuple):
    """A workload as text and the rows of a batch."""

    network: str
    rows: int


DRAWS = 1000
"""Of each uncertain number: the ends of a 95 % interval then rest on 25 of them each."""

REACH = np.array([2.0, 1.5, 1.5, 1.0])
"""How far a measured cell speaks: in natural logs of rows, of products a row and of hidden units, and in layers."""

LEAST_SCATTER, FEW_NETWORKS_SCATTER, MOST_SCATTER = 0.05, 0.35, 1.0
"""Log standard deviations of the first term on a new network: the least and the most that is believed, and what is
assumed of fewer than three networks, which show none."""

USUAL_COST_S = np.array([1e-6, 1e-6, 0.5e-9, 2e-11, 0.3e-9, 0.3e-9, 0.2e-9])
"""Seconds of a unit of each kind of work on a plain core: what is taken, to about a factor of two, for those kinds that
the measured cells cannot tell apart."""

LONG_S, BEYOND = 3e-3, 0.2
"""From a step of this many seconds on a plain core, and how much the log of more rows counts beyond it."""

SHORT_S = 1e-3
"""A shorter step is mostly overhead, which networks have less in common than the rate of long steps."""

TRUST_IN_USUAL = 1e-3
"""Weight of a kind's usual cost next to that of one measured cell: (5 % error of a cell / 160 % error of a cost)^2."""

NUGGET = 0.01
"""Log scatter that stays even between neighbours that agree."""

MEASURED, INTERPOLATED, EXTRAPOLATED = "measured here", "interpolated", "extrapolated"
"""What a prediction rests on: `TimeModel.basis`."""

ELSEWHERE = "measured elsewhere"
CARRIED = "carried over"
"""What a measured time is called on another machine, as it is and scaled to that machine."""

ESTIMATED = "estimated from another workload"
KIND_SCATTER = 0.35
"""Log standard deviation of what `as_kind` says of a kind that was never measured: a factor of 1.4."""


UNLIKE = 1e3
"""What a difference in kind adds to the distance of two shapes, which is far below it otherwise."""


@lru_cache(maxsize=8192)
def work_of(shape: Shape) -> tuple[float, ...]:
    """Return the work of one step of a shape, each kind of which costs its own time."""
    workload, rows = Workload.parse(shape[0]), shape[1]
    network, n = workload.network, workload.step_rows(rows)
    return (
        1.0,
        float(len(network.layer_shapes)),
        float(tanh_count(workload, rows)),
        float(product_flop(workload, rows)),
        float(n * (network.inputs + network.outputs)),
        float(n * sum(network.sizes[1:])),
        update_flop(workload) / 2,
    )


@lru_cache(maxsize=8192)
def place_of(shape: Shape) -> tuple[float, ...]:
    """Return the coordinates of a shape: logs of rows a step, of products a row and of hidden units, and the layers.

    The time of a long step is proportional to the rows, so distances between long steps are scaled down.
    """
    workload = Workload.parse(shape[0])
    network, n = workload.network, workload.step_rows(shape[1])
    beyond = max(0.0, math.log(usual_s(shape) / LONG_S))
    rows = math.log(n) - (1 - BEYOND) * beyond
    hidden = sum(network.sizes[1:-1])
    return (rows, math.log(product_flop(network, 1)), math.log(hidden), float(len(network.layer_shapes)))


@lru_cache(maxsize=8192)
def kind_of(network: str) -> Workload:
    """Return the kind of a workload. Times of different kinds can be compared by their work only."""
    return Workload.parse(network).kind


def as_kind(network: str, rows: int, kind: Workload) -> Shape:
    """Return the shape of another kind whose step has the same layer sizes and as many rows.

    A network of one output gets a second one for cross-entropy.
    """
    measured = Workload.parse(network)
    n, sizes = measured.step_rows(rows), measured.network.sizes
    sizes = (*sizes[:-1], max(sizes[-1], kind.network.outputs))
    changed = replace(kind.network, sizes=sizes)
    return Shape(str(replace(kind, network=changed, rows_per_step=n if kind.rows_per_step else None)), n)


def nearest_kind(kind: Workload, known: Iterable[Workload]) -> Workload:
    """Return the known kind that differs least from ``kind``; mini-batches and optimiser count most."""

    def unlike(other: Workload) -> tuple[bool, ...]:
        return (
            bool(other.rows_per_step) != bool(kind.rows_per_step),
            other.optimizer.name != kind.optimizer.name,
            other.network.activation != kind.network.activation,
            other.network.loss != kind.network.loss,
            other.optimizer != kind.optimizer,
        )

    return min(known, key=lambda other: (sum(unlike(other)), unlike(other)))


def usual_s(shape: Shape) -> float:
    """Return roughly how long a step takes, by usual costs of each kind of work on one core."""
    return float(np.dot(work_of(shape), USUAL_COST_S))


@dataclass(frozen=True)
class TimeModel:
    """A fitted model; make it with `fit`.

    Attributes:
        shapes: that it was fitted to.
        cost_s: seconds of a unit of each kind of work.
        residual: log of measured / modelled time, one a shape.
        variance: of the measured log times.
        scatter: log standard deviation of the first term on networks that it was not fitted to, for short steps and
            for long ones.
    """

    shapes: tuple[Shape, ...]
    cost_s: Floats
    residual: Floats
    variance: Floats
    scatter: tuple[float, float]

    @classmethod
    def fit(cls, shapes: Sequence[Shape], log_s: ArrayLike, variance: ArrayLike) -> TimeModel:
        """Fit to measured shapes.

        Args:
            shapes: networks and batches, one or more.
            log_s: log of the measured seconds.
            variance: of ``log_s``.
        """
        logs = np.asarray(log_s, float)
        cost_s = costs_of_work(shapes, logs)
        residual = logs - _log_work(shapes, cost_s)
        return cls(
            tuple(Shape(*shape) for shape in shapes),
            cost_s,
            residual,
            np.nan_to_num(np.asarray(variance, float)),
            _scatter(shapes, logs),
        )

    def predict(self, shapes: Sequence[Shape]) -> tuple[Floats, Floats]:
        """Return mean and covariance of the log seconds of some shapes."""
        known = self._covariance(self.shapes, self.shapes)
        known[np.diag_indices_from(known)] += self.variance + NUGGET**2
        across = self._covariance(shapes, self.shapes)
        gain = np.linalg.solve(known, across.T).T
        mean = _log_work(shapes, self.cost_s) + gain @ self.residual
        covariance = self._covariance(shapes, shapes) - gain @ across.T
        return mean, covariance

    def _covariance(self, some: Sequence[Shape], others: Sequence[Shape]) -> Floats:
        """Return the covariance of what the first term misses."""
        return np.asarray(np.outer(self._amplitude(some), self._amplitude(others)) * likeness(some, others))

    def _amplitude(self, shapes: Sequence[Shape]) -> Floats:
        """Return the scatter at some shapes: that of short steps, that of long ones, or between."""
        short, long = self.scatter
        share = np.array([1 / (1 + SHORT_S / usual_s(shape)) for shape in shapes])
        return np.asarray(short + (long - short) * share)

    def basis(self, shape: Shape) -> str:
        """Return what a prediction rests on: measured here, interpolated, extrapolated.

        It is interpolated if rows, products and hidden units and layers lie between those of measured shapes.
        """
        shape = Shape(*shape)
        if shape in self.shapes:
            return MEASURED
        places = np.array([(math.log(_step_rows(known)), *place_of(known)[1:]) for known in self.shapes])
        place = np.array((math.log(_step_rows(shape)), *place_of(shape)[1:]))
        inside = (place >= places.min(axis=0) - 1e-9) & (place <= places.max(axis=0) + 1e-9)
        return INTERPOLATED if inside.all() else EXTRAPOLATED


def draw(mean: Floats, covariance: Floats, rng: np.random.Generator) -> Floats:
    """Return ``[DRAWS, shapes]`` draws of log seconds."""
    jitter = 1e-9 * max(float(np.trace(covariance)), 1e-6)
    root = np.linalg.cholesky((covariance + covariance.T) / 2 + jitter * np.eye(len(mean)))
    return np.asarray(mean + rng.standard_normal((DRAWS, len(mean))) @ root.T)


def costs_of_work(shapes: Sequence[Shape], log_s: Floats) -> Floats:
    """Return the cost of each kind of work: relative errors as small as costs of zero or more can make them."""
    work = np.array([work_of(shape) for shape in shapes])
    usual = math.sqrt(TRUST_IN_USUAL) * np.diag(1 / USUAL_COST_S)[1:]
    rows = np.vstack([work * np.exp(-log_s)[:, None], usual])
    return nnls(rows, np.concatenate([np.ones(len(shapes)), np.full(len(usual), math.sqrt(TRUST_IN_USUAL))]))


def _log_work(shapes: Sequence[Shape], cost_s: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(np.array([work_of(shape) for shape in shapes]) @ cost_s, 1e-12)))


def _scatter(shapes: Sequence[Shape], log_s: Floats) -> tuple[float, float]:
    """Return the log error on networks left out of the fit, one after the other, for short steps and for long ones."""
    networks = np.array([network for network, _ in shapes])
    names = np.unique(networks)
    if len(names) < 3:
        return FEW_NETWORKS_SCATTER, FEW_NETWORKS_SCATTER
    errors = np.zeros(len(shapes))
    for name in names:
        out = networks == name
        rest = [shape for shape, left_out in zip(shapes, out, strict=True) if not left_out]
        held_out = [shape for shape, left_out in zip(shapes, out, strict=True) if left_out]
        errors[out] = log_s[out] - _log_work(held_out, costs_of_work(rest, log_s[~out]))
    errors *= math.sqrt(len(names) / (len(names) - 1))  # few networks show less than all of the scatter
    short = np.array([usual_s(shape) < SHORT_S for shape in shapes])
    return _typical(errors, short), _typical(errors, ~short)


def _typical(errors: Floats, chosen: NDArray[np.bool_]) -> float:
    """Return the root mean square of the errors chosen, of all if they are few."""
    some = errors[chosen] if chosen.sum() >= 3 else errors
    return min(max(math.sqrt(float(np.mean(some**2))), LEAST_SCATTER), MOST_SCATTER)


def _step_rows(shape: Shape) -> int:
    return Workload.parse(shape[0]).step_rows(shape[1])


def apart(shape: Shape, other: Shape) -> float:
    """Return how far apart two shapes lie; those of unlike kinds lie farther apart than any others."""
    distance = np.abs(np.array(place_of(shape)) - np.array(place_of(other))).sum()
    return float(distance) + (0.0 if kind_of(shape[0]) == kind_of(other[0]) else UNLIKE)


def likeness(some: Sequence[Shape], others: Sequence[Shape]) -> Floats:
    """Return how much shapes tell of each other, 0 to 1."""
    a, b = (np.array([place_of(shape) for shape in shapes]) / REACH for shapes in (some, others))
    distance = np.sqrt(((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2))
    root = math.sqrt(3) * distance  # Matern 3/2: neighbours agree, without the ripples of a Gaussian
    return np.asarray((1 + root) * np.exp(-root))
