"""How close each backend comes to the machine's limit, and how it compares with its framework's idiom and peers.

The cases are a handful from launch-bound to product-bound. They are measured as one campaign, so that tuned backends,
idioms and peers meet the machine in the same minutes, isolated and proven alike; a `Standing` is what comes of one
backend in one case.

Tests: `tests/bench/limits/test_limits.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import backends
from bench import machine
from bench.basics.errors import UsageError
from bench.limits import peers
from bench.limits.ceilings import Ceilings, Limit, limit_s
from bench.limits.corrections import Correction, Timed, corrected
from bench.measure.cell import Group
from bench.measure.plan import Plan, ordered
from bench.measure.timing import Effort
from bench.workload import Workload
from bench.workload.memory import check_memory, free_bytes, shortage

if TYPE_CHECKING:
    import pandas as pd

SHORTEST_LIMIT_S = 1e-6
"""Below it a call's own overhead is all there is to see, and a share of the limit says nothing."""


class LimitCase(NamedTuple):
    """A workload as text, rows of a batch and a phase."""

    network: str
    batch: int
    phase: str = "step"


CASES = (
    LimitCase("3-2-1", 3, "train"),
    LimitCase("3-2-1", 3),
    LimitCase("3-2-1", 16_384),
    LimitCase("3-2-1", 1_048_576),
    LimitCase("32-64-1", 65_536),
    LimitCase("64-64-64-1", 16_384),
    LimitCase("784-512-10", 4_096),
)
WORKLOADS = (
    LimitCase("4-32-16-4/adam", 10_000),
    LimitCase("28-300-300-300-300-300-1/momentum/rows_per_step=100", 2_000, "train"),
    LimitCase("784-128-10/relu/cross-entropy/adam/rows_per_step=128", 60_000, "train"),
    LimitCase("32-64-64-1/relu", 65_536),
)
"""Beyond descent on tanh and squared errors: published benchmarks, and what people train; for the targets alone."""

QUICK = (LimitCase("3-2-1", 3), LimitCase("3-2-1", 1_048_576), LimitCase("784-512-10", 4_096))
CUDA_CASES = (
    LimitCase("3-2-1", 3, "train"),
    LimitCase("3-2-1", 3),
    LimitCase("3-2-1", 1_048_576),
    LimitCase("3-2-1", 67_108_864),
    LimitCase("32-64-1", 1_048_576),
    LimitCase("784-512-10", 65_536),
)
"""What a GPU is held to, from a launch to its memory and its products."""

CUDA_QUICK = (CUDA_CASES[0], CUDA_CASES[2], CUDA_CASES[5])


@dataclass(frozen=True)
class Standing:
    """One backend in one case.

    Attributes:
        case: network, batch and phase.
        dtype: of all arrays.
        backend: its name; a peer's short one.
        role: ``best``, ``idiom``, ``variant``, ``plugin`` or ``peer``.
        seconds: of one call, of one step for ``train``; ``None`` if it failed.
        reason: why it failed.
        limit: what this machine allows; ``None`` if its ceilings are not known.
        idiom_s: seconds of the same framework's idiom.
        peer: the fastest peer, with its seconds.
        cores: that it kept busy.
        device: that all of the case ran on.
        copy_s: seconds of a plain copy of the batch into mapped memory, if the phase is ``place``.
    """

    case: LimitCase
    dtype: str
    backend: str
    role: str
    seconds: float | None
    reason: str = ""
    limit: Limit | None = None
    idiom_s: float | None = None
    peer: tuple[str, float] | None = None
    cores: float | None = None
    device: str = "cpu"
    copy_s: float | None = None

    @property
    def share(self) -> float | None:
        """Limit / time; ``None`` if either is unknown or the limit too short to mean anything."""
        if self.seconds is None or self.limit is None or self.limit.seconds < SHORTEST_LIMIT_S:
            return None
        return self.limit.seconds / self.seconds

    @property
    def core_seconds(self) -> float | None:
        """Seconds of a call, all cores together."""
        return None if self.seconds is None or self.cores is None else self.seconds * self.cores

    @property
    def times_idiom(self) -> float | None:
        """How many times faster than the idiom."""
        return None if self.seconds is None or self.idiom_s is None else self.idiom_s / self.seconds

    @property
    def times_copy(self) -> float | None:
        """How many times as long as a plain copy of the batch."""
        return None if self.seconds is None or self.copy_s is None else self.seconds / self.copy_s

    @property
    def times_peer(self) -> float | None:
        """How many times faster than the fastest peer."""
        return None if self.seconds is None or self.peer is None else self.peer[1] / self.seconds


