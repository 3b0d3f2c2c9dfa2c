"""Times of one machine carried over to another, by the speeds of both and a few anchor cells measured on the second.

    log(time here / time there) = prior(shape) + common + own(backend) + near(backend, shape)

The prior takes the time apart into kinds of work, as `bench.advice.time_model` fits it, and scales each by the rate
that the speed probes of both machines reached: calls, tanh, products, bandwidth. The anchors are a few of the stored
cells, measured here on every backend. What they show beyond the prior is split into three parts: one that all backends
share, one of each backend, and one that fades away from the anchors. How large the last two are is learnt from the
anchors of all backends together, so that a difference between backends counts only as far as it exceeds what single
processes scatter. Rates of the probes and times of imports are drawn towards no change in the same way: an answer must
not be changed by noise. Source: Morris, Journal of the American Statistical Association 78 (1983) 47.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bench.advice.time_model import Floats, Shape, costs_of_work, likeness, work_of
from bench.machine.speed import Speed
from bench.verdicts import statistics

if TYPE_CHECKING:
    import pandas as pd

    from bench.advice.job import Job


KINDS = ("calls", "calls", "tanh", "product", "bandwidth", "bandwidth", "bandwidth")
"""The rate that each kind of work of `time_model.work_of` goes with."""

COMMON, OWN, NEAR, NOISE = 0.5, 0.15, 0.15, 0.03
"""Log standard deviations: of what the probes miss for all backends, for one, near one shape, and the least of an
anchor. Those of one backend and near one shape are what is usual; the anchors change them."""

TRIED = 2.0 ** np.arange(-3, 5)
"""Multiples of what is usual that the anchors choose from."""

DOUBT = 1.0
"""How far from the usual the anchors easily move it, as a natural log."""

RATE_SCATTER = {"calls": 0.03, "tanh": 0.03, "product": 0.03, "bandwidth": 0.2}
"""Log standard deviation of a probed rate between hours on one machine, which neighbours share."""

IMPORT_SCATTER = 0.1
"""Likewise of the import of one process, if the run cannot tell."""

TIMES = ("median_s", "lower_quartile_s", "minimum_s")
LISTS = ("turn_s", "round_s")
"""Columns of times that are scaled: a number each, and a list each."""

MOST_ANCHORS, LONGEST_ANCHOR_S = 3, 0.012
"""How many cells are measured here at most, and the longest call of one on the slowest backend."""


@dataclass(frozen=True)
class Carried:
    """Rows of another machine, scaled to this one.

    Attributes:
        rows: as `bench.results.load` gives them.
        scatter: log standard deviation of the scaled times, by backend.
        source: the machine that they were measured on.
    """

    rows: pd.DataFrame
    scatter: Mapping[str, float]
    source: str


def anchors(frame: pd.DataFrame, job: Job) -> list[Shape]:
    """Return the shapes of a run to measure again on another machine: least work, most products, most rows.

    They are chosen among shapes that every backend timed, in no more than `LONGEST_ANCHOR_S` on the slowest.
    """
    good = frame[(frame["status"] == "ok") & (frame["arm"] == "") & frame["phase"].isin(job.phases)]
    good = good[good["dtype"] == job.dtype]
    backends = good["backend"].nunique()
    known = good.groupby(["network", "batch"]).agg(backends=("backend", "nunique"), slowest_s=("median_s", "max"))
    fits = known[(known["backends"] == backends) & (known["slowest_s"] < LONGEST_ANCHOR_S)].index
    shapes = [Shape(str(network), int(rows)) for network, rows in fits]
    if not shapes:
        return []
    least = min(shapes, key=work_of)
    products = max(shapes, key=lambda shape: work_of(shape)[3])
    rows = max(shapes, key=lambda shape: (shape.rows, -work_of(shape)[3]))
    return list(dict.fromkeys([least, rows, products]))[:MOST_ANCHORS]


def carried(frame: pd.DataFrame, then: Speed, now: Speed, measured: pd.DataFrame | None, target: Shape) -> Carried:
    """Return rows of another machine as they should be on this one, with the scatter at a shape asked about.

    Other arguments as for `Carrier`.
    """
    carrier = Carrier(frame, then, now, measured)
    return Carried(carrier.rows, carrier.scatter(target), str(frame["machine"].iloc[0]))


class Carrier:
    """Carries the rows of another machine over to this one.

    Args:
        frame: rows of the other machine.
        then: its speed when they were measured; without rates the prior is that nothing changes.
        now: this machine's speed.
        measured: anchor cells measured here, ``None`` for none.

    Attributes:
        rows: as they should be on this machine.
    """

    def __init__(self, frame: pd.DataFrame, then: Speed, now: Speed, measured: pd.DataFrame | None) -> None:
        self._factors = _Factors(frame, then, now, measured)
        self._kinds = [
            (str(name), str(phase)) for name, phase in frame.groupby(["backend", "phase"], sort=False).groups
        ]
        self.rows = self._scaled(frame)

    def scatter(self, target: Shape) -> dict[str, float]:
        """Return the log standard deviation of the scaled times at a shape, by backend."""
        scatter: dict[str, float] = {}
        for backend, phase in self._kinds:
            _, deviation = self._factors.of(backend, phase, [], target)
            scatter[backend] = max(scatter.get(backend, 0.0), deviation)
        return scatter

    def _scaled(self, frame: pd.DataFrame) -> pd.DataFrame:
        scaled = frame.copy()
        for (backend, phase), rows in frame.groupby(["backend", "phase"], sort=False):
            shapes = list(map(Shape, rows["network"].astype(str), rows["batch"].astype(int)))
            logs, _ = self._factors.of(str(backend), str(phase), shapes, shapes[0])
            scale = np.exp(logs)
            for name in TIMES:
                scaled.loc[rows.index, name] = rows[name] * scale
            for name in LISTS:
                scaled.loc[rows.index, name] = _scaled_lists(rows[name], scale)
            scaled.loc[rows.index, "import_s"] = rows["import_s"] * self._factors.import_factor(str(backend))
            for name in ("compile_s", "first_call_s", "place_s"):
                scaled.loc[rows.index, name] = rows[name] * self._factors.compile_factor
        return scaled


class _Anchor(NamedTuple):
    """What one anchor shows beyond the prior, as a log, and how sure that is."""

    backend: str
    shape: Shape
    beyond: float
    variance: float


Place = tuple[str, Shape]
"""A backend and a shape."""


class _Factors:
    """How much longer the cells of a run take on another machine."""

    def __init__(self, frame: pd.DataFrame, then: Speed, now: Speed, measured: pd.DataFrame | None) -> None:
        self._stored = statistics.cell_estimates(frame[frame["arm"] == ""])
        self._anchors = None if measured is None else statistics.cell_estimates(measured[measured["arm"] == ""])
        self._rates = _rate_factors(then, now)
        self._imports, self._common_import = _import_factors(frame, measured)
        self._seen: dict[str, tuple[list[_Anchor], tuple[float, float]]] = {}
        self._costs_s: dict[tuple[str, str], Floats | None] = {}

    def import_factor(self, backend: str) -> float:
        """Return how much longer the import of a backend takes."""
        return self._imports.get(backend, self.compile_factor)

    @property
    def compile_factor(self) -> float:
        """How much longer compilations take, which are the interpreter's and the compiler's work, as imports are."""
        return self._common_import or float(self._rates[0])

    def of(self, backend: str, phase: str, shapes: Sequence[Shape], target: Shape) -> tuple[Floats, float]:
        """Return the log factor of some shapes, and its standard deviation at the target."""
        prior = self._prior(backend, phase, shapes)
        if phase not in self._seen:
            anchors = self._anchored(phase)
            self._seen[phase] = anchors, _spread(anchors)
        anchors, spread = self._seen[phase]
        if not anchors:
            return prior, math.hypot(COMMON, OWN) if np.allclose(self._rates, 1) else math.hypot(OWN, NEAR) + 0.1
        # Gaussian-process regression: what the anchors show beyond the prior, each weighed by how near it is.
        at = [(anchor.backend, anchor.shape) for anchor in anchors]
        places = [(backend, shape) for shape in (*shapes, target)]
        known = _covariance(at, at, spread) + np.diag([anchor.variance for anchor in anchors])
        across = _covariance(places, at, spread)
        gain = np.linalg.solve(known, across.T).T
        variance = _covariance(places[-1:], places[-1:], spread)[0, 0] - float(gain[-1] @ across[-1])
        beyond = gain[:-1] @ np.array([anchor.beyond for anchor in anchors])
        return prior + beyond, math.sqrt(max(variance, NOISE**2))

    def _prior(self, backend: str, phase: str, shapes: Sequence[Shape]) -> Floats:
        """Return what the probes alone say of some shapes."""
        if np.allclose(self._rates, 1) or not len(shapes):
            return np.zeros(len(shapes))
        if (backend, phase) not in self._costs_s:
            cells = self._stored[(self._stored["backend"] == backend) & (self._stored["phase"] == phase)]
            known = list(map(Shape, cells["network"].astype(str), cells["batch"].astype(int)))
            self._costs_s[backend, phase] = costs_of_work(known, cells["log_s"].to_numpy(float)) if known else None
        cost_s = self._costs_s[backend, phase]
        if cost_s is None:
            return np.zeros(len(shapes))
        work = np.array([work_of(shape) for shape in shapes])
        return np.asarray(np.log(work @ (cost_s * self._rates)) - np.log(np.maximum(work @ cost_s, 1e-12)))

    def _anchored(self, phase: str) -> list[_Anchor]:
        """Return what the anchors of a phase show beyond the prior."""
        if self._anchors is None:
            return []
        keys = ["backend", "network", "batch", "dtype", "device", "threads", "phase"]
        both = self._anchors.merge(self._stored, on=keys, suffixes=("", "_then"))
        if both.empty:  # another number of threads there: the nearest is the best that is known
            keys.remove("threads")
            both = self._anchors.merge(self._stored, on=keys, suffixes=("", "_then"))
        anchors = []
        for cell in both[both["phase"] == phase].itertuples():
            shape = Shape(str(cell.network), int(cell.batch))
            prior = float(self._prior(str(cell.backend), phase, [shape])[0])
            process = max(np.nan_to_num(cell.variance_then) * cell.processes_then, NOISE**2)
            variance = process / cell.processes_then + process / cell.processes
            anchors.append(_Anchor(str(cell.backend), shape, float(cell.log_s - cell.log_s_then) - prior, variance))
        return anchors


def _covariance(some: Sequence[Place], others: Sequence[Place], spread: tuple[float, float]) -> Floats:
    """Return the covariance of what the probes miss: a common part, one of the backend, and one of near shapes.

    Args:
        some: backends and shapes.
        others: other backends and shapes.
        spread: log standard deviations of the last two parts.
    """
    own, near = spread
    same = np.array([[backend == other for other, _ in others] for backend, _ in some])
    alike = likeness([shape for _, shape in some], [shape for _, shape in others])
    return np.asarray(COMMON**2 + same * (own**2 + near**2 * alike))


def _spread(anchors: Sequence[_Anchor]) -> tuple[float, float]:
    """Return the log standard deviations of a backend's own part and of the near one: the likeliest for the anchors."""
    at = [(anchor.backend, anchor.shape) for anchor in anchors]
    beyond, noise = (np.array([getattr(anchor, name) for anchor in anchors]) for name in ("beyond", "variance"))

    def unlikely(multiples: tuple[float, float]) -> float:
        # The negative log likelihood of the anchors, with a log-normal prior around the usual deviations.
        own, near = multiples
        root = np.linalg.cholesky(_covariance(at, at, (own * OWN, near * NEAR)) + np.diag(noise))
        fit = np.linalg.solve(root, beyond)
        doubt = (math.log(own) ** 2 + math.log(near) ** 2) / DOUBT**2
        return float(np.log(np.diag(root)).sum() + (fit @ fit + doubt) / 2)

    own, near = min(itertools.product(TRIED.tolist(), repeat=2), key=unlikely) if anchors else (1.0, 1.0)
    return own * OWN, near * NEAR


