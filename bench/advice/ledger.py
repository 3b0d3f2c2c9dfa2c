"""What a whole job costs on one backend: import + compile + place + one call + steps x step, as draws. No files.

    total = import_s + compile_s + place_s + call_s + steps * step_s

``step_s`` is a step inside `train`, which is how the steps of a job are taken; ``call_s`` is what one call from Python
costs beyond that, the difference of ``step`` and a step inside ``train``. Where ``train`` was not measured, ``step_s``
is that of ``step`` and ``call_s`` is zero.

Each part is known as far as its draws agree: import and compile scatter as they did from process to process, place and
step as `bench.advice.time_model` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.advice.time_model import ELSEWHERE, EXTRAPOLATED, INTERPOLATED, MEASURED, Case, TimeModel, draw, place_of
from bench.results import timed
from bench.verdicts import statistics

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
LEAST_COMPILE_S = 0.02
"""A first call that takes no longer beyond a steady one compiled nothing worth a note."""

CompileTimes = dict[str, dict[Case, Floats]]
"""By state of the compile cache and by case: seconds of compiling, one a process."""

DRAWS = 1000
SINGLE_SCATTER = 0.15
"""Log scatter of an import or a compilation that was measured in one process alone."""


@dataclass(frozen=True)
class Job:
    """One backend's parts of a total, for a list of cases; draws are ``[DRAWS, cases]``, in seconds.

    Attributes:
        backend: its name.
        import_s: draws, the same for every case.
        compile_s: likewise, taken at the first case.
        place_s: of every case.
        call_s: of every case.
        step_s: of every case.
        basis: what the step of the first case rests on.
        phase: ``train`` or ``step``: where ``step_s`` comes from.
        cache: the compile cache that ``compile_s`` was measured with; it may not be the one asked for.
    """

    backend: str
    import_s: Floats
    compile_s: Floats
    place_s: Floats
    call_s: Floats
    step_s: Floats
    basis: str
    phase: str
    cache: str

    @property
    def fixed_s(self) -> Floats:
        """All but the steps."""
        return self.import_s + self.compile_s + self.place_s + self.call_s

    def total_s(self, steps: float) -> Floats:
        """Return draws of the total."""
        return self.fixed_s + steps * self.step_s


def jobs(frame: pd.DataFrame, cases: Sequence[Case], cache: str = "warm", seed: int = 0) -> list[Job]:
    """Return the job of each backend that has times.

    Args:
        frame: rows of one dtype, device and number of threads, as `bench.results.load` gives them.
        cases: the case asked for first, then any others.
        cache: the compile cache to assume, ``warm`` or ``cold``.
        seed: of the draws.
    """
    good = timed(frame, arm="")
    figures = statistics.cell_estimates(good[good["phase"].isin(["step", "train"])])
    found = []
    for number, (backend, own) in enumerate(good.groupby("backend", sort=False)):
        rng = np.random.default_rng([seed, number])
        found.append(_job(str(backend), own, figures[figures["backend"] == backend], cases, cache, rng))
    return [job for job in found if job]


def _job(
    backend: str, rows: pd.DataFrame, figures: pd.DataFrame, cases: Sequence[Case], cache: str, rng: np.random.Generator
) -> Job | None:
    phase = "train" if (figures["phase"] == "train").any() else "step"
    if not (figures["phase"] == phase).any():
        return None
    step_s, basis = phase_s(figures[figures["phase"] == phase], cases, rng)
    call_s = np.zeros_like(step_s)
    if phase == "train" and (figures["phase"] == "step").any():
        alone_s, _ = phase_s(figures[figures["phase"] == "step"], cases, rng)
        call_s = np.maximum(alone_s - step_s, 0.0)
    compiling_s, state = compile_s(compile_times(rows), cases[0], cache, rng)
    return Job(
        backend,
        _scattered(rows.groupby(["run", "process"])["import_s"].first().to_numpy(float), rng),
        compiling_s,
        _place_s(rows, cases, rng),
        call_s,
        step_s,
        basis,
        phase,
        state,
    )


def phase_s(figures: pd.DataFrame, cases: Sequence[Case], rng: np.random.Generator) -> tuple[Floats, str]:
    """Return draws ``[DRAWS, cases]`` of a phase's seconds, and what the first case rests on.

    Args:
        figures: rows of `bench.verdicts.statistics.cell_estimates` of one backend and phase.
        cases: any; measured ones keep their times, others are predicted.
        rng: of the draws.
    """
    known = list(zip(figures["network"].astype(str), figures["batch"].astype(int), strict=True))
    model = TimeModel.fit(known, figures["log_s"], _widened(figures["variance"], figures["dof"]))
    mean, covariance = model.predict(cases)
    basis = model.basis(cases[0])
    return np.exp(draw(mean, covariance, DRAWS, rng)), basis


def _widened(variance: pd.Series[float], dof: pd.Series[float]) -> Floats:
    """Return variances under which a normal interval is as wide as Student's; a scatter of 10 % where unknown."""
    from bench.verdicts.student import quantile

    factor = (quantile(0.975, dof.to_numpy(float)) / 1.96) ** 2
    return np.asarray(np.nan_to_num(variance.to_numpy(float) * factor, nan=0.01))


