"""What a whole job costs on one backend: import + compile + place + one call + steps x step, as draws.

    total = import_s + compile_s + place_s + call_s + steps * step_s

``step_s`` is a step inside `train`, which is how the steps of a job are taken; ``call_s`` is what one call from Python
costs beyond that, the difference of ``step`` and a step inside ``train``. If ``train`` was not measured, ``step_s``
is that of ``step`` and ``call_s`` is zero. A job with a new batch for each step, or a pass forward, takes ``place`` and
``step`` or ``forward`` each time; then ``place_s`` and ``call_s`` are zero.

Each part is an array of draws, whose scatter says how sure it is: import and compile scatter as they did from process
to process, place and step as `bench.advice.time_model` says. What a lap added to all backends alike
(`bench.verdicts.laps`) is in the draws of every backend, with the same values.

Tests: `tests/bench/advice/test_recommendation.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.advice.compiling import compile_s, compile_times, scattered
from bench.advice.fewer_threads import with_inferred
from bench.advice.job import Job
from bench.advice.phases import phase_s, placing_s, tail
from bench.advice.time_model import (
    CARRIED,
    DRAWS,
    ELSEWHERE,
    ESTIMATED,
    EXTRAPOLATED,
    INTERPOLATED,
    MEASURED,
    Floats,
    Shape,
)
from bench.basics.names import MARGIN
from bench.results import timed
from bench.verdicts import statistics
from bench.verdicts.laps import without_laps
from bench.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

LAPS = 1 << 32
"""Part of the seed of what laps added, in the place that a backend's number has."""


