"""``python -m bench.limits.probes.child LIBRARY THREADS CPUS SECONDS DTYPES [brief]``: time one library's probes.

A probe is repeated until its seconds are over, in several passes over all probes, and its best time counts: a ceiling
is what the machine can do when nothing else disturbs it.

Tests: `tests/bench/limits/test_probes.py`.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from bench.limits.ceilings import Ceiling
from bench.limits.probes.probe import Probe
from bench.measure.child import isolate

CUDA = "cuda"
"""The device that has probes as a library has."""

PASSES = 10
LEAST_SAMPLES = 3


def main(arguments: Sequence[str]) -> int:
    """Measure what the arguments name; return the exit status."""
    library, threads, cpus, seconds, dtypes, *brief = arguments
    isolate([int(cpu) for cpu in cpus.split(",")])
    module = importlib.import_module(f"bench.limits.probes.{library}_probes")
    probes: list[Probe] = list(module.probes(int(threads), tuple(dtypes.split(",")), bool(brief)))
    for ceiling in measured(library, probes, int(threads), float(seconds)):
        print(json.dumps(asdict(ceiling)), flush=True)
    return 0


def measured(library: str, probes: Sequence[Probe], threads: int, seconds: float) -> list[Ceiling]:
    """Return the best rate of each probe.

    Those whose threads share nothing have the seconds in each pass. They wait for a moment in which a core is not
    disturbed, and a hypervisor that puts two threads on one core does so for a tenth of a second and more.
    """
    best_s = [[float("inf")] * (threads if probe.apart else 1) for probe in probes]
    with ThreadPoolExecutor(threads) as pool:
        for number in range(PASSES):
            for k, probe in enumerate(probes):
                end = time.perf_counter() + seconds / (1 if probe.apart else PASSES)
                samples = 0
                while samples < (LEAST_SAMPLES if number == 0 else 1) or time.perf_counter() < end:
                    best_s[k] = list(map(min, best_s[k], once_s(probe, threads, pool)))
                    samples += 1
    on_gpu = library == CUDA
    return [
        Ceiling(
            kind=probe.kind,
            dtype=probe.dtype,
            threads=0 if on_gpu else threads,
            shape=probe.shape,
            working_set_bytes=probe.working_set_bytes,
            per_second=sum(probe.work / len(elapsed_s) / of_thread_s for of_thread_s in elapsed_s),
            by="torch" if on_gpu else library,
            device=CUDA if on_gpu else "cpu",
        )
        for probe, elapsed_s in zip(probes, best_s, strict=True)
    ]


def once_s(probe: Probe, threads: int, pool: ThreadPoolExecutor) -> list[float]:
    """Return the seconds of one call: of each thread if they share nothing, else from the first start to the last end.

    Only a spread probe runs on several threads here.
    """
    if not probe.spread or threads == 1:
        begun_s = time.perf_counter()
        probe.call(0)
        return [time.perf_counter() - begun_s]
    together = threading.Barrier(threads)

    def work(thread: int) -> tuple[float, float]:
        together.wait()
        begun_s = time.perf_counter()
        probe.call(thread)
        return begun_s, time.perf_counter()

    spans = list(pool.map(work, range(threads)))
    if probe.apart:
        return [end - begun for begun, end in spans]
    return [max(end for _, end in spans) - min(begun for begun, _ in spans)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
