"""Which stored runs a recommendation may rest on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import results
from bench.results import Run

LABELS_OF_TRIALS = ("certify", "validate", "limits", "one case")
"""Runs that the instrument makes to try itself, or of a single case: used where they are asked for alone."""


def runs_for(
    dtype: str,
    device: str,
    run: str | Path | Run | Sequence[str | Path | Run] | None = None,
    root: Path | None = None,
) -> tuple[Run, ...]:
    """Return the runs asked for, or the latest of this machine that compares backends over a grid of this dtype."""
    if run is not None:
        asked = [run] if isinstance(run, str | Path | Run) else run
        return tuple(one if isinstance(one, Run) else results.resolve(one, root) for one in asked)
    from bench.machine import machine_id

    fits = [one for one in results.runs(root) if _covers(one, dtype, device)]
    own = [one for one in fits if one.machine == machine_id()]
    return tuple((own or fits)[-1:])


def beside(measured: Run, chosen: Sequence[Run]) -> tuple[Run, ...]:
    """Return a run of the very case, after those of the same machine that it may stand beside."""
    return (*(one for one in chosen if one.machine == measured.machine), measured)


def _covers(run: Run, dtype: str, device: str) -> bool:
    """Return whether a run compares several backends over some grid of this dtype on this device."""
    if not run.rows_path.exists() or run.label in LABELS_OF_TRIALS:
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