def _rate_factors(then: Speed, now: Speed) -> Floats:
    """Return for each kind of work how much longer it takes now, with the most threads that both speeds have."""
    ratios = now.ratios(then)
    threads = max((count for _, count in ratios), default=1)
    slower = {
        kind: math.exp(_shrunk(-math.log(ratio), math.sqrt(2) * RATE_SCATTER.get(kind, 0.0)))
        for (kind, count), ratio in ratios.items()
        if count == (1 if kind == "calls" else threads)
    }
    return np.array([slower.get(kind, 1.0) for kind in KINDS])


def _shrunk(change: float, scatter: float) -> float:
    """Shrink a change towards none: to nothing if it is within its scatter, hardly at all if it is much larger."""
    return change * max(0.0, 1 - (scatter / change) ** 2) if change else 0.0


def _import_factors(frame: pd.DataFrame, measured: pd.DataFrame | None) -> tuple[dict[str, float], float]:
    """Return how much longer each backend's import takes here, and what is common to them, 0 if nothing is known."""
    if measured is None:
        return {}, 0.0
    there, here = (_imports(rows) for rows in (frame, measured))
    backends = here.index.intersection(there.index)
    if backends.empty:
        return {}, 0.0
    there, here = there.loc[backends], here.loc[backends]
    change = here["mean"] - there["mean"]
    common = float(change.median())
    process = float(np.nan_to_num(there["var"].mean(), nan=IMPORT_SCATTER**2))
    scatter = np.sqrt(process / there["size"] + process / here["size"])
    own = {str(name): _shrunk(float(change[name]) - common, float(scatter[name])) for name in backends}
    return {name: math.exp(common + beyond) for name, beyond in own.items()}, math.exp(common)


def _imports(rows: pd.DataFrame) -> pd.DataFrame:
    """Return of each backend the mean, variance and number of the logs of its imports, one a process."""
    imported = rows[rows["import_s"] > 0].groupby(["backend", "run", "process"])["import_s"].first()
    return np.log(imported).groupby("backend").agg(["mean", "var", "size"])


def _scaled_lists(lists: pd.Series[object], scale: Floats) -> pd.Series[object]:
    """Return lists of times, each multiplied by its factor; a time that is missing stays so."""
    import pandas as pd

    multiplied = [
        [None if time is None else factor * time for time in times] if isinstance(times, list) else times
        for times, factor in zip(lists, scale, strict=True)
    ]
    return pd.Series(multiplied, index=lists.index, dtype=object)
