"""``python -m tests.backends.ranks.figures alone|chunks|sums|faults``: what ranks and chunks cost, against their aims.

- ``alone``: a backend loaded with ``ranks=join()``, one rank, over one loaded without: a ratio of steps.
- ``chunks``: a step on a batch in chunks on disk over one on the same rows in memory, after the first pass; and of how
  many chunks the memory was taken.
- ``sums``: microseconds of an all-reduce of 13 numbers between two ranks, by each engine.
- ``faults``: seconds from a fault of a rank to the end of the last, beyond the timeout.

Ratios are of times taken in turns in one process, so that a slow spell hits both sides. A missed aim ends it with 1.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import backends
from backends import Layer, Network, Shares
from backends.installed import is_installed
from backends.ranks.joining import ENGINES
from bench.ranks import allreduce
from tests.backends.ranks import test_faults

MOST_OF_ALONE, MOST_OF_CHUNKS, MOST_CHUNKS = 1.01, 1.5, 4.0
MOST_SUM_S, MOST_END_S = {"mpi": 5e-6}, 1.0
ALONE_CASES = ((Network((3, 2, 1)), 3), (Network((32, 64, 1)), 1024))
CHUNKED, CHUNKED_ROWS, CHUNK_ROWS = Network((32, 64, 1)), 1 << 21, 1 << 16
TURNS, TURN_S = 40, 0.02
STEPS, CHUNKED_TURNS = 3, 6

Steps = Callable[[int], object]


def main() -> int:
    """Measure one of them; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.backends.ranks.figures", description=__doc__)
    parser.add_argument("figure", choices=("alone", "chunks", "sums", "faults"))
    parser.add_argument("--backends", default=",".join(backends.available("best")), help="(all)")
    parser.add_argument("--here", action="store_true", help="in this process, one backend")
    asked = parser.parse_args()
    if asked.figure == "sums":
        return sums()
    if asked.figure == "faults":
        return faults()
    if asked.here:
        return {"alone": alone, "chunks": chunks}[asked.figure](asked.backends)
    command = [sys.executable, "-m", "tests.backends.ranks.figures", asked.figure, "--here", "--backends"]
    return max(subprocess.run([*command, name]).returncode for name in asked.backends.split(","))


def sums() -> int:
    """Print what a sum takes by each engine."""
    missed = False
    for engine in (name for name, (module, _) in ENGINES.items() if is_installed(module)):
        sum_s = allreduce.probe(engine).seconds[0]
        missed |= sum_s > MOST_SUM_S.get(engine, sum_s)
        print(f"{engine:6} {sum_s * 1e6:7.1f} us for {allreduce.LENGTHS[0]} numbers", flush=True)
    return int(missed)


def faults() -> int:
    """Print how soon every rank ends after each fault of one."""
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program.py"
        program.write_text(test_faults.PROGRAM)
        for engine, fault in test_faults.CASES:
            _, lasted_s = test_faults.ended_by(program, engine, fault)
            beyond_s = lasted_s - test_faults.TIMEOUT_S
            missed |= beyond_s > MOST_END_S
            print(f"{engine:6} {fault:8} ended {beyond_s:+5.2f} s from the timeout", flush=True)
    return int(missed)


def alone(name: str) -> int:
    """Print what a step takes with one rank over what it takes without ranks."""
    missed = False
    for network, rows in ALONE_CASES:
        with backends.join() as ranks:
            sides = [calls(backends.load(name, network), rows), calls(backends.load(name, network, ranks=ranks), rows)]
        for kind in ("step", "train"):
            without, with_one = (side[kind] for side in sides)
            count = count_for(without, TURN_S)
            ratio, without_s, with_s = compared(without, with_one, count, TURNS)
            missed |= ratio > MOST_OF_ALONE
            print(
                f"{name:6} {network!s:8} {rows:5} rows  {kind:5}  without {without_s * 1e6:9.3f} us  "
                f"with one rank {with_s * 1e6:9.3f} us  ratio {ratio:.4f}",
                flush=True,
            )
    return int(missed)


