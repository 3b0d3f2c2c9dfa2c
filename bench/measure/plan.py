"""What a campaign will measure: its cells and the processes that measure them, in order. Nothing runs here.

A *process* is a fresh interpreter that measures one backend with one number of threads. A *lap* runs one process of
each arm, side by side and in turns (`bench.measure.process`), so that what the machine does meanwhile hits all alike;
every other lap starts them in the reverse order. One backend runs twice, the second time as arm ``A/A``: what a
comparison sees between the two is chance.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from backends import Network
from bench.errors import UsageError
from bench.formats import counted
from bench.measure.estimate import step_s
from bench.measure.timing import Effort
from bench.memory import check_room, room_bytes, shortage
from bench.results import PHASES
from bench.work import flop

NETWORKS = ("3-2-1", "8-32-1", "64-64-64-1", "784-512-10")
"""By default: the tutorial's, a small one, a deep one, a wide one; also what predictions for other networks rest on."""

BATCHES = (1, 32, 1_024, 32_768, 1_048_576)
AA = "A/A"

LONGEST_STEP_S = 0.3


class Group(NamedTuple):
    """What is placed and proven once: a network, a batch, a dtype, a device."""

    network: str
    batch: int
    dtype: str
    device: str

    def __str__(self) -> str:
        return f"{self.network} n={self.batch} {self.dtype} {self.device}"


class Cell(NamedTuple):
    """A group and a phase of it, without a backend."""

    network: str
    batch: int
    dtype: str
    device: str
    phase: str

    @property
    def group(self) -> Group:
        """The cell without its phase."""
        return Group(*self[:4])

    def __str__(self) -> str:
        return f"{self.group} {self.phase}"


class Process(NamedTuple):
    """One process: its position in the campaign, its lap, its backend, arm and threads."""

    order: int
    lap: int
    backend: str
    arm: str
    threads: int

    def __str__(self) -> str:
        arm = f" {self.arm}" if self.arm else ""
        return f"{self.backend}{arm}, {counted(self.threads, 'thread')}, lap {self.lap}"


@dataclass(frozen=True)
class Plan:
    """A whole campaign, as stored in its manifest.

    Attributes:
        groups: what is placed, smaller first, so that what crashes by size crashes last.
        phases: measured of each group, out of `bench.results.PHASES`.
        backends: names, each run in every lap.
        aa: the backend that runs twice; '' for none.
        threads: thread counts, each a process of its own.
        processes: of each arm, one a lap.
        effort: how long to look at one cell.
        timeout_s: most seconds that one process may take.
        budget_s: seconds for the whole campaign; it stops after a whole lap when the next would not fit.
        seed: of the order of processes.
        left_out: groups of the default grid that were left out, and why.
        own_cache: whether compile caches start empty; else those of earlier runs on this machine are used.
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

    @property
    def arms(self) -> tuple[tuple[str, str, int], ...]:
        """Backend, arm and threads of each process of a lap."""
        names = [(name, "") for name in self.backends] + ([(self.aa, AA)] if self.aa else [])
        return tuple((name, arm, threads) for threads in self.threads for name, arm in names)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell of a process, in the order in which it is measured."""
        return tuple(Cell(*group, phase) for group in self.groups for phase in self.phases)

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
        return asdict(self) | {"groups": [list(group) for group in self.groups]}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Plan:
        """Return the plan that `to_dict` stored."""
        stored = {"processes" if key == "blocks" else key: value for key, value in stored.items()}  # of schema 1
        lists = {key: tuple(value) for key, value in stored.items() if isinstance(value, list)}
        groups = tuple(Group(*group) for group in stored["groups"])
        return cls(**{**stored, **lists, "groups": groups, "effort": Effort(**stored["effort"])})


def default_groups(
    networks: Sequence[Network],
    batches: Sequence[int],
    dtypes: Sequence[str],
    devices: Sequence[str],
    arms: int,
    longest_s: float = LONGEST_STEP_S,
    room: int | None = None,
) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Return the groups of those batches that memory and time allow, and a line for each that they do not.

    Args:
        networks: of the grid.
        batches: rows, in increasing order.
        dtypes: of the grid.
        devices: of the grid.
        arms: processes of a lap, which are alive at the same time.
        longest_s: seconds that a step may take.
        room: bytes free; by default `bench.memory.room_bytes`.

    Raises:
        UsageError: none is left.
    """
    rooms = {device: room_bytes(device) if room is None else room for device in devices}
    groups, left_out = [], []
    for device, dtype, network, batch in itertools.product(devices, dtypes, networks, batches):
        if lack := shortage(network, batch, dtype, device, arms, rooms[device]):
            left_out.append(f"{network} n={batch}: {lack}")
        elif step_s(network, batch) > longest_s:
            left_out.append(f"{network} n={batch}: a step is likely to take over {longest_s:g} s")
        else:
            groups.append(Group(str(network), batch, dtype, device))
    if not groups:
        check_room(networks[0], batches[0], dtypes[0], devices[0], arms, rooms[devices[0]])
        raise UsageError(f"nothing to measure: {left_out[0]}; ask for rows with --batches")
    return ordered(groups), tuple(left_out)


def asked_groups(
    networks: Sequence[Network],
    batches: Sequence[int],
    dtypes: Sequence[str],
    devices: Sequence[str],
    arms: int,
    room: int | None = None,
) -> tuple[Group, ...]:
    """Return every combination of what was asked for; arguments as for `default_groups`.

    Raises:
        UsageError: a batch that would not fit in memory, with the need, the room and what would fit.
    """
    rooms = {device: room_bytes(device) if room is None else room for device in devices}
    groups = []
    for device, dtype, network, batch in itertools.product(devices, dtypes, networks, batches):
        check_room(network, batch, dtype, device, arms, rooms[device])
        groups.append(Group(str(network), batch, dtype, device))
    return ordered(groups)


def ordered(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Return groups by the work of a step, least first."""
    return tuple(sorted(dict.fromkeys(groups), key=lambda group: flop(Network.parse(group.network), group.batch)))


def checked_phases(phases: Sequence[str]) -> tuple[str, ...]:
    """Return phases in the order in which they are measured.

    Raises:
        UsageError: one that does not exist.
    """
    for phase in phases:
        if phase not in PHASES:
            raise UsageError(f"no phase {phase!r}; expected some of {','.join(PHASES)}")
    return tuple(phase for phase in PHASES if phase in phases)
