"""The backend for a network, a batch and a number of steps: the decision that everything else leads to.

`recommend` takes stored rows, the ledger of each backend and the places where the best one changes, and says which to
use, how sure that is, and what it rests on. No formatting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backends import Network, catalogue
from backends.installed import is_installed
from bench import results
from bench.advice import crossover, ledger
from bench.advice.basis import elsewhere, joined, nothing_stored, runs_for
from bench.advice.crossover import Change
from bench.advice.decision import decide
from bench.advice.time_model import ELSEWHERE, MEASURED
from bench.errors import UsageError
from bench.machine.environment import as_text, slowdowns, speed_variables
from bench.measure.process import OWN_VARIABLES
from bench.names import MARGIN
from bench.results import Run
from bench.verdicts.compare import failures
from bench.verdicts.conditions import busy, refuse, unlike_between, unlike_within

if TYPE_CHECKING:
    import pandas as pd

    from backends.registry import Entry

GRID_POINTS = 33
WIDEST = 4_096
"""How far around the batch asked for, as a factor, crossovers are looked for."""


@dataclass(frozen=True)
class Recommendation:
    """What to use, and why.

    Attributes:
        backend: ready for `backends.load`.
        outcome: ``fastest`` (every other is proven slower), ``tie`` or ``undecided``.
        candidates: those that may be the best, the likeliest first.
        network, batch, steps, dtype, device, threads: the job.
        cache: compile cache assumed, ``warm`` or ``cold``.
        total_s, low_s, high_s: of the backend, with a 95 % interval.
        basis: ``measured here``, ``measured elsewhere`` (on another machine), ``interpolated`` or ``extrapolated``.
        rows: one a backend, best first: ``backend``, ``total_s``, ``low_s``, ``high_s``, ``import_s``, ``compile_s``,
            ``place_s``, ``call_s``, ``step_s``, ``to_best``, ``verdict``, ``basis``, ``phase``, ``cache``.
        batch_changes: where the best backend changes along the batch, for this number of steps.
        step_changes: where it changes along the steps, for this batch.
        runs: ids of the runs that it rests on.
        machine: where they were measured.
        notes: what limits the answer, one sentence each.
    """

    backend: str
    outcome: str
    candidates: tuple[str, ...]
    network: str
    batch: int
    steps: int
    dtype: str
    device: str
    threads: int
    cache: str
    total_s: float
    low_s: float
    high_s: float
    basis: str
    rows: pd.DataFrame
    batch_changes: tuple[Change, ...]
    step_changes: tuple[Change, ...]
    runs: tuple[str, ...]
    machine: str
    notes: tuple[str, ...]


def recommend(
    network: Network | str | Sequence[int],
    batch: int,
    steps: int = 1000,
    dtype: str = "float32",
    device: str = "cpu",
    *,
    threads: int | None = None,
    cache: str = "warm",
    run: str | Path | Run | Sequence[str | Path | Run] | None = None,
    measure: bool = False,
    margin: float = MARGIN,
    root: Path | None = None,
) -> Recommendation:
    """Return the backend that ends a job first: import + compile + place + ``steps`` steps of training.

    Args:
        network: layer sizes, as a `Network`, ``"3-2-1"`` or ``(3, 2, 1)``.
        batch: rows of the batch.
        steps: of gradient descent.
        dtype: ``"float32"`` or ``"float64"``.
        device: ``"cpu"`` or ``"cuda"``.
        threads: that the job may use; by default the most that were measured.
        cache: whether the compile cache is ``"warm"`` (the job ran before) or ``"cold"``.
        run: the stored run or runs to rest on; by default the latest of this machine that has several backends.
        measure: time exactly this case first, in under 30 s.
        margin: totals this near to each other are a tie.
        root: folder of the stored runs.

    Raises:
        UsageError: no fitting measurement is stored; the message names the command that makes one.
        ValueError: a network, batch or number of steps that cannot be.
    """
    asked = _network(network)
    if batch < 1 or steps < 0:
        raise ValueError(f"batch must be 1 or more and steps 0 or more, got batch {batch}, steps {steps}")
    chosen = runs_for(dtype, device, run, root)
    if measure:
        from bench.measure.measure_case import measure_case

        chosen = joined(measure_case(asked, batch, dtype, device, threads, root), chosen)
    if not chosen:
        results.latest(root)  # says that there is none
        raise UsageError(nothing_stored(dtype, device))
    frame = results.load(*chosen, root=root)
    where = " ".join(dict.fromkeys(filter(None, map(elsewhere, chosen))))
    return from_rows(frame, asked, batch, steps, dtype, device, threads, cache, margin, where)


def from_rows(
    frame: pd.DataFrame,
    network: Network,
    batch: int,
    steps: int,
    dtype: str = "float32",
    device: str = "cpu",
    threads: int | None = None,
    cache: str = "warm",
    margin: float = MARGIN,
    where: str = "",
) -> Recommendation:
    """Return what `recommend` does, from rows in hand; ``where`` says why they are not this machine's, '' otherwise."""
    rows = frame[(frame["dtype"] == dtype) & (frame["device"] == device)]
    good = rows[(rows["status"] == "ok") & rows["phase"].isin(["step", "train"])]
    if good.empty:
        raise UsageError(nothing_stored(dtype, device))
    used = threads if threads and threads in set(good["threads"]) else int(good["threads"].max())
    rows = rows[rows["threads"] == used]
    unlike = unlike_within(rows) | (unlike_between(rows, rows[:0]) if rows["run"].nunique() > 1 else {})
    refuse(unlike, False, "name runs of like conditions with --run")
    batches = _grid(batch)
    case = (str(network), batch)
    found = ledger.jobs(rows, [case, *((str(network), b) for b in batches)], cache)
    found, missing = _usable(found)
    if not found:
        names = ", ".join(missing) or "all failed"
        raise UsageError(f"no backend of this run can be used here ({names}); see: python -m bench backends")
    table, decided = decide(found, steps, margin)
    if where:
        table["basis"] = table["basis"].replace(MEASURED, ELSEWHERE)
    best = table.iloc[0]
    along = [_beyond_first(job) for job in found]
    return Recommendation(
        backend=str(best["backend"]),
        outcome=str(decided["outcome"]),
        candidates=tuple(decided["backends"]),
        network=str(network),
        batch=batch,
        steps=steps,
        dtype=dtype,
        device=device,
        threads=used,
        cache=cache,
        total_s=float(best["total_s"]),
        low_s=float(best["low_s"]),
        high_s=float(best["high_s"]),
        basis=ledger.weakest(list(table["basis"])),
        rows=table,
        batch_changes=tuple(crossover.batch_changes(along, batches, steps, margin, around=batch)),
        step_changes=tuple(crossover.step_changes(found)),
        runs=tuple(dict.fromkeys(rows["run"])),
        machine=str(rows["machine"].iloc[0]),
        notes=(*filter(None, [where]), *_notes(found, rows, missing, cache, threads, used)),
    )


