"""Limits that a measured time has beaten: the ceiling that was too low is named and raised.

A ceiling is the best rate that a probe reached, so it can be too low, and then a backend runs in less than its limit.
That time is itself a measurement of the rate: the ceiling is raised to it, and no share of a limit exceeds 100 %.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from bench import results
from bench.basics.errors import UsageError
from bench.basics.formats import counted, format_count, format_ratio
from bench.limits import ceilings as ceilings_file
from bench.limits.ceilings import Ceiling, Ceilings, Kind, Limit, limit_s
from bench.workload import Workload
from bench.workload.work import bytes_read_written, flop, tanh_count

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bench.results import Run

logger = logging.getLogger(__name__)

COPIED = ("place", "update")
ROUNDING = 1 + 1e-9


class Timed(NamedTuple):
    """What one backend took for one call of a phase (one step of ``train``)."""

    network: str
    rows: int
    dtype: str
    phase: str
    threads: int
    backend: str
    seconds: float
    device: str = "cpu"


@dataclass(frozen=True)
class Correction:
    """A limit that was beaten.

    Attributes:
        timed: the time that is below it.
        ceiling: what was too low: ``bandwidth``, ``product`` or ``tanh``.
        factor: by how much it was raised.
    """

    timed: Timed
    ceiling: Literal["bandwidth", "product", "tanh"]
    factor: float

    def __str__(self) -> str:
        timed = self.timed
        where = f"with {counted(timed.threads, 'thread')}" if timed.device == "cpu" else f"of {timed.device}"
        cell = f"{timed.network}, {format_count(timed.rows)} rows, {timed.dtype}, {timed.phase}"
        return (
            f"{timed.backend} at {cell} beat its limit: the ceiling of {self.ceiling} {where} was too low "
            f"and is raised {format_ratio(self.factor)}"
        )


def load(run: Run, root: Path | None = None) -> Ceilings | None:
    """Return the ceilings that were probed in a run; for a run of earlier versions, those stored for its machine.

    A file that does not hold ceilings is named in a warning, and passed over: the times of the run are as good without.
    """
    try:
        return ceilings_file.load_of(run) or ceilings_file.load(run.machine, root or results.results_root())
    except UsageError as error:
        logger.warning("%s", error)
        return None


def of_run(run: Run, frame: pd.DataFrame, root: Path | None = None) -> tuple[Ceilings | None, list[Correction]]:
    """Return a run's ceilings, raised by what its own rows reached, and what was raised.

    Args:
        run: the run.
        frame: its rows, or those that shares are wanted of.
        root: the folder of all runs.
    """
    from bench.verdicts.statistics import cell_estimates

    ceilings = load(run, root)
    if ceilings is None:
        return None, []
    return corrected(
        ceilings,
        (
            Timed(
                cell.network,
                int(cell.batch),
                cell.dtype,
                cell.phase,
                int(cell.threads),
                cell.backend,
                cell.seconds,
                cell.device,
            )
            for cell in cell_estimates(frame).itertuples()
        ),
    )


def corrected(ceilings: Ceilings, times: Iterable[Timed]) -> tuple[Ceilings, list[Correction]]:
    """Return ceilings under which no time is below its limit, and what was raised, largest factor first."""
    corrections: list[Correction] = []
    for timed in times:
        workload = Workload.parse(timed.network)
        try:
            limit = limit_s(workload, timed.rows, timed.dtype, timed.phase, ceilings, timed.threads, timed.device)
        except UsageError:
            continue  # nothing was probed for this dtype or number of threads
        if timed.seconds * ROUNDING >= limit.seconds or timed.seconds <= 0:
            continue
        corrections.append(Correction(timed, _too_low(limit), limit.seconds / timed.seconds))
        ceilings = replace(ceilings, measured=(*ceilings.measured, *_reached(workload, timed, limit)))
    corrections.sort(key=lambda correction: -correction.factor)
    return ceilings, corrections


def _too_low(limit: Limit) -> Literal["bandwidth", "product", "tanh"]:
    """Return the ceiling that a beaten limit came from."""
    binding: dict[str, Literal["bandwidth", "product", "tanh"]]
    binding = {"bytes": "bandwidth", "FLOPs": "product", "tanh": "tanh"}
    return binding[limit.binds]


def _reached(workload: Workload, timed: Timed, limit: Limit) -> list[Ceiling]:
    """Return the rates that a time proves, for the terms of its limit that exceed it.

    Of products and tanh, whose times add up, the one that binds gives way first, the other if that is not enough.
    """
    shape = f"{timed.network}, {timed.rows} rows, {timed.phase}"
    size = sum(bytes_read_written(workload, timed.rows, timed.dtype, timed.phase))

    def ceiling(kind: Kind, amount: float, seconds: float) -> Ceiling:
        moved, dtype = (size, "") if kind in ("read", "copy") else (0, timed.dtype)
        threads = timed.threads if timed.device == "cpu" else 0
        return Ceiling(kind, dtype, threads, shape, moved, amount / seconds, timed.backend, timed.device)

    reached = []
    if limit.bytes_s > timed.seconds:
        reached.append(ceiling("copy" if timed.phase in COPIED else "read", size, timed.seconds))
    if limit.flop_s + limit.tanh_s > timed.seconds:
        share = timed.seconds / (limit.flop_s + limit.tanh_s)
        flop_s, tanh_s = limit.flop_s * share, limit.tanh_s * share
        if limit.flop_s >= limit.tanh_s and timed.seconds > 2 * limit.tanh_s:
            flop_s, tanh_s = timed.seconds - limit.tanh_s, limit.tanh_s
        elif limit.tanh_s > limit.flop_s and timed.seconds > 2 * limit.flop_s:
            flop_s, tanh_s = limit.flop_s, timed.seconds - limit.flop_s
        if flop_s < limit.flop_s:
            reached.append(ceiling("product", flop(workload, timed.rows, timed.phase), flop_s))
        if tanh_s < limit.tanh_s:
            reached.append(ceiling("tanh", tanh_count(workload, timed.rows, timed.phase), tanh_s))
    return reached
