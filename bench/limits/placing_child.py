"""``python -m bench.limits.placing_child BACKEND DTYPE THREADS CPUS ROWS SECONDS NETWORK...``: time placing and copies.

In each turn the backend places the batch, both arrays are copied into fresh memory, and both into mapped memory. What
a call made is given back inside its time: where memory comes from decides as much as the copy.

Tests: `tests/bench/limits/test_placing.py`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np

import backends
from backends.base import Array, Backend, Network
from backends.threads import BlockThreads
from bench.limits.placing import Placing
from bench.measure.child import isolate
from bench.workload.problem import Problem, make

LEAST_TURNS = 3
QUARTILE = 0.25


def main(arguments: Sequence[str]) -> int:
    """Measure what the arguments name; return the exit status."""
    name, dtype, threads, cpus, rows, seconds, *networks = arguments
    isolate([int(cpu) for cpu in cpus.split(",")])
    for text in networks:
        problem = make(Network.parse(text), int(rows), dtype)
        backend = backends.load(name, problem.network, dtype)
        print(json.dumps(asdict(placed(backend, problem, int(threads), float(seconds)))), flush=True)
    return 0


def placed(backend: Backend, problem: Problem, threads: int, seconds: float) -> Placing:
    """Return the lower quartiles of all turns; the first does not count."""
    arms = arms_of(backend, problem, threads)
    times: list[list[float]] = [[] for _ in arms]
    end = time.perf_counter() + seconds
    while len(times[0]) < LEAST_TURNS + 1 or time.perf_counter() < end:
        for of_arm, arm in zip(times, arms, strict=True):
            begun_s = time.perf_counter()
            arm()
            of_arm.append(time.perf_counter() - begun_s)
    seconds_of = [float(np.quantile(of_arm[1:], QUARTILE)) for of_arm in times]
    return Placing(str(problem.network), problem.batch, problem.dtype, backend.name, threads, *seconds_of)


def arms_of(backend: Backend, problem: Problem, threads: int) -> tuple[Callable[[], None], ...]:
    """Return what places the batch, copies it into fresh memory, and copies it into mapped memory."""
    arrays = problem.inputs, problem.targets
    mapped = tuple(array.copy() for array in arrays)
    shared = BlockThreads(threads)

    def place() -> None:
        backend.place_batch(*arrays)
        backend.synchronize()

    def copy_to(copies: Sequence[Array]) -> None:
        def copy(part: slice) -> None:
            for array, to in zip(arrays, copies, strict=True):
                np.copyto(to[part], array[part])

        shared.copy(copy, problem.batch)

    def fresh() -> None:
        copy_to([np.empty_like(array) for array in arrays])

    return place, fresh, lambda: copy_to(mapped)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
