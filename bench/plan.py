"""What a campaign will measure: cells, the blocks that hold them, their order, what it should take. Nothing runs here.

A *block* is one fresh process of one backend, one number of threads. Every round of the campaign runs one block of each
arm, and every other round in the reverse order (A B C, then C B A), so that slow drift of the machine hits all alike.
One backend runs twice, the second time as arm ``A/A``: what a comparison finds between the two is chance.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from backends import Network
from bench.errors import UsageError
from bench.problem import problem_bytes
from bench.results import PHASES
from bench.timing import Effort
from bench.work import flop

NETWORKS = ("3-2-1", "8-32-1", "784-512-10")
BATCHES = (1, 16, 256, 4_096, 65_536, 1_048_576)
AA = "A/A"

LONGEST_STEP_S = 0.3
MEMORY_SHARE = 0.8
LEAST_BLOCKS, MOST_BLOCKS = 2, 6
LEAST_TIMED_S, MOST_TIMED_S = 0.02, 0.3

# What things take on a plain machine, for the estimate before anything was measured.
PROCESS_S, IMPORT_S, FIRST_CALL_S, PHASE_S, FLOP_S, ROW_S, CALL_S = 0.9, 1.0, 0.15, 0.015, 1 / 3e10, 5e-9, 20e-6


class Group(NamedTuple):
    """What is placed and proven once: a network, a batch, a dtype, a device."""

    network: str
    batch: int
    dtype: str
    device: str

    def __str__(self) -> str:
        return f"{self.network} n={self.batch} {self.dtype} {self.device}"


class Cell(NamedTuple):
    """A group and a phase of it; the backend is the block's."""

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


class Block(NamedTuple):
    """One process: position in the campaign, which of its arm's blocks, backend, arm, threads."""

    order: int
    block: int
    backend: str
    arm: str
    threads: int

    def __str__(self) -> str:
        arm = f" {self.arm}" if self.arm else ""
        return f"{self.backend}{arm}, {self.threads} {'thread' if self.threads == 1 else 'threads'}, block {self.block}"


@dataclass(frozen=True)
class Plan:
    """A whole campaign, as stored in its manifest.

    Attributes:
        groups: what is placed, smaller first, so that what crashes by size crashes last.
        phases: measured of each group, out of `bench.results.PHASES`.
        backends: names, each run in every round.
        aa: the backend that runs twice; '' for none.
        threads: thread counts, each a block of its own.
        blocks: rounds of the campaign: blocks of each arm.
        effort: how long to look at one cell.
        timeout_s: most seconds that one block may take.
        budget_s: seconds for the whole campaign; it stops after a whole round when the next would not fit.
        seed: of the order of blocks.
        left_out: groups of the default grid that were left out, and why.
        own_cache: whether compile caches start empty; else those of earlier runs on this machine are used.
    """

    groups: tuple[Group, ...]
    phases: tuple[str, ...]
    backends: tuple[str, ...]
    aa: str = ""
    threads: tuple[int, ...] = (1,)
    blocks: int = 5
    effort: Effort = field(default_factory=Effort)
    timeout_s: float = 300.0
    budget_s: float | None = None
    seed: int = 0
    left_out: tuple[str, ...] = ()
    own_cache: bool = True

    @property
    def arms(self) -> tuple[tuple[str, str, int], ...]:
        """Backend, arm and threads of each block of a round."""
        names = [(name, "") for name in self.backends] + ([(self.aa, AA)] if self.aa else [])
        return tuple((name, arm, threads) for threads in self.threads for name, arm in names)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell of a block, in the order in which it is measured."""
        return tuple(Cell(*group, phase) for group in self.groups for phase in self.phases)

    def rounds(self) -> Iterator[tuple[Block, ...]]:
        """Yield the blocks of each round: shuffled once, then there and back."""
        arms = list(self.arms)
        random.Random(self.seed).shuffle(arms)
        for block in range(self.blocks):
            ordered = arms if block % 2 == 0 else arms[::-1]
            yield tuple(
                Block(block * len(arms) + k, block, backend, arm, threads)
                for k, (backend, arm, threads) in enumerate(ordered)
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the plan for JSON."""
        return asdict(self) | {"groups": [list(group) for group in self.groups]}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Plan:
        """Return the plan that `to_dict` stored."""
        lists = {key: tuple(value) for key, value in stored.items() if isinstance(value, list)}
        groups = tuple(Group(*group) for group in stored["groups"])
        return cls(**{**stored, **lists, "groups": groups, "effort": Effort(**stored["effort"])})


