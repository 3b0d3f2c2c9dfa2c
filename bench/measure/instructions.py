"""What the process of a worker is told, and its form on the line to it. Standard library only.

The networks stay text here, because reading them would import numpy, whose import is part of what the worker times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Assignment:
    """One cell for one process to measure.

    Attributes:
        network: the workload, as text.
        rows: of the batch.
        dtype: of the arrays.
        device: that computes.
        phase: that is timed.
        position: of the cell in the campaign, the same for all arms.
        timed_s: wall time to spend in its rounds.
    """

    network: str
    rows: int
    dtype: str
    device: str
    phase: str
    position: int
    timed_s: float


@dataclass(frozen=True)
class Instructions:
    """All that a worker is told.

    Attributes:
        order, lap, backend, arm, threads: as `bench.measure.cell.Process` has them.
        assignments: cells to measure, in order.
        effort: fields of `bench.measure.timing.Effort`.
        cpus: logical processors to run on.
        cached: groups, as text, that this arm has compiled before.
        steps: by group, as text: steps in a call of ``train``, as the backend's first process chose them.
        calls: by group, as text, and phase: seconds of a call in an earlier process of this arm.
        machine, commit, dirty, environment: as the campaign saw them.
        benchmarks: the file for pytest-benchmark's own JSON.
    """

    order: int
    lap: int
    backend: str
    arm: str
    threads: int
    assignments: tuple[Assignment, ...]
    effort: Mapping[str, Any]
    cpus: tuple[int, ...]
    cached: frozenset[str]
    steps: Mapping[str, int]
    calls: Mapping[str, Mapping[str, float]]
    machine: str
    commit: str
    dirty: bool
    environment: str
    benchmarks: str

    def to_json(self) -> str:
        """Return one line of JSON."""
        return json.dumps(asdict(self) | {"cached": sorted(self.cached)})

    @classmethod
    def from_json(cls, line: str) -> Instructions:
        """Return the instructions that `to_json` wrote."""
        fields = json.loads(line)
        assignments = tuple(Assignment(**cell) for cell in fields["assignments"])
        return cls(
            **{
                **fields,
                "assignments": assignments,
                "cpus": tuple(fields["cpus"]),
                "cached": frozenset(fields["cached"]),
            }
        )
