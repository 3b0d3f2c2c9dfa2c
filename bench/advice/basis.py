"""Which stored runs a recommendation may rest on.

Tests: `tests/bench/advice/test_basis.py`.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from backends import DEVICES, Network, available
from backends.installed import install_command
from bench import results
from bench.advice.job import Job
from bench.advice.time_model import kind_of
from bench.basics.names import CASE, COMPARISON, OK
from bench.machine import machine_id, speed
from bench.machine.speed import Speed
from bench.results import Run
from bench.verdicts.conditions import unlike_between, unlike_speed
from bench.workload import Workload

FEW_SHAPES = 2
"""A run of so few shapes (network and number of rows) says little about other shapes."""


def runs_for(
    job: Job, run: str | Path | Run | Sequence[str | Path | Run] | None = None, root: Path | None = None
) -> tuple[Run, ...]:
    """Return the runs that were named; without names, choose for each device a run that compares backends for this job.

    The choice prefers, in this order: a run of this machine; a run of more than `FEW_SHAPES` shapes; a run of the job's
    kind of workload, then of the usual kind; one that was not interrupted; the latest. A run that was interrupted
    before it compared backends is never chosen, and a run of another machine only if this machine has none. If exactly
    this case was timed later, as ``--measure`` does, and under the same conditions, that run comes too.
    """
    if run is not None:
        asked = [run] if isinstance(run, str | Path | Run) else run
        return tuple(named if isinstance(named, Run) else results.resolve(named, root) for named in asked)
    stored = tuple(reversed(results.runs(root)))
    if here := _chosen(stored, job, lambda run: not elsewhere(run)):
        return _with_case(here, stored, job)
    anywhere = _chosen(stored, job, lambda run: True)
    return tuple(run for run in anywhere if run.machine == anywhere[0].machine)


def _with_case(chosen: tuple[Run, ...], stored: Sequence[Run], job: Job) -> tuple[Run, ...]:
    """Return the chosen runs, and the latest that timed exactly this case since then, if conditions are the same."""
    newest = max(run.created for run in chosen)
    for run in stored:
        if run.created >= newest and run.purpose == CASE and _is_of(run, job):
            joint = joined(run, chosen)
            return joint if set(chosen) <= set(joint) else chosen
    return chosen


def _is_of(run: Run, job: Job) -> bool:
    """Return whether a run of one case has times of several backends of a job's case, in the phases of the job."""
    plan = run.manifest.get("plan")
    groups = plan.get("groups") if isinstance(plan, dict) else None
    device = job.device or "cpu"
    return groups == [[*job.shape, job.dtype, device]] and run.rows_path.is_file() and _compared(run, job, device) > 0


def _chosen(stored: Sequence[Run], job: Job, fits: Callable[[Run], bool]) -> tuple[Run, ...]:
    """Return for each device the run to rest on, out of those stored, the latest first, that fit."""
    chosen: list[Run] = []
    for device in (job.device,) if job.device else DEVICES:
        planned = [run for run in stored if _plans(run, job, device) and fits(run)]
        planned.sort(key=lambda run: (_unlike(run, job), not run.manifest.get("complete", True)))
        chosen += _broadest(planned, job, device)
    return tuple(dict.fromkeys(chosen))


def elsewhere(run: Run) -> str:
    """Return a sentence that says why a run was not measured on this machine as it is now, '' if it was."""
    if run.machine != machine_id():
        return f"Measured on another machine, {run.machine}: here it may be otherwise."
    if said := speed.difference_here(Speed.from_dict(run.manifest.get("speed"))):
        return f"Measured on another machine, or this one has changed its speed: {said}."
    return ""


def joined(measured: Run, chosen: Sequence[Run]) -> tuple[Run, ...]:
    """Return the chosen runs that were measured under the same conditions as ``measured``, then ``measured`` itself."""
    return (*(stored for stored in chosen if _alike(stored, measured)), measured)


def _alike(stored: Run, measured: Run) -> bool:
    """Return whether the times of two runs may be in one table."""
    if stored.machine != measured.machine or unlike_speed(stored, measured):
        return False
    return not unlike_between(results.load(stored), results.load(measured))


