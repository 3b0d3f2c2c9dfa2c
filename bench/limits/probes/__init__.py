"""Measure the ceilings of this machine: memory bandwidth, matrix products and tanh, each by the best code there is.

One fresh process for each library and number of threads, since thread pools disturb each other; the best rate of any
library is the ceiling. What a probe does is in the module of its library; how it is timed, in `child`.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from backends.installed import is_installed
from bench.basics.errors import UsageError
from bench.basics.formats import counted
from bench.basics.names import DTYPES
from bench.limits.ceilings import Ceiling, Ceilings, load_of, save_of
from bench.limits.children import ChildFailed, cpus_text, records_of
from bench.limits.probes.child import CUDA
from bench.machine import default_threads, fingerprint, machine_id, physical_cores
from bench.measure.manifest import stored_plan
from bench.results import Run

LIBRARIES = ("numpy", "numba", "torch", "jax")
SECONDS = 0.2
"""How long each probe is repeated; its best time counts, so longer finds a quieter moment, never a slower rate."""

BRIEF_SECONDS = 0.03
"""The same for the few probes that a campaign makes between its laps."""

MOST_SHARE = 0.05
"""Of a campaign's time that its probes may take, beyond one probe of each library."""

logger = logging.getLogger(__name__)


def measure(
    threads: Sequence[int] | None = None,
    seconds: float = SECONDS,
    libraries: Iterable[str] | None = None,
    progress: Callable[[float, str], None] = lambda fraction, text: None,
    known: Ceilings | None = None,
    devices: Sequence[str] = ("cpu",),
) -> Ceilings:
    """Return this machine's ceilings, measured now.

    Args:
        threads: thread counts; by default one and one for each core.
        seconds: to repeat each probe.
        libraries: out of `LIBRARIES`; by default those installed, numpy always.
        progress: called with the fraction done and what comes next.
        known: of this machine, measured before: what was faster then stays, since a busy machine only slows a probe.
        devices: ``cpu``, ``cuda`` or both.

    Raises:
        UsageError: more threads than cores, a library that has no probes or is not here, or a probe that cannot run.
    """
    cores = len(physical_cores())
    counts = sorted(set(threads or (1, default_threads())))
    if counts[0] < 1 or counts[-1] > cores:
        raise UsageError(f"threads must be between 1 and the {cores} cores of this machine, got {counts}")
    used = _asked(tuple(libraries)) if libraries else installed(LIBRARIES)
    children = [(library, count) for count in counts for library in used if "cpu" in devices]
    children += [(CUDA, 1)] * (CUDA in devices)
    ceilings: list[Ceiling] = [*known.measured] if known else []
    for k, (library, count) in enumerate(children):
        progress(k / len(children), f"{library}, {counted(count, 'thread')}" if library != CUDA else CUDA)
        ceilings += _child(library, count, seconds)
    return Ceilings(machine_id(), _now(), fingerprint(), best(ceilings))


def best(measured: Iterable[Ceiling]) -> tuple[Ceiling, ...]:
    """Return the fastest of each kind, dtype, threads and shape, raised if a harder case was faster still.

    A core can do in a small working set whatever it did in a larger one, and several cores whatever one did.
    """
    fastest: dict[tuple[object, ...], Ceiling] = {}
    for ceiling in measured:
        key = (ceiling.device, ceiling.kind, ceiling.dtype, ceiling.threads, ceiling.shape, ceiling.working_set_bytes)
        if key not in fastest or fastest[key].per_second < ceiling.per_second:
            fastest[key] = ceiling
    return tuple(_raised(ceiling, list(fastest.values())) for ceiling in fastest.values())


def _raised(ceiling: Ceiling, others: list[Ceiling]) -> Ceiling:
    """Return the ceiling with the best rate of the same work on no more threads and in no less memory."""
    work = (ceiling.device, ceiling.kind, ceiling.dtype, ceiling.shape)
    harder = [
        other
        for other in others
        if (other.device, other.kind, other.dtype, other.shape) == work
        and other.threads <= ceiling.threads
        and other.working_set_bytes >= ceiling.working_set_bytes
    ]
    top = max(harder, key=lambda other: other.per_second)
    return replace(ceiling, per_second=top.per_second, by=top.by)


def between_laps(run: Run) -> Callable[[int], None]:
    """Return what a campaign calls after each lap: it probes some libraries and keeps the ceilings with the run.

    So ceilings and backends are measured in the same minutes. Each call probes one library after the other, first with
    the most threads, until all probes together have taken `MOST_SHARE` of the campaign; until each library was probed,
    every call probes at least one. If a probe fails, only its own rates are missing.
    """
    plan = stored_plan(run)
    dtypes = tuple(dict.fromkeys(group.dtype for group in plan.groups))
    devices = {group.device for group in plan.groups}
    counts = sorted(plan.threads, reverse=True)
    children = [(library, count) for count in counts for library in installed(LIBRARIES) if "cpu" in devices]
    children += [(CUDA, 1)] * (CUDA in devices)
    turns = itertools.cycle(children)
    begun_s = time.monotonic()
    spent_s, probed = 0.0, 0

    def probe(lap: int) -> None:
        nonlocal spent_s, probed
        known = load_of(run)
        measured = list(known.measured) if known else []
        for number in range(len(children)):
            due = not number and probed < len(children)
            if not due and spent_s > MOST_SHARE * (time.monotonic() - begun_s):
                break
            library, threads = next(turns)
            probed += 1
            started_s = time.monotonic()
            try:
                measured += _child(library, threads, BRIEF_SECONDS, dtypes, brief=True)
            except UsageError as error:
                logger.warning("%s", error)
            spent_s += time.monotonic() - started_s
        if measured:
            save_of(run, Ceilings(run.machine, _now(), fingerprint(), best(measured)))

    return probe


def _asked(libraries: Sequence[str]) -> Sequence[str]:
    """Return the libraries that were asked for by name, each of which has probes and is here."""
    for name in libraries:
        if name not in LIBRARIES:
            raise UsageError(f"--libraries: expected some of {', '.join(LIBRARIES)}, got {name!r}")
        if not is_installed(name):
            raise UsageError(f"--libraries {name} is not installed here; there are {', '.join(installed(LIBRARIES))}")
    return libraries


def installed(libraries: Iterable[str]) -> list[str]:
    """Return those of some libraries that are here."""
    return [name for name in libraries if is_installed(name)]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _child(
    library: str, threads: int, seconds: float, dtypes: Sequence[str] = DTYPES, brief: bool = False
) -> list[Ceiling]:
    """Run the probes of one library in a separate process."""
    arguments = [library, str(threads), cpus_text(threads), str(seconds), ",".join(dtypes)]
    arguments += ["brief"] if brief else []
    try:
        records = records_of("bench.limits.probes.child", arguments, threads, CUDA if library == CUDA else "cpu")
    except ChildFailed as error:
        others = ",".join(name for name in LIBRARIES if name != library)
        remedy = f"leave it out with --libraries {others}" if library != CUDA else "torch must see the GPU"
        raise UsageError(f"the probes of {library} failed: {error}; {remedy}") from None
    return [Ceiling(**record) for record in records]
