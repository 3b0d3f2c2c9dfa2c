"""Which stored runs a recommendation may rest on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import results
from bench.machine import machine_id, speed
from bench.machine.speed import Speed
from bench.names import COMPARISON
from bench.results import Run
from bench.verdicts.conditions import unlike_between, unlike_speed


def runs_for(
    dtype: str,
    device: str,
    run: str | Path | Run | Sequence[str | Path | Run] | None = None,
    root: Path | None = None,
) -> tuple[Run, ...]:
    """Return the runs asked for, or the latest of this machine that compares backends over a grid of this dtype.

    A run of another machine is taken if this machine has none.
    """
    if run is not None:
        asked = [run] if isinstance(run, str | Path | Run) else run
        return tuple(named if isinstance(named, Run) else results.resolve(named, root) for named in asked)
    fits = [stored for stored in results.runs(root) if _covers(stored, dtype, device)]
    here = next((stored for stored in reversed(fits) if not elsewhere(stored)), None)
    return (here,) if here else tuple(fits[-1:])


def elsewhere(run: Run) -> str:
    """Return a sentence that says why a run was not measured on this machine as it is now, '' if it was."""
    if run.machine != machine_id():
        return f"Measured on another machine, {run.machine}: here it may be otherwise."
    if said := speed.difference_here(Speed.from_dict(run.manifest.get("speed"))):
        return f"Measured on another machine, or this one has changed its speed: {said}."
    return ""


def joined(measured: Run, chosen: Sequence[Run]) -> tuple[Run, ...]:
    """Return a run of exactly the case asked for, after those runs that were measured under its conditions."""
    return (*(stored for stored in chosen if _alike(stored, measured)), measured)


def _alike(stored: Run, measured: Run) -> bool:
    """Return whether the times of two runs may stand in one table."""
    if stored.machine != measured.machine or unlike_speed(stored, measured):
        return False
    return not unlike_between(results.load(stored), results.load(measured))


def _covers(run: Run, dtype: str, device: str) -> bool:
    """Return whether a run compares several backends over some grid of this dtype on this device."""
    if not run.rows_path.exists() or run.purpose != COMPARISON:
        return False
    plan = run.manifest.get("plan")
    if not plan:
        return True
    groups = [group for group in plan.get("groups", []) if list(group[2:4]) == [dtype, device]]
    return len(groups) > 2 and len(plan.get("backends", [])) > 1 and bool({"step", "train"} & set(plan["phases"]))


def nothing_stored(dtype: str, device: str) -> str:
    """Return what to say where no run fits: the command that makes one."""
    more = "" if (dtype, device) == ("float32", "cpu") else f" --dtypes {dtype} --devices {device}"
    return (
        f"no stored run times several backends in {dtype} on {device}; measure one: python -m bench run --quick{more}"
    )