def calls(backend: backends.Backend, rows: int) -> dict[str, Steps]:
    """Return what makes a number of steps, in single calls and in one call of train."""
    network, rng = backend.network, np.random.default_rng(0)
    x, y = rng.normal(size=(rows, network.inputs)), rng.normal(size=(rows, network.outputs))
    batch = backend.place_batch(x, y)
    params = backend.place_params(start(network))

    def step(count: int) -> None:
        nonlocal params
        for _ in range(count):
            params, _ = backend.step(params, batch, 1e-3)
        backend.synchronize()

    def train(count: int) -> None:
        nonlocal params
        params, _ = backend.train(params, batch, 1e-3, count)

    return {"step": step, "train": train}


def chunks(name: str) -> int:
    """Print what a step on chunks takes over what it takes in memory, and the memory of both."""
    backend = Shares(backends.load(name, CHUNKED))
    params = backend.place_params(start(CHUNKED))
    chunk_bytes = CHUNK_ROWS * (CHUNKED.inputs + CHUNKED.outputs) * 4
    warm = backend.place_chunks(rows_of(k, CHUNK_ROWS) for k in range(2))
    params, _ = backend.train(params, warm, 1e-3, 1)  # compiled, and its libraries at work
    del warm
    before = fresh_peak_bytes()
    chunked = backend.place_chunks(rows_of(k, CHUNK_ROWS) for k in range(CHUNKED_ROWS // CHUNK_ROWS))
    params, _ = backend.train(params, chunked, 1e-3, STEPS)
    taken = (peak_bytes() - before) / chunk_bytes
    parts = [rows_of(k, CHUNK_ROWS) for k in range(CHUNKED_ROWS // CHUNK_ROWS)]
    x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    del parts
    whole = backend.place_batch(x, y)
    del x, y
    gc.collect()

    def on(batch: object) -> Steps:
        def steps(count: int) -> None:
            nonlocal params
            params, _ = backend.train(params, batch, 1e-3, count)

        return steps

    on(whole)(1)
    ratio, memory_s, chunks_s = compared(on(whole), on(chunked), STEPS, CHUNKED_TURNS)
    print(
        f"{name:6} {CHUNKED} {CHUNKED_ROWS} rows  in memory {memory_s * 1e3:7.1f} ms  "
        f"in chunks {chunks_s * 1e3:7.1f} ms  ratio {ratio:.2f}  memory of {taken:.1f} chunks",
        flush=True,
    )
    return int(ratio > MOST_OF_CHUNKS or taken > MOST_CHUNKS)


def rows_of(number: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the inputs and targets of one chunk."""
    rng = np.random.default_rng(number)
    x = rng.random((rows, CHUNKED.inputs), np.float32)
    return x, x[:, :1].copy()


def start(network: Network) -> list[Layer]:
    """Return small parameters, the same each time."""
    rng = np.random.default_rng(1)
    return [Layer(0.1 * rng.normal(size=shape), np.zeros(shape[0])) for shape in network.layer_shapes]


def count_for(steps: Steps, turn_s: float) -> int:
    """Return how many steps a turn has."""
    count = 1
    while (took_s := timed(steps, count)) < turn_s:
        count = max(count + 1, min(10 * count, int(count * 1.2 * turn_s / took_s)))
    return count


def compared(first: Steps, second: Steps, count: int, turns: int) -> tuple[float, float, float]:
    """Return the ratio of second to first, of the lower quartiles over turns, and the least seconds of each."""
    pairs = []
    for turn in range(turns):
        order = (first, second) if turn % 2 == 0 else (second, first)
        took = [timed(steps, count) / count for steps in order]
        pairs.append(took if turn % 2 == 0 else took[::-1])
    of_first, of_second = zip(*pairs, strict=True)
    low = [statistics.quantiles(seconds, n=4)[0] for seconds in (of_first, of_second)]
    return low[1] / low[0], min(of_first), min(of_second)


def timed(steps: Steps, count: int) -> float:
    """Return the seconds of some steps."""
    begun_s = time.perf_counter()
    steps(count)
    return time.perf_counter() - begun_s


def fresh_peak_bytes() -> int:
    """Give freed memory back, forget the most that this process has had, and return what it has (Linux)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    """Return the most memory that this process has had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    sys.exit(main())
