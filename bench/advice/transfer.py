"""Times of one machine carried over to another, by the speeds of both and a few anchor cells measured on the second.

    log(time here / time there) = prior(shape) + what the anchors add

The prior takes the time apart into kinds of work, as `bench.advice.time_model` fits it, and scales each by the rate
that the speed probes of both machines reached: calls, tanh, products, bandwidth. The anchors are a few of the stored
cells, measured here on every backend. What they show beyond the prior is a mean for the backend and a part that fades
away from the anchors. A backend without anchors gets what the others have in common.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.advice.time_model import Shape, costs_of_work, likeness, work_of
from bench.machine.speed import Speed
from bench.verdicts import statistics

if TYPE_CHECKING:
    import pandas as pd

    from bench.advice.job import Job

Floats = NDArray[np.float64]

KINDS = ("calls", "calls", "tanh", "product", "bandwidth", "bandwidth", "bandwidth")
"""The rate that each kind of work of `time_model.work_of` goes with."""

COMMON, OWN, LOCAL, NOISE = 0.5, 0.15, 0.15, 0.03
"""Log standard deviations: of what the probes miss for all backends, for one, near one shape, and of an anchor."""

TIMES = ("median_s", "lower_quartile_s", "minimum_s")
LISTS = ("turn_s", "round_s")
MOST_ANCHORS, LONGEST_ANCHOR_S = 3, 0.012


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
    """Return a few shapes of a run that tell a machine: the least work, the most products, the most rows, of those
    that every backend timed and that take no longer than `LONGEST_ANCHOR_S` on the slowest.
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
    """Return rows of another machine as they should be on this one.

    Args:
        frame: rows of the other machine.
        then: its speed when they were measured; without rates the prior is that nothing changes.
        now: this machine's speed.
        measured: anchor cells measured here, ``None`` for none.
        target: the shape asked about, for which ``scatter`` holds.
    """
    factors = _Factors(frame, then, now, measured)
    scaled = frame.copy()
    scatter: dict[str, float] = {}
    for (backend, phase), rows in frame.groupby(["backend", "phase"], sort=False):
        shapes = list(map(Shape, rows["network"].astype(str), rows["batch"].astype(int)))
        logs, deviation = factors.of(str(backend), str(phase), shapes, target)
        scale = np.exp(logs)
        for name in TIMES:
            scaled.loc[rows.index, name] = rows[name] * scale
        for name in LISTS:
            scaled.loc[rows.index, name] = _scaled_lists(rows[name], scale)
        fixed = factors.fixed(str(backend))
        for name in ("import_s", "compile_s", "first_call_s", "place_s"):
            scaled.loc[rows.index, name] = rows[name] * fixed
        scatter[str(backend)] = max(scatter.get(str(backend), 0.0), deviation)
    return Carried(scaled, scatter, str(frame["machine"].iloc[0]))


