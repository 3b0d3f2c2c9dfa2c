"""What this machine can do at best, and the time below which no implementation of a phase can run on it.

A `Ceiling` is one measured rate; `Ceilings` are all of one machine. `limit_s` turns them and the work of a phase
(`bench.workload.work`) into a `Limit`. Measuring them is `bench.limits.probes`' work; nothing here reads a clock.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from backends import Network
from bench.basics.errors import UsageError
from bench.basics.files import read_text, write_text
from bench.basics.formats import is_text, shortened
from bench.results.columns import MOST_SHOWN
from bench.workload import Workload
from bench.workload.work import bytes_read_written, flop, least_bytes, product_flop, tanh_count

if TYPE_CHECKING:
    from bench.results import Run

__all__ = [
    "Ceiling",
    "Ceilings",
    "Limit",
    "flop",
    "least_bytes",
    "limit_s",
    "load",
    "load_of",
    "product_flop",
    "save",
    "save_of",
    "tanh_count",
]

SCHEMA = 1
FILE = "ceilings.json"
MOST_PER_SECOND = 1e30
MEASURE = "python -m bench ceilings"

Kind = Literal["read", "copy", "product", "tanh", "launch"]
UNITS: dict[str, str] = {"read": "B/s", "copy": "B/s", "product": "FLOP/s", "tanh": "tanh/s", "launch": "/s"}


@dataclass(frozen=True)
class Ceiling:
    """The best rate that was measured for one kind of work on one device.

    Attributes:
        kind: ``read`` and ``copy`` memory, matrix ``product``, vectorised ``tanh``; ``launch`` of a kernel on a GPU,
            which no limit is made of, since a backend may put many steps into one kernel.
        dtype: of the elements; bandwidth holds for every dtype and is stored under ``""``.
        threads: cores at work; 0 on a GPU, whose threads nobody chooses.
        shape: what it was measured on, for people: ``4096x784 * 784x512``.
        working_set_bytes: memory touched, all threads together; bandwidth depends on it through the caches.
        per_second: bytes (a copy counts those read and those written), FLOP, or elements a second.
        by: the code that reached it.
        device: ``cpu`` or ``cuda``.
    """

    kind: Kind
    dtype: str
    threads: int
    shape: str
    working_set_bytes: int
    per_second: float
    by: str
    device: str = "cpu"


@dataclass(frozen=True)
class Ceilings:
    """All ceilings of one machine, and when and where they were measured."""

    machine: str
    created: str
    fingerprint: dict[str, Any]
    measured: tuple[Ceiling, ...]

    @property
    def threads(self) -> tuple[int, ...]:
        """The thread counts that were measured on the CPU, fewest first."""
        return tuple(sorted({ceiling.threads for ceiling in self.measured if ceiling.device == "cpu"}))

    def of(self, device: str) -> Ceilings:
        """Return those of one device."""
        return replace(self, measured=tuple(c for c in self.measured if c.device == device))

    def bandwidth(self, kinds: tuple[Kind, ...], working_set_bytes: int, threads: int) -> float:
        """Return the best bytes a second for a working set: that of the nearest measured set which is no larger.

        Smaller sets are faster, so a set between two measured ones gets the faster rate, and the limit stays a limit.
        """
        known = self._of(kinds, "", threads)
        rates = []
        for kind in kinds:
            of_kind = [c for c in known if c.kind == kind]
            sizes = [c.working_set_bytes for c in of_kind]
            nearest = max((size for size in sizes if size <= working_set_bytes), default=min(sizes, default=0))
            rates += [c.per_second for c in of_kind if c.working_set_bytes >= nearest]
        return max(rates)

    def product(self, dtype: str, threads: int) -> float:
        """Return the best FLOP a second of any matrix product."""
        return max(c.per_second for c in self._of(("product",), dtype, threads))

    def tanh(self, dtype: str, threads: int) -> float:
        """Return the most tanh a second."""
        return max(c.per_second for c in self._of(("tanh",), dtype, threads))

    def _of(self, kinds: tuple[Kind, ...], dtype: str, threads: int) -> list[Ceiling]:
        known = [c for c in self.measured if c.kind in kinds and c.dtype == dtype and c.threads == threads]
        if not known:
            raise UsageError(
                f"no ceiling of {' or '.join(kinds)} for {dtype or 'any dtype'} with {threads} threads; "
                f"measured: {', '.join(map(str, self.threads)) or 'none'}; run: {MEASURE} --threads {threads}"
                if threads
                else f"no ceiling of {' or '.join(kinds)} for {dtype or 'any dtype'} on a GPU; "
                f"run: {MEASURE} --device cuda"
            )
        return known


@dataclass(frozen=True)
class Limit:
    """The least seconds of one call of a phase, what binds it, and the three times that it comes from."""

    seconds: float
    binds: Literal["bytes", "FLOPs", "tanh"]
    bytes_s: float
    flop_s: float
    tanh_s: float


def limit_s(
    workload: Workload | Network,
    batch: int,
    dtype: str,
    phase: str,
    ceilings: Ceilings,
    threads: int | None = None,
    device: str = "cpu",
) -> Limit:
    """Return the time below which no implementation can run one call of ``phase`` (one step of ``train``).

        limit = max(bytes / bandwidth, FLOP / product rate + tanh / tanh rate)

    Moving memory can hide behind arithmetic and the other way round, hence the maximum. Products and tanh keep the same
    vector units busy, hence their sum. All elementwise operations are counted at the rate of a matrix product, the
    fastest arithmetic there is. The bandwidth is that of a working set as large as the phase's least bytes: a batch
    that stays in a cache between calls is read at that cache's speed. A phase that copies (``place``, ``update``) is
    held against ``copy``, others against the better of ``read`` and ``copy``.

    What binds is the largest term of the larger side. Overheads (a call from Python, a thread's wake-up, a chain of
    dependent operations) are not in it: small batches stay far above their limit, whatever they are written in.

    Args:
        workload: the network, and how it is trained.
        batch: rows.
        dtype: ``"float32"`` or ``"float64"``.
        phase: as in `bench.workload.work`.
        ceilings: of the machine that the time was measured on.
        threads: cores that the implementation may use; by default the most that were measured. No matter on a GPU.
        device: ``cpu`` or ``cuda``; on a GPU the memory is its own, and ``place`` copies from the host's, which no
            ceiling bounds: its limit is that of a copy on the device.

    Raises:
        UsageError: nothing was measured for this dtype or number of threads.
    """
    cores = 0 if device != "cpu" else threads if threads is not None else max(ceilings.threads, default=1)
    ceilings = ceilings.of(device)
    moved = sum(bytes_read_written(workload, batch, dtype, phase))
    copies = phase in ("place", "update")
    bandwidth = ceilings.bandwidth(("copy",) if copies else ("read", "copy"), moved, cores)
    bytes_s = moved / bandwidth
    flop_s = flop(workload, batch, phase) / ceilings.product(dtype, cores)
    tanh_s = tanh_count(workload, batch, phase) / ceilings.tanh(dtype, cores)
    if bytes_s >= flop_s + tanh_s:
        return Limit(bytes_s, "bytes", bytes_s, flop_s, tanh_s)
    return Limit(flop_s + tanh_s, "FLOPs" if flop_s >= tanh_s else "tanh", bytes_s, flop_s, tanh_s)


def save(ceilings: Ceilings, root: Path) -> Path:
    """Write ``<root>/<machine>/ceilings.json``, whole or not at all; return its path."""
    path = root / ceilings.machine / FILE
    _write(path, ceilings)
    return path


def save_of(run: Run, ceilings: Ceilings) -> None:
    """Keep the ceilings that were measured in a run with that run."""
    _write(run.path / FILE, ceilings)


def load(machine: str, root: Path) -> Ceilings | None:
    """Return the stored ceilings of a machine, ``None`` if none were measured.

    Raises:
        UsageError: the file is not one of ceilings.
    """
    return _read(root / machine / FILE)


def load_of(run: Run) -> Ceilings | None:
    """Return the ceilings that were measured in a run, ``None`` if none were.

    Raises:
        UsageError: the file is not one of ceilings.
    """
    return _read(run.path / FILE)


def _write(path: Path, ceilings: Ceilings) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"schema": SCHEMA, **asdict(ceilings)}, indent=1) + "\n")


def _read(path: Path) -> Ceilings | None:
    try:
        stored = json.loads(read_text(path))
        measured = tuple(Ceiling(**item) for item in stored["measured"])
        if wrong := next((fault for fault in map(_fault, measured) if fault), ""):
            raise ValueError(wrong)
        if not (is_text(stored["machine"]) and is_text(stored["created"]) and isinstance(stored["fingerprint"], dict)):
            raise ValueError("machine and created are texts, and fingerprint is an object")
        return Ceilings(stored["machine"], stored["created"], stored["fingerprint"], measured)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; measure ceilings again with: {MEASURE}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{path} does not hold ceilings: {error!r}; measure them again with: {MEASURE}") from None


def _fault(ceiling: Ceiling) -> str:
    """Return what makes a ceiling that was read none, '' if nothing does."""
    if not is_text(ceiling.kind) or ceiling.kind not in UNITS:
        return f"kind {shortened(repr(ceiling.kind), MOST_SHOWN)}"
    for name in ("dtype", "shape", "by", "device"):
        if not is_text(value := getattr(ceiling, name)):
            return f"{name} {shortened(repr(value), MOST_SHOWN)}"
    for name in ("threads", "working_set_bytes"):
        value = getattr(ceiling, name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
            return f"{name} {shortened(repr(value), MOST_SHOWN)}"
    rate: object = ceiling.per_second
    is_rate = isinstance(rate, int | float) and not isinstance(rate, bool) and 0 < rate < MOST_PER_SECOND
    return "" if is_rate else f"a rate of {shortened(repr(rate), MOST_SHOWN)}"
