"""What a campaign will measure: its cells and the processes that measure them, in order.

A *process* is a fresh interpreter that measures one backend with one number of threads. A *lap* runs one process of
each arm, side by side and in turns (`bench.measure.lap`), so that what the machine does meanwhile hits all alike;
every other lap starts them in the reverse order. One backend runs twice, the second time as arm ``A/A``: what a
comparison sees between the two is chance.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from backends import Network
from bench.basics.errors import UsageError
from bench.basics.names import AA, BASE, PHASES
from bench.measure.cell import Cell, Group, Process
from bench.measure.estimate import step_s
from bench.measure.timing import Effort
from bench.workload import Workload
from bench.workload.memory import check_memory, free_bytes, shortage
from bench.workload.work import flop

NETWORKS = tuple(map(Network.parse, ("3-2-1", "8-32-1", "64-64-64-1", "784-512-10")))
"""By default: the tutorial's, a small one, a deep one, a wide one; also what predictions for other networks rest on."""

ROWS = (1, 32, 1_024, 32_768, 1_048_576)
LONGEST_STEP_S = 1.0


@dataclass(frozen=True)
class Plan:
    """A whole campaign, as stored in its manifest.

    Attributes:
        groups: what is placed, smaller first, so that what crashes by size crashes last.
        phases: measured of each group, out of `bench.basics.names.PHASES`.
        backends: names, each run in every lap.
        aa: the backend that runs twice; '' for none.
        against: what each backend is held against, as a second arm ``base``: a label of other code; '' for nothing.
        versions: further arms of each backend, each of other code.
        thread_search: groups whose single steps and training are measured with every number of threads from the second
            lap on, all else with the last alone; if empty, everything is measured with every number.
        threads: thread counts, each in a separate process.
        processes: of each arm, one a lap; the most of them if the campaign is adaptive.
        effort: how long to look at one cell.
        timeout_s: most seconds that a process may work without a word; more, and it hangs.
        budget_s: seconds for the whole campaign; it stops after a whole lap when the next would not fit.
        seed: of the order of processes.
        left_out: groups of the default grid that were left out, and why.
        own_cache: whether compile caches start empty; else those of earlier runs on this machine are used.
        adaptive: whether laps after the second measure only what is not decided yet (`bench.measure.adaptive`).
    """

    groups: tuple[Group, ...]
    phases: tuple[str, ...]
    backends: tuple[str, ...]
    aa: str = ""
    threads: tuple[int, ...] = (1,)
    processes: int = 5
    effort: Effort = field(default_factory=Effort)
    timeout_s: float = 300.0
    budget_s: float | None = None
    seed: int = 0
    left_out: tuple[str, ...] = ()
    own_cache: bool = True
    adaptive: bool = False
    against: str = ""
    versions: tuple[str, ...] = ()
    thread_search: tuple[Group, ...] = ()

    @property
    def arms(self) -> tuple[tuple[str, str, int], ...]:
        """Backend, arm and threads of each process of a lap."""
        names = [(name, "") for name in self.backends] + ([(self.aa, AA)] if self.aa else [])
        names += [(name, BASE) for name in self.backends if self.against]
        names += [(name, version) for version in self.versions for name in self.backends]
        return tuple((name, arm, threads) for threads in self.threads for name, arm in names)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell of a process, in the order in which it is measured."""
        return tuple(Cell(group, phase) for group in self.groups for phase in self.phases)

    def laps(self) -> Iterator[tuple[Process, ...]]:
        """Yield the processes of each lap: shuffled once, then there and back."""
        arms = list(self.arms)
        random.Random(self.seed).shuffle(arms)
        for lap in range(self.processes):
            ordered = arms if lap % 2 == 0 else arms[::-1]
            yield tuple(
                Process(lap * len(arms) + k, lap, backend, arm, threads)
                for k, (backend, arm, threads) in enumerate(ordered)
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the plan for JSON."""
        written = {name: [group.stored() for group in getattr(self, name)] for name in ("groups", "thread_search")}
        return asdict(replace(self, groups=(), thread_search=())) | written

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Plan:
        """Return the plan that `to_dict` stored."""
        fields = {"processes" if key == "blocks" else key: value for key, value in stored.items()}  # of schema 1
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
        groups = {
            name: tuple(Group.make(*group) for group in stored.get(name, ())) for name in ("groups", "thread_search")
        }
        return cls(**{**fields, **groups, "effort": Effort(**stored["effort"])})


def default_groups(
    workloads: Sequence[Workload | Network],
    rows: Sequence[int],
    dtypes: Sequence[str],
    devices: Sequence[str],
    arms: int,
    longest_s: float = LONGEST_STEP_S,
    free: int | None = None,
) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Return the groups of those rows that memory and time allow, and a line for each that they do not.

    Args:
        workloads: of the grid: networks, and how they are trained.
        rows: of the batches, in increasing order.
        dtypes: of the grid.
        devices: of the grid.
        arms: processes of a lap, which are alive at the same time.
        longest_s: seconds that a step of the fastest backend may take.
        free: bytes free; by default `bench.workload.memory.free_bytes`.

    Raises:
        UsageError: none is left.
    """
    free_on = {device: free_bytes(device) if free is None else free for device in devices}
    groups, left_out = [], []
    for device, dtype, workload, count in itertools.product(devices, dtypes, map(Workload.of, workloads), rows):
        if lack := shortage(workload, count, dtype, device, arms, free_on[device]):
            left_out.append(f"{workload} n={count}: {lack}")
        elif step_s(workload, count, dtype) > longest_s:
            left_out.append(f"{workload} n={count}: a step is likely to take over {longest_s:g} s")
        elif count < (workload.rows_per_step or 1):
            left_out.append(f"{workload} n={count}: fewer rows than a step takes")
        else:
            groups.append(Group.make(workload, count, dtype, device))
    if not groups:
        check_memory(workloads[0], rows[0], dtypes[0], devices[0], arms, free_on[devices[0]])
        raise UsageError(f"nothing to measure: {left_out[0]}; ask for rows with --batches")
    return ordered(groups), tuple(left_out)


def asked_groups(
    workloads: Sequence[Workload | Network],
    rows: Sequence[int],
    dtypes: Sequence[str],
    devices: Sequence[str],
    arms: int,
    free: int | None = None,
) -> tuple[Group, ...]:
    """Return every combination of what was asked for; arguments as for `default_groups`.

    Raises:
        UsageError: a batch that would not fit in memory, with the need, the free memory and what would fit; or one of
            fewer rows than a step takes.
    """
    free_on = {device: free_bytes(device) if free is None else free for device in devices}
    groups = []
    for device, dtype, workload, count in itertools.product(devices, dtypes, map(Workload.of, workloads), rows):
        if count < (workload.rows_per_step or 1):
            raise UsageError(
                f"--rows-per-step {workload.rows_per_step} is more than the {count} rows of the batch; take {count} or "
                "fewer, or more rows"
            )
        check_memory(workload, count, dtype, device, arms, free_on[device])
        groups.append(Group.make(workload, count, dtype, device))
    return ordered(groups)


def ordered(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Return groups by the work of a step, least first."""
    return tuple(sorted(dict.fromkeys(groups), key=lambda group: flop(group.workload, group.rows)))


def checked_phases(phases: Sequence[str]) -> tuple[str, ...]:
    """Return phases in the order in which they are measured.

    Raises:
        UsageError: one that does not exist.
    """
    for phase in phases:
        if phase not in PHASES:
            raise UsageError(f"no phase {phase!r}; expected some of {','.join(PHASES)}")
    return tuple(phase for phase in PHASES if phase in phases)