def default_groups(
    networks: Sequence[Network], batches: Sequence[int], dtypes: Sequence[str], devices: Sequence[str], room_bytes: int
) -> tuple[tuple[Group, ...], tuple[str, ...]]:
    """Return the groups of those batches that memory and time allow, and a line for each that they do not."""
    groups, left_out = [], []
    for device in devices:
        for dtype in dtypes:
            for network in networks:
                for batch in batches:
                    if (need := needed_bytes(network, batch, dtype)) > MEMORY_SHARE * room_bytes:
                        left_out.append(
                            f"{network} n={batch}: needs {need / 2**30:.1f} GiB, {room_bytes / 2**30:.1f} free"
                        )
                    elif step_s(network, batch) > LONGEST_STEP_S:
                        left_out.append(f"{network} n={batch}: a step is likely to take over {LONGEST_STEP_S} s")
                    else:
                        groups.append(Group(str(network), batch, dtype, device))
    return ordered(groups), tuple(left_out)


def asked_groups(
    networks: Sequence[Network], batches: Sequence[int], dtypes: Sequence[str], devices: Sequence[str], room_bytes: int
) -> tuple[Group, ...]:
    """Return every combination of what was asked for.

    Raises:
        UsageError: a batch that would not fit in memory, with the need and the room.
    """
    for network in networks:
        for batch in batches:
            for dtype in dtypes:
                if (need := needed_bytes(network, batch, dtype)) > MEMORY_SHARE * room_bytes:
                    raise UsageError(
                        f"batch {batch} of network {network} in {dtype} needs about {need / 2**30:.3g} GiB, "
                        f"{room_bytes / 2**30:.3g} GiB are free; ask for fewer rows with --batches"
                    )
    return ordered(
        [
            Group(str(network), batch, dtype, device)
            for device in devices
            for dtype in dtypes
            for network in networks
            for batch in batches
        ]
    )


def ordered(groups: Sequence[Group]) -> tuple[Group, ...]:
    """Return groups by the work of a step, least first."""
    return tuple(sorted(dict.fromkeys(groups), key=lambda group: flop(Network.parse(group.network), group.batch)))


def needed_bytes(network: Network, batch: int, dtype: str) -> int:
    """Return about what a block needs: the problem on the host, placed twice, and three times every layer's output."""
    layers = problem_bytes(network, batch, dtype) // (network.inputs + network.outputs) * sum(network.sizes[1:])
    return 3 * problem_bytes(network, batch, dtype) + 3 * layers


def step_s(network: Network, batch: int) -> float:
    """Return roughly what a step takes, for estimates alone."""
    return CALL_S + batch * ROW_S * sum(network.sizes[:-1]) + flop(network, batch) * FLOP_S


def block_s(plan: Plan, first: bool) -> float:
    """Return the seconds that one block should take; the ``first`` compiles with a cold cache."""
    total = PROCESS_S + IMPORT_S
    for group in plan.groups:
        network = Network.parse(group.network)
        one_s = step_s(network, group.batch)
        check_s = 0.02 + 20 * one_s
        total += 2 * check_s + (FIRST_CALL_S if first else FIRST_CALL_S / 3)
        for phase in plan.phases:
            call_s = one_s * {"step": 1.0, "train": 1.2, "update": 0.01, "place": 0.2}.get(phase, 0.5)
            total += PHASE_S + max(plan.effort.timed_s, plan.effort.least_rounds * call_s) + 3 * call_s
    return total


def estimate_s(plan: Plan) -> float:
    """Return the seconds that the whole campaign should take."""
    arms = len(plan.arms)
    return arms * (block_s(plan, first=True) + (plan.blocks - 1) * block_s(plan, first=False))


def fit(plan: Plan, budget_s: float, blocks: int | None = None, timed_s: float | None = None) -> Plan:
    """Return the plan with as many blocks, then as much time a cell, as the budget should hold, at least the least.

    Args:
        plan: what to measure.
        budget_s: seconds for all of it.
        blocks: where they were asked for.
        timed_s: seconds of rounds for each cell, where they were asked for.
    """
    plan = replace(plan, budget_s=budget_s)
    for count in [blocks] if blocks else range(MOST_BLOCKS, LEAST_BLOCKS - 1, -1):
        plan = replace(plan, blocks=count, effort=replace(plan.effort, timed_s=timed_s or LEAST_TIMED_S))
        if (spare_s := budget_s - estimate_s(plan)) >= 0:
            break
    share_s = max(spare_s, 0.0) / (len(plan.cells) * len(plan.arms) * plan.blocks)
    timed_s = timed_s or min(round(LEAST_TIMED_S + share_s, 3), MOST_TIMED_S)
    return replace(plan, effort=replace(plan.effort, timed_s=timed_s, warm_up_s=timed_s))


def checked_phases(phases: Sequence[str]) -> tuple[str, ...]:
    """Return phases in the order in which they are measured.

    Raises:
        UsageError: one that does not exist.
    """
    for phase in phases:
        if phase not in PHASES:
            raise UsageError(f"no phase {phase!r}; expected some of {','.join(PHASES)}")
    return tuple(phase for phase in PHASES if phase in phases)
