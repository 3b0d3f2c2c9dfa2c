"""How fast this machine is now: a few rates, measured in about a second, kept for a day, compared with stored ones.

Two machines may look alike and differ in speed by a factor of two. A run stores the rates it began with, and a machine
that now reaches less than `SLOWEST` or more than `FASTEST` of one of them is another machine. The rates are those of
the hardware: variables that change the speed of numerical code are taken out of the probe's environment, and are
conditions of their own (`bench.machine.environment`).
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.basics.files import read_text
from bench.basics.formats import format_ratio
from bench.machine import environment, system
from bench.machine.identity import machine_id
from bench.machine.processors import default_threads

SECONDS = 1.0
PATIENCE_S = 30.0
KEPT_S = 24 * 3600.0
VARIABLE, KEPT = "BACKPROP_BENCH_SPEED", "kept"
"""Runs that are started many times an hour, as by tests, keep the speed of the day if the variable says so."""

SLOWEST, FASTEST = 0.8, 1.25

OF_HARDWARE = ("bandwidth",)
"""Kinds of work whose rate does not depend on the versions of Python, numpy and BLAS."""

NAMES = {"product": "matrix product", "bandwidth": "memory bandwidth", "tanh": "tanh", "calls": "calls from Python"}

Rates = Mapping[str, Mapping[str, float]]
"""By number of threads, as text, and by kind of work: FLOP, bytes, tanh or calls a second."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Speed:
    """What this machine reached.

    Attributes:
        taken: when, UTC, ISO 8601.
        by: the versions of Python, numpy and BLAS kernel that reached it.
        rates: the best of each kind of work; empty if the probe could not run.
    """

    taken: str = ""
    by: str = ""
    rates: Rates = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the speed for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Any) -> Speed:
        """Return what `to_dict` stored; no rates from anything else, or of anything that is not a positive number."""
        if not isinstance(stored, Mapping) or not isinstance(stored.get("rates"), Mapping):
            return cls()
        rates: dict[str, dict[str, float]] = {}
        for threads, kinds in stored["rates"].items():
            if isinstance(kinds, Mapping) and str(threads).isdigit():
                known = {str(kind): float(rate) for kind, rate in kinds.items() if _is_rate(rate)}
                rates |= {str(threads): known} if known else {}
        return cls(str(stored.get("taken", "")), str(stored.get("by", "")), rates)

    def best_with(self, other: Speed) -> Speed:
        """Return the faster of each rate: what disturbs a probe only slows it. Rates of other versions are dropped."""
        if self.by != other.by:
            return self
        rates = {threads: dict(kinds) for threads, kinds in self.rates.items()}
        for threads, kinds in other.rates.items():
            for kind, rate in kinds.items():
                mine = rates.setdefault(threads, {})
                mine[kind] = max(mine.get(kind, 0.0), rate)
        return Speed(self.taken, self.by, rates)

    def ratios(self, stored: Speed) -> dict[tuple[str, int], float]:
        """Return this speed over a stored one, by kind of work and threads, for the rates that can be compared."""
        return {
            (kind, int(threads)): self.rates[threads][kind] / rate
            for threads, kinds in stored.rates.items()
            for kind, rate in kinds.items()
            if kind in self.rates.get(threads, {}) and (kind in OF_HARDWARE or self.by == stored.by)
        }

    def unlike(self, stored: Speed) -> dict[tuple[str, int], float]:
        """Return those of `ratios` that are too far from 1 for the same machine."""
        return {key: ratio for key, ratio in self.ratios(stored).items() if not SLOWEST <= ratio <= FASTEST}


def difference(now: Speed, stored: Speed) -> str:
    """Return in words which rates differ and by how much, '' if this may be the machine of the stored speed."""
    return "; ".join(
        f"{NAMES.get(kind, kind)} with {threads} {'thread' if threads == 1 else 'threads'} runs at "
        f"{format_ratio(ratio)} the stored rate"
        for (kind, threads), ratio in now.unlike(stored).items()
    )


def difference_here(stored: Speed) -> str:
    """Return what `difference` says of this machine now; '' also if nothing can be said.

    Before it says that a rate differs it measures again: a busy moment must not make this another machine.
    """
    if not stored.rates:
        return ""
    now = here()
    if said := difference(now, stored):
        now = measured().best_with(now)
        _keep(now)
        here.cache_clear()
        said = difference(now, stored)
    return said


@functools.cache
def here() -> Speed:
    """Return this machine's speed, measured at most a day ago; it is kept in the user's cache folder."""
    kept = _kept()
    return kept if kept.rates else measured_again()


def fresh() -> Speed:
    """Measure now, for a run to keep; a second time if it differs from what is kept, since a busy moment only slows."""
    if os.environ.get(VARIABLE) == KEPT:
        return here()
    now, kept = measured(), _kept()
    if not now.rates:
        return kept
    if now.unlike(kept):
        now = measured().best_with(now)
    _keep(now)
    here.cache_clear()
    return now


def measured_again() -> Speed:
    """Measure now and keep the best of it and of what was measured within a day."""
    now = measured().best_with(_kept())
    if now.rates:
        _keep(now)
    here.cache_clear()
    return now


def measured(seconds: float = SECONDS) -> Speed:
    """Measure this machine's speed now, with 1 thread and with all; no rates if that cannot be done."""
    counts = sorted({1, default_threads()})
    command = [sys.executable, "-m", "bench.machine.speed_child", str(seconds), *map(str, counts)]
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=_clean(),
            timeout=PATIENCE_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        return Speed.from_dict({"taken": taken, **json.loads(done.stdout.splitlines()[-1])})
    except (OSError, subprocess.SubprocessError, ValueError, IndexError, TypeError) as error:
        logger.warning("the speed of this machine could not be measured: %s", error)
        return Speed()


def cache_path() -> Path:
    """Return where this machine's speed is kept; machines that share a home folder have a file each."""
    identity = (machine_id(), system.read(system.PROC / "sys/kernel/random/boot_id"), sys.version, sys.prefix)
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:12]
    return system.kept_file(f"speed-{digest}.json")


def _kept() -> Speed:
    """Return what is kept and not too old."""
    try:
        path = cache_path()
        if not 0 <= time.time() - path.stat().st_mtime < KEPT_S:
            return Speed()
        return Speed.from_dict(json.loads(read_text(path)))
    except (OSError, ValueError, RuntimeError, RecursionError):
        return Speed()


def _keep(speed: Speed) -> None:
    """Write the speed to the user's cache folder, if there is one."""
    try:
        path = cache_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(speed.to_dict()), encoding="utf-8")
        partial.replace(path)
    except (OSError, RuntimeError):  # nothing is lost: the next answer measures again
        pass


def _clean() -> dict[str, str]:
    """Return this environment without what changes speed, and one thread for the BLAS: the probe starts its own."""
    dropped = environment.speed_variables()
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    checkout = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(dict.fromkeys([checkout, *filter(None, kept.get("PYTHONPATH", "").split(os.pathsep))]))
    return kept | {
        "PYTHONPATH": path,
        **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    }


def _is_rate(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
