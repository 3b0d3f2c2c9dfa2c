"""What an all-reduce takes by message length: probed on ranks of this machine, kept like ceilings, carried to a link.

Between machines nothing is probed: a link of known latency and bandwidth is put on top of what the engine takes here.

Tests: `tests/bench/ranks/test_allreduce.py`.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench.basics.errors import UsageError
from bench.basics.files import read_text, write_text
from bench.machine import cpus_for, machine_id
from bench.ranks.child import SUM
from bench.ranks.launches import JOIN_S, START_S, start

FILE = "allreduce.json"
LENGTHS = (13, 1_000, 10_000, 100_000, 1_000_000)
LENGTH_S = 0.5
ITEM_BYTES = 4

SHORT_TRIPS, TRIPS = {"mpi": 1.0, "torch": 2.0}, {"mpi": 2.0, "torch": 4.0, "jax": 4.0}
SHORT_BYTES = {"mpi": 2048, "torch": 1 << 14}
"""Messages one after another in a sum of two ranks, up to these bytes and beyond. MPI exchanges short vectors at once,
and halves of longer ones there and back. Gloo's receiver says first that it is ready, so an exchange takes two; short
vectors are exchanged once, and longer ones twice, to reduce and to gather. Fitted over wires of 0.1 to 3 ms one way
MPI takes 1.02 and 2.03 times the latency, and gloo 1.94 and 4.0.
"""
USED_BANDWIDTH = 0.94
"""Of a link's: what TCP leaves for the message, in packets of 1,500 bytes."""
USUAL_TRIPS = 4.0


@dataclass(frozen=True)
class AllReduce:
    """Seconds of a sum of two ranks on one host.

    Attributes:
        engine: that joined them.
        sizes_bytes: of the messages, increasing.
        seconds: of a sum of each.
        created: when it was probed, UTC.
    """

    engine: str
    sizes_bytes: tuple[int, ...]
    seconds: tuple[float, ...]
    created: str = ""

    def between(self, message_bytes: float) -> float:
        """Return the seconds for any size, between probed ones on log scales; a longer one takes in proportion."""
        most = self.sizes_bytes[-1]
        log_s = np.interp(math.log(message_bytes), np.log(self.sizes_bytes), np.log(self.seconds))
        return float(math.exp(log_s)) * max(1.0, message_bytes / most)


@dataclass(frozen=True)
class Link:
    """What joins machines: latency in seconds one way, and bytes a second."""

    latency_s: float
    bytes_per_s: float

    @classmethod
    def parse(cls, text: str) -> Link:
        """Read ``1Gbit,0.1ms``: bandwidth and latency one way.

        Raises:
            ValueError: another form.
        """
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MG])bit(?:/s)?\s*,\s*(\d+(?:\.\d+)?)\s*(us|ms|s)", text.strip())
        if not match or not float(match[1]):
            raise ValueError(f"a link is written like 1Gbit,0.1ms (bandwidth, latency one way), got {text!r}")
        unit = {"us": 1e-6, "ms": 1e-3, "s": 1.0}[match[4]]
        return cls(float(match[3]) * unit, float(match[1]) * {"M": 1e6, "G": 1e9}[match[2]] / 8)

    def __str__(self) -> str:
        return f"{self.bytes_per_s * 8e-9:g} Gbit/s, {self.latency_s * 1e3:g} ms"


def sum_s(known: AllReduce, message_bytes: float, ranks: int, link: Link | None = None) -> float:
    """Return the seconds of a sum over some ranks: of one host, or with a link, of as many machines.

    More than two ranks take as many rounds as a tree has levels, or for long messages two passes of a ring, whichever
    is shorter; that is a formula, and no measurement.
    """
    if ranks == 1:
        return 0.0
    rounds = math.ceil(math.log2(ranks))
    short_s, whole_s = known.between(8), known.between(message_bytes)
    if link:
        short_s += trips(known.engine, 8) * link.latency_s
        whole_s += trips(known.engine, message_bytes) * link.latency_s
        whole_s += message_bytes / (USED_BANDWIDTH * link.bytes_per_s)
    ring_s = rounds * short_s + 2 * (ranks - 1) / ranks * (whole_s - short_s)
    return min(rounds * whole_s, ring_s)


def trips(engine: str, message_bytes: float) -> float:
    """Return how many messages of a sum of two ranks come one after another."""
    usual = TRIPS.get(engine, USUAL_TRIPS)
    return SHORT_TRIPS.get(engine, usual) if message_bytes <= SHORT_BYTES.get(engine, 0) else usual


def probe(engine: str) -> AllReduce:
    """Time sums of two ranks of this machine, in about five seconds beyond their start.

    Raises:
        UsageError: the ranks failed; the message says how.
    """
    spec = {
        "lengths": LENGTHS,
        "engine": engine,
        "cpus": list(cpus_for(2)),
        "threads": 1,
        "timed_s": LENGTH_S,
        "timeout_s": JOIN_S,
    }
    records = start(spec, 2, START_S)
    if "reason" in records[0]:
        raise UsageError(f"no all-reduce could be probed by {engine}: {records[0]['reason']}")
    seconds = tuple(statistics.quantiles(record[SUM], n=4)[0] for record in records)
    return AllReduce(
        engine,
        tuple(ITEM_BYTES * record["length"] for record in records),
        seconds,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )


def stored(root: Path) -> dict[str, AllReduce]:
    """Return what was probed on this machine before, by engine."""
    path = root / machine_id() / FILE
    try:
        known = [
            AllReduce(one["engine"], tuple(one["sizes_bytes"]), tuple(one["seconds"]), one.get("created", ""))
            for one in json.loads(read_text(path))
        ]
        for one in known:
            _check(one)
    except FileNotFoundError:
        return {}
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} does not hold times of an all-reduce ({error!r}): remove it") from None
    return {one.engine: one for one in known}


def _check(known: AllReduce) -> None:
    """Make sure that what was read can be interpolated.

    Raises:
        ValueError: sizes and seconds do not belong together, or one is not above 0.
    """
    if len(known.sizes_bytes) != len(known.seconds) or not known.seconds:
        raise ValueError("as many seconds as sizes, and one or more")
    if not all(0 < number < math.inf for number in (*known.sizes_bytes, *known.seconds)):
        raise ValueError("sizes and seconds are above 0")


def known_or_probed(engine: str, root: Path) -> AllReduce:
    """Return what is known of an engine on this machine, probed and kept if it is not."""
    known = stored(root)
    if engine not in known:
        known[engine] = probe(engine)
        path = root / machine_id() / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps([asdict(one) for one in known.values()], indent=1))
    return known[engine]