def _broadest(fits: Sequence[Run], job: Job, device: str) -> list[Run]:
    """Return the first run that compares backends on more than `FEW_SHAPES` shapes, else the first on any shape."""
    narrow: list[Run] = []
    for run in fits:
        shapes = _compared(run, job, device)
        if shapes > FEW_SHAPES:
            return [run]
        if shapes and not narrow:
            narrow = [run]
    return narrow


def _compared(run: Run, job: Job, device: str) -> int:
    """Return on how many shapes a run has times of several backends, in the phases that a job's time comes from."""
    backends: dict[str, dict[tuple[str, int], set[str]]] = {phase: defaultdict(set) for phase in job.phases}
    for row in results.cells(run):
        if row["status"] == OK and row["phase"] in backends and (row["dtype"], row["device"]) == (job.dtype, device):
            backends[row["phase"]][row["network"], row["batch"]].add(row["backend"])
    shapes = [sum(len(names) > 1 for names in of_phase.values()) for of_phase in backends.values()]
    return min(shapes) if job.places else max(shapes)


def _plans(run: Run, job: Job, device: str) -> bool:
    """Return whether a run was planned to compare several backends on the device, in the phases of the job."""
    if not run.rows_path.is_file() or run.purpose != COMPARISON:
        return False
    plan = run.manifest.get("plan")
    if not isinstance(plan, dict):
        return device == "cpu"  # rows from elsewhere, without a plan: `_compared` looks at them
    groups, phases, backends = (plan.get(name) for name in ("groups", "phases", "backends"))
    if not (isinstance(groups, list) and isinstance(phases, list) and isinstance(backends, list)):
        return False
    fits = [group for group in groups if isinstance(group, list) and group[2:4] == [job.dtype, device]]
    return bool(fits) and len(backends) > 1 and job.is_measured_by(frozenset(map(str, phases)))


def _unlike(run: Run, job: Job) -> int:
    """Return 0 if most groups of a run are of the job's kind of workload, 1 if they are of the usual one, else 2."""
    plan = run.manifest.get("plan")
    groups = plan.get("groups") if isinstance(plan, dict) else None
    if not isinstance(groups, list) or not groups:
        return 1
    kinds = []
    for group in groups:
        with contextlib.suppress(ValueError, TypeError, IndexError):  # of a later version
            kinds.append(kind_of(str(group[0])))
    for place, kind in enumerate((job.workload.kind, Workload(Network((1, 1, 1))))):
        if sum(other == kind for other in kinds) > len(groups) / 2:
            return place
    return 2


def flags_of(workload: Workload) -> str:
    """Return the flags of ``run`` that measure a kind of workload, '' for the usual one."""
    network, usual = workload.network, Workload(Network(workload.network.sizes))
    flags = [
        f" --{name} {value}"
        for name, value, default in (
            ("activation", network.activation, usual.network.activation),
            ("loss", network.loss, usual.network.loss),
            ("optimizer", str(workload.optimizer), str(usual.optimizer)),
        )
        if value != default
    ]
    return "".join(flags) + (f" --rows-per-step {workload.rows_per_step}" if workload.rows_per_step else "")


def nothing_stored(job: Job) -> str:
    """Return what to say if no run fits: the command that makes one."""
    if len(here := available()) < 2:
        return (
            f"only {' '.join(here) or 'no backend'} is installed here, so there is nothing to choose between; "
            f"install another framework: {install_command('all')}, or add --measure to time the job with what is here"
        )
    more = ""
    if (job.dtype, job.device or "cpu") != ("float32", "cpu"):
        more = f" --dtypes {job.dtype} --devices {job.device or 'cpu'}"
    more += flags_of(job.workload)
    if job.places:
        phases = ",".join(job.phases)
        remedy = f"measure one: python -m bench run --phases {phases}{more}"
        return f"no stored run times {phases} of several backends; {remedy}"
    where = f"{job.dtype} on {job.device or 'any device'}"
    return f"no stored run times several backends in {where}; measure one: python -m bench run --quick{more}"