class _Factors:
    """How much longer the cells of a run take on another machine."""

    def __init__(self, frame: pd.DataFrame, then: Speed, now: Speed, measured: pd.DataFrame | None) -> None:
        self._stored = statistics.cell_estimates(frame[frame["arm"] == ""])
        self._anchors = None if measured is None else statistics.cell_estimates(measured[measured["arm"] == ""])
        self._rates = _rate_factors(then, now)
        self._imports = _import_factors(frame, measured)

    def fixed(self, backend: str) -> float:
        """Return the factor of imports and compilations, which are the interpreter's and the compiler's work."""
        common = list(self._imports.values())
        return self._imports.get(backend, float(np.median(common)) if common else float(self._rates[0]))

    def of(self, backend: str, phase: str, shapes: Sequence[Shape], target: Shape) -> tuple[Floats, float]:
        """Return the log factor of some shapes, and its standard deviation at the target."""
        places = [*shapes, target]
        prior = self._prior(backend, phase, places)
        of_backend, common = self._residuals(phase, backend), self._residuals(phase, None)
        observed = of_backend or common
        if not observed:
            return prior[:-1], math.hypot(COMMON, OWN) if np.allclose(self._rates, 1) else math.hypot(OWN, LOCAL) + 0.1
        at = [shape for shape, _ in observed]
        residual = np.array([value for _, value in observed])
        known = _covariance(at, at) + NOISE**2 * np.eye(len(at))
        if not of_backend:
            known += OWN**2 * np.eye(len(at))
        across = _covariance(places, at)
        gain = np.linalg.solve(known, across.T).T
        variance = _covariance([target], [target])[0, 0] - float(gain[-1] @ across[-1])
        return (prior + gain @ residual)[:-1], math.sqrt(max(variance, NOISE**2))

    def _prior(self, backend: str, phase: str, shapes: Sequence[Shape]) -> Floats:
        """Return what the probes alone say of some shapes."""
        cells = self._stored[(self._stored["backend"] == backend) & (self._stored["phase"] == phase)]
        if cells.empty or np.allclose(self._rates, 1):
            return np.zeros(len(shapes))
        known = list(map(Shape, cells["network"].astype(str), cells["batch"].astype(int)))
        cost_s = costs_of_work(known, cells["log_s"].to_numpy(float))
        work = np.array([work_of(shape) for shape in shapes])
        return np.asarray(np.log(work @ (cost_s * self._rates)) - np.log(np.maximum(work @ cost_s, 1e-12)))

    def _residuals(self, phase: str, backend: str | None) -> list[tuple[Shape, float]]:
        """Return what the anchors of a backend, or of all, show beyond the prior."""
        if self._anchors is None:
            return []
        keys = ["backend", "network", "batch", "dtype", "device", "threads", "phase"]
        both = self._anchors.merge(self._stored, on=keys, suffixes=("", "_then"))
        if both.empty:  # another number of threads there: the nearest is the best that is known
            keys.remove("threads")
            both = self._anchors.merge(self._stored, on=keys, suffixes=("", "_then"))
        cells = both[both["phase"] == phase]
        cells = cells if backend is None else cells[cells["backend"] == backend]
        residuals = []
        for cell in cells.itertuples():
            shape = Shape(str(cell.network), int(cell.batch))
            prior = float(self._prior(str(cell.backend), phase, [shape])[0])
            residuals.append((shape, float(cell.log_s - cell.log_s_then) - prior))
        return residuals


def _covariance(some: Sequence[Shape], others: Sequence[Shape]) -> Floats:
    """Return the covariance of what the probes miss: a common part, and one of near shapes."""
    return np.asarray(COMMON**2 + LOCAL**2 * likeness(some, others))


def _rate_factors(then: Speed, now: Speed) -> Floats:
    """Return for each kind of work how much longer it takes now, with the most threads that both speeds have."""
    ratios = now.ratios(then)
    threads = max((count for _, count in ratios), default=1)
    slower = {
        kind: 1 / ratio for (kind, count), ratio in ratios.items() if count == (1 if kind == "calls" else threads)
    }
    return np.array([slower.get(kind, 1.0) for kind in KINDS])


def _import_factors(frame: pd.DataFrame, measured: pd.DataFrame | None) -> dict[str, float]:
    """Return how much longer each backend's import takes here."""
    if measured is None:
        return {}
    there, here = (rows[rows["import_s"] > 0].groupby("backend")["import_s"].median() for rows in (frame, measured))
    return {str(name): float(here[name] / there[name]) for name in here.index.intersection(there.index)}


def _scaled_lists(lists: pd.Series[object], scale: Floats) -> pd.Series[object]:
    """Return lists of times, each multiplied by its factor; a time that is missing stays so."""
    import pandas as pd

    multiplied = [
        [None if time is None else factor * time for time in times] if isinstance(times, list) else times
        for times, factor in zip(lists, scale, strict=True)
    ]
    return pd.Series(multiplied, index=lists.index, dtype=object)
