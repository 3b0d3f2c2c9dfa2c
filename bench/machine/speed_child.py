"""``python -m bench.machine.speed_child SECONDS THREADS...``: measure how fast this machine is, print it as JSON.

Each rate is the best of many repetitions of about half a millisecond, in several passes. A neighbour on the same
processor slows most repetitions, and hardly ever all of them.

Tests: `tests/bench/machine/test_speed.py`.
"""

from __future__ import annotations

import json
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np

PASSES = 5
SIDE, TANH_VALUES, TANH_REPEATS, CALLS = 320, 16_384, 16, 1_000
CHUNK_BYTES, MEMORY_BYTES = 1 << 20, 128 << 20

Call = Callable[[int], object]


class Work(NamedTuple):
    """One kind of work: its name, how much one call does, and the call; its argument is the number of the thread."""

    kind: str
    amount: float
    call: Call


def main(arguments: Sequence[str]) -> int:
    """Measure and print; return the exit status."""
    seconds, *counts = arguments
    print(json.dumps({"by": software(), "rates": rates([int(count) for count in counts], float(seconds))}))
    return 0


def software() -> str:
    """Return what computes: Python, numpy and the BLAS kernel that it chose."""
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    kernels = [f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".strip() for pool in pools]
    return ", ".join([f"Python {platform.python_version()}", f"numpy {np.__version__}", *sorted(set(kernels))])


def rates(counts: Sequence[int], seconds: float) -> dict[str, dict[str, float]]:
    """Return the best rate of each kind of work, by number of threads and kind; calls from Python with one thread."""
    work = list(kinds(max(counts)))
    tasks = [(count, task) for count in counts for task in work if count == counts[0] or task.kind != "calls"]
    least_s = [[float("inf")] * count for count, _ in tasks]
    with ThreadPoolExecutor(max(counts)) as pool:
        for _ in range(PASSES):
            for number, (count, task) in enumerate(tasks):
                again_s = least_times_s(task.call, count, seconds / (PASSES * len(tasks)), pool)
                least_s[number] = list(map(min, least_s[number], again_s))
    best: dict[str, dict[str, float]] = {}
    for (count, task), times_s in zip(tasks, least_s, strict=True):
        best.setdefault(str(count), {})[task.kind] = sum(task.amount / time_s for time_s in times_s)
    return best


def least_times_s(call: Call, threads: int, seconds: float, pool: ThreadPoolExecutor) -> list[float]:
    """Return the least seconds of a call on each of some threads, all of which work for as long.

    Each thread has its own best moment: a moment at which no thread is disturbed may never come on a busy machine.
    """
    together = threading.Barrier(threads)

    def work(thread: int) -> float:
        together.wait()
        least_s, begun_s = float("inf"), time.perf_counter()
        end_s = begun_s + seconds
        while begun_s < end_s:
            call(thread)
            now_s = time.perf_counter()
            least_s, begun_s = min(least_s, now_s - begun_s), now_s
        return least_s

    return list(pool.map(work, range(threads)))


def kinds(threads: int) -> Iterator[Work]:
    """Yield product, tanh, bandwidth (bytes read beyond the caches) and calls from Python."""
    random = np.random.default_rng(0)
    left, right = random.standard_normal((2, threads, SIDE, SIDE), np.float32)
    yield Work("product", 2.0 * SIDE**3, partial(_product, left, right, np.empty_like(left)))
    z = random.standard_normal((threads, TANH_VALUES), np.float32)
    yield Work("tanh", float(TANH_VALUES * TANH_REPEATS), partial(_tanh, z, np.empty_like(z)))
    memory = np.ones((MEMORY_BYTES // CHUNK_BYTES, CHUNK_BYTES // 8))
    yield Work("bandwidth", float(CHUNK_BYTES), partial(_read, memory, threads, [0] * threads))
    yield Work("calls", float(CALLS), partial(_calls, np.zeros(1)))


def _product(left: Any, right: Any, out: Any, thread: int) -> None:
    np.matmul(left[thread], right[thread], out=out[thread])


def _tanh(z: Any, out: Any, thread: int) -> None:
    for _ in range(TANH_REPEATS):
        np.tanh(z[thread], out=out[thread])


def _read(memory: Any, threads: int, done: list[int], thread: int) -> None:
    """Read the thread's next chunk: each was last touched so long ago that no cache holds it."""
    memory[(done[thread] * threads + thread) % len(memory)].max()
    done[thread] += 1


def _calls(x: Any, thread: int) -> None:
    add = np.add
    for _ in range(CALLS):
        add(x, x, x)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