def _place_s(rows: pd.DataFrame, cases: Sequence[Case], rng: np.random.Generator) -> Floats:
    """Return draws of the seconds of placing each case the first time."""
    placed = rows[rows["place_s"] > 0].groupby(["network", "batch"])["place_s"]
    logs = placed.apply(lambda seconds: np.log(seconds).mean())
    if logs.empty:
        return np.zeros((DRAWS, len(cases)))
    spread = placed.apply(lambda seconds: np.log(seconds).var()).fillna(SINGLE_SCATTER**2) / placed.size()
    model = TimeModel.fit([(str(n), int(b)) for n, b in logs.index], logs, spread)
    return np.exp(draw(*model.predict(cases), DRAWS, rng))


def compile_times(rows: pd.DataFrame) -> CompileTimes:
    """Return what compiling a step took one backend, by itself or in a loop, whichever was dearer.

    In a process that calls both, the first may compile for the other.
    """
    rows = rows[rows["phase"].isin(["step", "train"])]
    dearer = rows.assign(compile_s=compile_alone_s(rows))
    process = ["network", "batch", "cache", "run", "process"]
    worst = dearer.groupby(process, sort=False)["compile_s"].max()
    found: CompileTimes = {}
    for (cache, network, batch), seconds in worst.groupby(["cache", "network", "batch"], sort=False):
        found.setdefault(str(cache), {})[str(network), int(batch)] = seconds.to_numpy(float)
    return found


def compile_alone_s(rows: pd.DataFrame) -> pd.Series[float]:
    """Return the seconds that compiling each row's case would take as the first of its process.

    A case that compiled next to nothing, also beside a twentieth of the dearest before it, found the work done: by
    an earlier case of its own network, or else by the dearest, since frameworks share code between shapes and do not
    say so.
    """
    import pandas as pd

    parts = [
        _alone_in_process(own) for _, own in rows.groupby(["run", "backend", "arm", "process", "cache"], sort=False)
    ]
    return pd.concat(parts).reindex(rows.index) if parts else rows["compile_s"]


def _alone_in_process(rows: pd.DataFrame) -> pd.Series[float]:
    """Do so for the rows of one process, in the order in which they were measured."""
    cases = list(rows[["network", "batch", "dtype", "device"]].itertuples(index=False, name=None))
    own_s: dict[tuple[str, ...], float] = {}
    for case, seconds in zip(cases, rows["compile_s"].fillna(0.0), strict=True):
        own_s[case] = max(own_s.get(case, 0.0), seconds)
    of_network: dict[str, float] = {}
    dearest = 0.0
    alone = {}
    for case, seconds in own_s.items():
        alone[case] = seconds
        for shared_s in (of_network.get(case[0], 0.0), dearest):
            if alone[case] < max(LEAST_COMPILE_S, dearest / 20):
                alone[case] = max(alone[case], shared_s)
        of_network[case[0]] = max(of_network.get(case[0], 0.0), seconds)
        dearest = max(dearest, seconds)
    return rows.assign(alone_s=[alone[case] for case in cases])["alone_s"]


def compile_s(times: CompileTimes, case: Case, cache: str, rng: np.random.Generator) -> tuple[Floats, str]:
    """Return draws of the seconds of compiling a case first of all in a process, and the cache they hold for.

    They are those of the measured case that is nearest, in a process that began with ``cache`` where one did.
    """
    if not times:
        return np.zeros((DRAWS, 1)), cache
    state = cache if cache in times else min(times)
    target = np.array(place_of(case))
    nearest = min(times[state], key=lambda one: float(np.abs(np.array(place_of(one)) - target).sum()))
    return _scattered(times[state][nearest], rng), state


def _scattered(seconds: Floats, rng: np.random.Generator) -> Floats:
    """Return draws ``[DRAWS, 1]`` about the geometric mean of positive seconds; zero where all are."""
    seconds = seconds[np.isfinite(seconds)]
    if len(seconds) == 0 or seconds.max() <= 0:
        return np.zeros((DRAWS, 1))
    logs = np.log(np.maximum(seconds, 1e-9))
    if logs.max() - logs.min() > 5:  # some are next to nothing: a mean of logarithms would be, too
        logs = np.full(1, math.log(seconds.mean()))
    error = float(logs.std(ddof=1)) / math.sqrt(len(logs)) if len(logs) > 1 else SINGLE_SCATTER
    return np.asarray(np.exp(logs.mean() + error * rng.standard_normal((DRAWS, 1))))


def weakest(bases: Sequence[str]) -> str:
    """Return the weakest of some bases."""
    order = (MEASURED, ELSEWHERE, INTERPOLATED, EXTRAPOLATED)
    return max(bases, key=order.index, default=EXTRAPOLATED)
