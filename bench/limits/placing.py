"""How long each backend takes to place a large batch, next to a plain copy of the same arrays.

    python -m bench.limits.placing [BACKEND ...]

A fresh process for each backend and dtype; in it placing and copying take turns, on as many threads. ``limits
--targets`` measures the same and keeps it with its run. `bench.limits.placing_child` has the clock.

Tests: `tests/bench/limits/test_placing.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import backends
from bench.basics.errors import UsageError
from bench.basics.files import read_text, write_text
from bench.basics.names import DTYPES
from bench.limits.children import ChildFailed, cpus_text, records_of
from bench.limits.standings import LimitCase, Standing
from bench.machine import default_threads
from bench.workload.memory import SPARE, free_bytes
from bench.workload.work import batch_bytes

if TYPE_CHECKING:
    from bench.results import Run

NETWORKS = ("3-2-1", "8-32-1", "32-64-1", "64-64-64-1")
ROWS = 1 << 20
START_S, MAKING_S = 2.0, 0.7
"""Of a process: interpreter and imports, and for each network its arrays; on 2 cores of an Intel Xeon."""

SECONDS = 1.0
"""For each network; three turns at least are taken."""

ARRAYS = 5
"""Copies of a batch that are alive together at most: the host's, the mapped one, a placed one before the next replaces
it, and the memory that a conversion needs.
"""

FILE = "placing.json"
SCHEMA = 1


@dataclass(frozen=True)
class Placing:
    """What one backend took to place one batch, and what copies took in the same turns; lower quartiles.

    Attributes:
        network: its inputs and outputs are the columns of the batch.
        rows: of the batch.
        dtype: of host arrays and placed ones.
        backend: its name.
        threads: of the backend and of the copies.
        seconds: of ``place_batch``, until the batch is there and the one before is given back.
        fresh_s: of a copy of both arrays into memory that the system has just given, and gets back.
        mapped_s: of ``numpy.copyto`` into arrays that were written before.
    """

    network: str
    rows: int
    dtype: str
    backend: str
    threads: int
    seconds: float
    fresh_s: float
    mapped_s: float

    @property
    def times_fresh(self) -> float:
        """How many times as long as a copy into fresh memory; depends on the system's free large pages."""
        return self.seconds / self.fresh_s

    @property
    def times_mapped(self) -> float:
        """How many times as long as a copy into mapped memory: the fair comparison, as batches use memory again."""
        return self.seconds / self.mapped_s


def estimate_s(names: Sequence[str], dtypes: Sequence[str]) -> float:
    """Return about what `measure` takes of those of some backends that are tuned."""
    tuned = [entry.name for entry in backends.catalogue("best") if entry.name in names]
    return len(tuned) * len(dtypes) * (START_S + len(NETWORKS) * (SECONDS + MAKING_S))


def measure(
    names: Sequence[str],
    dtypes: Sequence[str] = ("float32",),
    threads: int | None = None,
    networks: Sequence[str] = NETWORKS,
    rows: int = ROWS,
    seconds: float = SECONDS,
) -> Iterator[Placing]:
    """Yield what each backend takes for each network and dtype; a batch that does not fit in memory is left out.

    Args:
        names: of backends.
        dtypes: of host arrays and placed ones.
        threads: of backends and copies; by default one for each core.
        networks: whose inputs and targets are placed.
        rows: of each batch.
        seconds: for each network.

    Raises:
        UsageError: a backend that cannot place.
    """
    threads = threads or default_threads()
    for dtype in dtypes:
        free = SPARE * free_bytes()
        fitting = [text for text in networks if ARRAYS * batch_bytes(backends.Network.parse(text), rows, dtype) <= free]
        for name in names:
            yield from _child(name, dtype, threads, fitting, rows, seconds)


def standings(placings: Sequence[Placing]) -> list[Standing]:
    """Return them as standings against a plain copy, fastest first within a case."""
    ranked = sorted(placings, key=lambda placing: placing.seconds)
    cases = dict.fromkeys((placing.dtype, placing.network, placing.rows) for placing in placings)
    return [
        Standing(
            LimitCase(placing.network, placing.rows, "place"),
            placing.dtype,
            placing.backend,
            "best",
            placing.seconds,
            copy_s=placing.mapped_s,
        )
        for case in cases
        for placing in ranked
        if (placing.dtype, placing.network, placing.rows) == case
    ]


def save_of(run: Run, placings: Sequence[Placing]) -> None:
    """Keep what was measured with a run."""
    document = {"schema": SCHEMA, "placings": [asdict(placing) for placing in placings]}
    write_text(run.path / FILE, json.dumps(document, indent=1) + "\n")


def load_of(run: Run) -> list[Placing]:
    """Return what was measured with a run, nothing if it measured no placing.

    Raises:
        UsageError: the file is not one of placings.
    """
    path = run.path / FILE
    try:
        return [Placing(**entry) for entry in json.loads(read_text(path))["placings"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{path} does not hold times of placing: {error!r}; measure a run with limits --targets"
        ) from None


def _child(name: str, dtype: str, threads: int, networks: Sequence[str], rows: int, seconds: float) -> list[Placing]:
    """Run the turns of one backend in a separate process."""
    arguments = [name, dtype, str(threads), cpus_text(threads), str(rows), str(seconds), *networks]
    try:
        records = records_of("bench.limits.placing_child", arguments, threads)
    except ChildFailed as error:
        raise UsageError(
            f"backend {name!r} placed no batch: {error}; see: python -m bench check --backend {name}"
        ) from None
    return [Placing(**record) for record in records]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each backend, network and dtype."""
    tuned = [entry.name for entry in backends.catalogue("best") if entry.missing() is None]
    parser = argparse.ArgumentParser(prog="python -m bench.limits.placing", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="BACKEND", help=f"default: {', '.join(tuned)}")
    parser.add_argument("--dtypes", default="float32", help="default: float32")
    parser.add_argument("--networks", default=",".join(NETWORKS), help=f"default: {','.join(NETWORKS)}")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"default: {ROWS}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"for each network; default: {SECONDS}")
    parser.add_argument("--threads", type=int, help="default: one for each core")
    asked = parser.parse_args(arguments)
    dtypes = asked.dtypes.split(",")
    if wrong := set(dtypes) - set(DTYPES):
        parser.error(f"--dtypes: expected some of {','.join(DTYPES)}, got {min(wrong)}")
    print(f"{'':32} {'place':>10}   of a copy into fresh memory; into mapped memory")
    names, networks = asked.names or tuned, asked.networks.split(",")
    for placing in measure(names, dtypes, asked.threads, networks, asked.rows, asked.seconds):
        case = f"{placing.backend:8} {placing.network:12} {placing.dtype:10}"
        times = f"{placing.times_fresh:6.2f} {placing.times_mapped:6.2f}"
        print(f"{case:32} {placing.seconds * 1e3:7.2f} ms   {times}", flush=True)


if __name__ == "__main__":
    main()