def make_plan(
    cases: Sequence[LimitCase],
    dtypes: Sequence[str],
    names: Sequence[str],
    processes: int,
    timed_s: float,
    timeout_s: float,
    device: str = "cpu",
) -> Plan:
    """Return the campaign that measures some cases.

    Args:
        cases: what to measure; every phase asked for is timed in every case.
        dtypes: each in every case.
        names: what `backends.load` takes.
        processes: processes of each.
        timed_s: seconds of rounds for each cell.
        timeout_s: most seconds for one process.
        device: ``cpu`` or ``cuda``.

    Raises:
        UsageError: a batch that does not fit in memory. Of `WORKLOADS`, and on a GPU, it is left out if others fit.
    """
    groups: list[Group] = []
    left_out: list[str] = []
    free = free_bytes(device)
    for dtype, case in itertools.product(dtypes, cases):
        group = Group.make(case.network, case.batch, dtype, device)
        lack = shortage(group.workload, case.batch, dtype, device, len(names), free)
        if lack and (case in WORKLOADS or (device != "cpu" and case != cases[0])):
            left_out.append(f"{case.network} n={case.batch}: {lack}")
            continue
        check_memory(group.workload, case.batch, dtype, device, len(names), free)
        groups.append(group)
    return Plan(
        groups=ordered(groups),
        phases=tuple(phase for phase in ("step", "train") if any(case.phase == phase for case in cases)),
        backends=tuple(names),
        threads=(machine.default_threads(),),
        processes=processes,
        effort=Effort(timed_s=timed_s, warm_up_s=timed_s),
        timeout_s=timeout_s,
        own_cache=False,
        left_out=tuple(left_out),
    )


def contenders(with_peers: bool = True, device: str = "cpu") -> tuple[str, ...]:
    """Return what `backends.load` takes for all that is here and has the device; peers on the CPU alone."""
    entries = backends.catalogue("best", "plugin", "idiom", "variant")
    here = tuple(entry.name for entry in entries if device in entry.devices and entry.missing() is None)
    if device == "cpu":
        return (*here, *(peers.installed().values() if with_peers else ()))
    return tuple(name for name in here if device in backends.find(name).capabilities.devices)


def standings(
    frame: pd.DataFrame, cases: Sequence[LimitCase], ceilings: Ceilings | None
) -> tuple[list[Standing], list[Correction]]:
    """Return each backend's standing in each of some cases, fastest first within a case and those that failed last,
    and the limits that a time has beaten, which the standings have raised.

    Args:
        frame: one run as `bench.results.load` gives it; what was not measured is left out.
        cases: in the order wanted.
        ceilings: of the machine of that run.
    """
    contests = [
        contest
        for dtype in sorted(frame["dtype"].unique())
        for case in cases
        if (contest := _contest(frame, case, dtype)) is not None
    ]
    corrections: list[Correction] = []
    if ceilings is not None:
        times = [
            Timed(
                *contest.case[:2], contest.dtype, contest.case.phase, contest.threads, backend, seconds, contest.device
            )
            for contest in contests
            for backend, seconds in contest.seconds.items()
        ]
        ceilings, corrections = corrected(ceilings, times)
    roles = {entry.name: entry.role for entry in backends.catalogue()}
    return [standing for contest in contests for standing in _standings(contest, ceilings, roles)], corrections


class _Contest(NamedTuple):
    """One case in one dtype: the rows of all backends with the most threads, and the seconds of those with a time."""

    case: LimitCase
    dtype: str
    device: str
    threads: int
    rows: pd.DataFrame
    seconds: dict[str, float]


def _contest(frame: pd.DataFrame, case: LimitCase, dtype: str) -> _Contest | None:
    """Return what was measured of a case, ``None`` if nothing was."""
    from bench.verdicts.statistics import cell_estimates

    of_case = (frame["network"] == case.network) & (frame["batch"] == case.batch) & (frame["phase"] == case.phase)
    rows = frame[of_case & (frame["dtype"] == dtype) & (frame["arm"] == "")]
    if rows.empty:
        return None
    device = str(rows["device"].iloc[0])
    rows = rows[rows["device"] == device]
    threads = int(rows["threads"].max())
    rows = rows[rows["threads"] == threads]
    seconds = {str(cell.backend): float(cell.seconds) for cell in cell_estimates(rows).itertuples()}
    return _Contest(case, dtype, device, threads, rows, seconds)


def _standings(contest: _Contest, ceilings: Ceilings | None, roles: dict[str, str]) -> list[Standing]:
    case, dtype, device, threads, rows, seconds = contest
    limit = None
    if ceilings is not None:
        try:
            limit = limit_s(Workload.parse(case.network), case.batch, dtype, case.phase, ceilings, threads, device)
        except UsageError:
            limit = None  # no ceiling of this device was measured
    rivals = {name: seconds[name] for name in seconds if name in peers.BUILT_IN_PEERS or peers.short_name(name) != name}
    fastest = min(rivals, key=lambda name: rivals[name], default=None)
    ranked = []
    for name, of_backend in rows.groupby("backend", sort=False):
        failed = of_backend[of_backend["status"] != "ok"]
        role = roles.get(str(name), "plugin" if peers.short_name(str(name)) == name else "peer")
        if role != "best" and set(failed["status"]) == {"unavailable"}:
            continue  # one that does not have this dtype or workload is no rival in it
        good = of_backend[of_backend["status"] == "ok"]
        # A process has as many cores as threads; earlier runs may say more, of time that the kernel counted late.
        busy = good["cpu_per_wall"].clip(upper=good["threads"]).median()
        ranked.append(
            Standing(
                case=case,
                dtype=dtype,
                backend=peers.short_name(str(name)),
                role=role,
                seconds=seconds.get(str(name)),
                reason="" if failed.empty else f"{failed['status'].iloc[0]}: {failed['reason'].iloc[0]}",
                limit=limit,
                idiom_s=seconds.get(f"{name}-idiom"),
                peer=(peers.short_name(fastest), rivals[fastest]) if fastest else None,
                cores=float(busy) if busy > 0 else None,
                device=device,
            )
        )
    return sorted(ranked, key=lambda standing: (standing.seconds is None, standing.seconds or 0.0))