@dataclass(frozen=True)
class Cost:
    """One backend's parts of a total, for a list of shapes; draws are ``[DRAWS, shapes]``, in seconds.

    Attributes:
        backend: its name.
        import_s: draws, the same for every shape.
        compile_s: draws, the same for every shape: those of the first.
        place_s: of every shape.
        call_s: of every shape.
        step_s: of every shape.
        basis: what the step of the first shape rests on.
        phase: ``train``, ``step`` or ``forward``: where ``step_s`` comes from.
        cache: the compile cache that ``compile_s`` was measured with; it may not be the one asked for.
        device: ``"cpu"`` or ``"cuda"``.
        threads: that it uses for the first shape.
        label: its name among the backends compared; another one than ``backend`` if that is there on two devices.
        p99_s: 99th percentile of a step of the first shape, over rounds of one or more calls; NaN if too few rounds of
            the nearest measured shape were kept to tell.
        bases: what the step of each shape rests on.
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
    device: str = "cpu"
    threads: int = 1
    label: str = ""
    p99_s: float = math.nan
    bases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.backend)

    @property
    def fixed_s(self) -> Floats:
        """All but the steps."""
        return self.import_s + self.compile_s + self.place_s + self.call_s

    def total_s(self, steps: float) -> Floats:
        """Return draws of the total."""
        return self.fixed_s + steps * self.step_s


def costs(
    frame: pd.DataFrame, shapes: Sequence[Shape], cache: str = "warm", seed: int = 0, job: Job | None = None
) -> list[Cost]:
    """Return what it costs on each backend that has times, with each device and number of threads.

    Args:
        frame: rows of one dtype, as `bench.results.load` gives them.
        shapes: the shape asked for first, then any others.
        cache: the compile cache to assume, ``warm`` or ``cold``.
        seed: of the draws.
        job: what is done with each batch; by default training on the same one.
    """
    good = timed(frame, arm="")
    phases = job.phases if job else ("step", "train")
    if job and job.places:
        good = good.assign(network=good["network"].map(_not_trained))
    cells, scatter = without_laps(statistics.cell_estimates(good[good["phase"].isin(phases)]))
    cells = with_inferred(cells)
    lap = np.exp(scatter * np.random.default_rng([seed, LAPS]).standard_normal((DRAWS, 1)))
    several = good["device"].nunique() > 1
    known = []
    for number, (key, rows) in enumerate(good.groupby(["backend", "device", "threads"], sort=False)):
        backend, device, threads = str(key[0]), str(key[1]), int(key[2])
        of_backend = (cells["backend"] == backend) & (cells["device"] == device) & (cells["threads"] == threads)
        rng = np.random.default_rng([seed, number])
        parts = _parts(rows, cells[of_backend], shapes, cache, rng, job is not None and job.places)
        if parts:
            parts |= {name: lap * parts[name] for name in ("call_s", "step_s")}
            label = f"{backend} on {device}" if several else backend
            known.append(Cost(backend, **parts, device=device, threads=threads, label=label))
    return known


def of_each(frame: pd.DataFrame, shapes: Sequence[Shape], cache: str = "warm") -> list[list[Cost]]:
    """Return for each shape what `costs` returns for it alone, from one pass over the rows."""
    known = costs(frame, shapes, cache)
    compiled = {
        key: compile_times(rows)
        for key, rows in timed(frame, arm="").groupby(["backend", "device", "threads"], sort=False)
    }
    each = []
    for place, shape in enumerate(shapes):
        rng = np.random.default_rng(place)
        of_shape = []
        for cost in known:
            compiling_s, _ = compile_s(compiled[cost.backend, cost.device, cost.threads], shape, cache, rng)
            parts: dict[str, Any] = {name: getattr(cost, name)[:, [place]] for name in ("place_s", "call_s", "step_s")}
            basis = cost.bases[place]
            of_shape.append(replace(cost, compile_s=compiling_s, basis=basis, bases=(basis,), **parts))
        each.append(of_shape)
    return each


def widened(cost: Cost, scatter: float) -> Cost:
    """Return a cost with all its parts multiplied by a common random factor, whose log has this standard deviation."""
    rng = np.random.default_rng(list(cost.label.encode()))
    around = np.exp(scatter * rng.standard_normal((DRAWS, 1)))
    names = ("import_s", "compile_s", "place_s", "call_s", "step_s")
    wider: dict[str, Any] = {name: getattr(cost, name) * around for name in names}
    return replace(cost, **wider)


def with_threads(known: Sequence[Cost], threads: int | None) -> list[Cost]:
    """Return the costs with this many threads, with the most that are known if nothing was measured with this many.

    They are chosen here and not among the measured rows: what fewer threads take follows from what the most do
    (`bench.advice.fewer_threads`).
    """
    numbers = {cost.threads for cost in known}
    if threads is None or not numbers:
        return list(known)
    chosen = threads if threads in numbers else max(numbers)
    return [cost for cost in known if cost.threads == chosen]


def with_best_threads(known: Sequence[Cost], steps: float) -> list[Cost]:
    """Return one cost a backend and device, for each shape with the number of threads that has the least total.

    Fewer threads than the most that were tried are considered where they were measured. Elsewhere they are if the most
    were not measured either, and if the gain in a step that their neighbours promise is beyond the margin.
    """
    groups: dict[str, list[Cost]] = {}
    for cost in known:
        groups.setdefault(cost.label, []).append(cost)
    return [_joined(group, steps) for group in groups.values()]


def _joined(group: Sequence[Cost], steps: float) -> Cost:
    if len(group) == 1:
        return group[0]
    totals = np.array([np.median(cost.total_s(steps), axis=0) for cost in group])
    most = max(range(len(group)), key=lambda number: group[number].threads)
    for number, cost in enumerate(group):
        if number != most:
            totals[number, ~_considered(cost, group[most])] = np.inf
    best = totals.argmin(axis=0)
    joined: dict[str, Any] = {
        name: np.stack([getattr(group[number], name)[:, shape] for shape, number in enumerate(best)], axis=1)
        for name in ("place_s", "call_s", "step_s")
    }
    first: Cost = group[int(best[0])]
    return replace(first, **joined)


def _considered(few: Cost, most: Cost) -> NDArray[np.bool_]:
    """Return for which shapes fewer threads are considered beside the most."""
    step_s, most_step_s = (np.median(cost.step_s, axis=0) for cost in (few, most))
    measured, inferred = (np.array([basis == it for basis in few.bases]) for it in (MEASURED, INTERPOLATED))
    unknown = np.array([basis != MEASURED for basis in most.bases])
    return np.asarray(measured | (inferred & unknown & (step_s < (1 - MARGIN) * most_step_s)))


def _parts(
    rows: pd.DataFrame,
    cells: pd.DataFrame,
    shapes: Sequence[Shape],
    cache: str,
    rng: np.random.Generator,
    places: bool,
) -> dict[str, Any]:
    """Return the fields of a `Cost`, from the rows and estimates of one backend; empty if a phase is missing."""
    of_phase = {str(phase): estimates for phase, estimates in cells.groupby("phase", sort=False)}
    steps = (_steps_that_place if places else _steps_on_one_batch)(rows, of_phase, shapes, rng)
    if not steps:
        return {}
    compiled = ("forward",) if steps["phase"] == "forward" else ("step", "train")
    compiling_s, state = compile_s(compile_times(rows, compiled), shapes[0], cache, rng)
    importing_s = rows.groupby(["run", "process"])["import_s"].first().to_numpy(float)
    return steps | {"import_s": scattered(importing_s, rng), "compile_s": compiling_s, "cache": state}


def _steps_that_place(
    rows: pd.DataFrame, of_phase: dict[str, pd.DataFrame], shapes: Sequence[Shape], rng: np.random.Generator
) -> dict[str, Any]:
    """Return what the steps cost if each places a batch first; empty if a phase is missing."""
    phase = next((name for name in ("forward", "step") if name in of_phase), "")
    if not phase or "place" not in of_phase:
        return {}
    alone_s, bases = phase_s(of_phase[phase], shapes, rng)
    placing_each_s, _ = phase_s(of_phase["place"], shapes, rng)
    parts_s = {phase: float(np.median(alone_s[:, 0])), "place": float(np.median(placing_each_s[:, 0]))}
    step_s = alone_s + placing_each_s
    slow_s = sum(tail(rows, name, shapes[0]) * seconds for name, seconds in parts_s.items())
    p99_s = slow_s / sum(parts_s.values()) * float(np.median(step_s[:, 0]))
    nothing_s = np.zeros_like(step_s)
    return _with_bases(bases) | {
        "phase": phase, "step_s": step_s, "call_s": nothing_s, "place_s": nothing_s, "p99_s": p99_s
    }  # fmt: skip


def _steps_on_one_batch(
    rows: pd.DataFrame, of_phase: dict[str, pd.DataFrame], shapes: Sequence[Shape], rng: np.random.Generator
) -> dict[str, Any]:
    """Return what the steps cost if all train on a batch that was placed once; empty if none was timed."""
    phase = next((name for name in ("train", "step") if name in of_phase), "")
    if not phase:
        return {}
    step_s, bases = phase_s(of_phase[phase], shapes, rng)
    p99_s = tail(rows, phase, shapes[0]) * float(np.median(step_s[:, 0]))
    call_s = np.zeros_like(step_s)
    if phase == "train" and "step" in of_phase:
        call_s = np.maximum(phase_s(of_phase["step"], shapes, rng)[0] - step_s, 0.0)
    place_s = placing_s(rows, shapes, rng)
    return _with_bases(bases) | {
        "phase": phase, "step_s": step_s, "call_s": call_s, "place_s": place_s, "p99_s": p99_s
    }  # fmt: skip


def _with_bases(bases: Sequence[str]) -> dict[str, Any]:
    """Return what the steps rest on."""
    return {"basis": bases[0], "bases": tuple(bases)}


def _not_trained(network: str) -> str:
    """Return a network without its optimiser, since neither placing nor a pass forward depends on it."""
    workload = Workload.parse(network)
    return network if workload.rows_per_step else str(workload.network)


def weakest(bases: Sequence[str]) -> str:
    """Return the weakest of some bases."""
    order = (MEASURED, CARRIED, ELSEWHERE, INTERPOLATED, EXTRAPOLATED, ESTIMATED)
    return max(bases, key=order.index, default=EXTRAPOLATED)