def _grid(batch: int) -> list[int]:
    """Return batches around the one asked for, evenly on a log scale."""
    low, high = max(1.0, batch / WIDEST), float(batch) * WIDEST
    return sorted({batch, *(round(b) for b in np.geomspace(low, high, GRID_POINTS))})


def _beyond_first(job: ledger.Job) -> ledger.Job:
    """Return a job without its first case."""
    from dataclasses import replace

    return replace(job, place_s=job.place_s[:, 1:], call_s=job.call_s[:, 1:], step_s=job.step_s[:, 1:])


def _usable(found: Sequence[ledger.Job]) -> tuple[list[ledger.Job], list[str]]:
    """Part jobs by whether their backend is installed here."""
    known = {entry.name: entry for entry in catalogue()}
    absent = {job.backend for job in found if not _is_here(job.backend, known.get(job.backend))}
    return [job for job in found if job.backend not in absent], [job.backend for job in found if job.backend in absent]


def _is_here(name: str, entry: Entry | None) -> bool:
    """Return whether a backend can be loaded here, as far as can be seen without importing it."""
    if entry:
        return not entry.missing()
    return ":" in name and is_installed(name.partition(":")[0])


def _notes(
    found: Sequence[ledger.Job], rows: pd.DataFrame, missing: Sequence[str], cache: str, asked: int | None, used: int
) -> tuple[str, ...]:
    notes = [*_environment(rows)]
    if asked is not None and asked != used:
        notes.append(f"Nothing was measured with {asked} threads; this is for {used}.")
    if missing:
        notes.append(f"Not installed here, so left out: {', '.join(missing)}.")
    if other := [
        job.backend for job in found if job.cache != cache and np.median(job.compile_s) > ledger.LEAST_COMPILE_S
    ]:
        notes.append(f"No {cache} compile cache was measured for {', '.join(other)}: compile times are for the other.")
    if stepwise := [job.backend for job in found if job.phase == "step"]:
        notes.append(f"train was not measured for {', '.join(stepwise)}: their steps are single calls.")
    if warning := busy(rows):
        notes.append(warning)
    gone = {line.split(",")[0] for line in failures(rows)} - {job.backend for job in found}
    if gone:
        notes.append(f"Failed, so left out: {', '.join(sorted(gone))}; see python -m bench compare.")
    return tuple(notes)


def _environment(rows: pd.DataFrame) -> Iterator[str]:
    """Yield what the environment of the rows, or another one now, does to the answer."""
    if "receipt_environment" not in rows or rows["receipt_environment"].dropna().empty:
        return
    then = str(rows["receipt_environment"].dropna().iloc[-1])
    variables = dict(part.partition("=")[::2] for part in then.split("; ") if part)
    features = str(rows["receipt_cpu_features"].dropna().iloc[-1]) if "receipt_cpu_features" in rows else ""
    for line in slowdowns(variables, features):
        yield f"Measured slower than need be: {line} and measure again."
    now = as_text(speed_variables(ours=OWN_VARIABLES))
    if now != then:
        yield f"Measured with {then or 'no variables that change speed'}; now there is {now or 'none'}."


def _network(network: Network | str | Sequence[int]) -> Network:
    if isinstance(network, Network):
        return network
    return Network.parse(network) if isinstance(network, str) else Network(tuple(network))
