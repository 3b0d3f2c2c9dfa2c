"""What a step takes on a batch in chunks that are read from disk: a prediction, from measured steps and a probed file.

    step = chunks * (step of a chunk + what a call from Python costs) + reading

Reading is that of a file that the system keeps in memory, if it has room for all rows; else a step takes as long as the
disk gives the rows, or as computing them, whichever is longer: the next chunk is read while one is computed on.

Tests: `tests/bench/advice/test_chunking.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.advice import costs
from bench.advice.job import Job
from bench.advice.time_model import DRAWS, Shape
from bench.machine.reading import Reading
from bench.workload.memory import CHUNKS_HELD, PROCESS_BYTES, SPARE, chunk_rows, need_bytes
from bench.workload.work import batch_bytes

if TYPE_CHECKING:
    import pandas as pd

READING_SCATTER, DISK_SCATTER = 0.15, 0.4
"""Log scatter of reading: from the system's cache, and from a disk that others use too."""


@dataclass(frozen=True)
class Chunking:
    """How a batch is cut.

    Attributes:
        rows: of a chunk.
        count: of chunks.
        file_bytes: of all rows.
        memory_bytes: that training on it needs.
        cached: whether the system can keep the file in memory.
    """

    rows: int
    count: int
    file_bytes: int
    memory_bytes: int
    cached: bool


def chunking(job: Job, free: int) -> Chunking:
    """Return how a job's batch is cut if this many bytes of memory are free."""
    network = job.network
    rows = min(job.rows, chunk_rows(network.inputs + network.outputs))
    memory = PROCESS_BYTES + need_bytes(job.workload, CHUNKS_HELD * rows, job.dtype)
    file = batch_bytes(network, job.rows, job.dtype)
    return Chunking(rows, math.ceil(job.rows / rows), file, memory, file <= SPARE * free - memory)


def predicted(
    frame: pd.DataFrame, job: Job, cut: Chunking, reading: Reading, free: int, seed: int = 0
) -> list[dict[str, Any]]:
    """Return one record for each backend, the fastest first.

    Args:
        frame: rows as `bench.results.load` gives them, of one machine.
        job: what is trained.
        cut: how its batch is cut.
        reading: how fast the file is read.
        free: bytes of memory free.
        seed: of the draws.

    Returns:
        ``backend``, ``threads``; ``step_s``, ``low_s``, ``high_s`` (95 %); ``read_share`` of a step; ``total_s``,
        ``total_low_s``, ``total_high_s`` of the job; ``memory_step_s`` of the same batch in memory, NaN if it does not
        fit; ``basis`` of the step of a chunk.
    """
    rows = frame[(frame["dtype"] == job.dtype) & (frame["device"] == (job.device or "cpu"))]
    network = job.shape.network
    shapes = [Shape(network, cut.rows), Shape(network, job.rows)]
    fits = PROCESS_BYTES + need_bytes(job.workload, job.rows, job.dtype) <= SPARE * free
    records = []
    known = costs.with_threads(costs.costs(rows, shapes, job.cache, seed, job), job.threads)
    for number, cost in enumerate(costs.with_best_threads(known, job.steps)):
        rng = np.random.default_rng([seed, number])
        around = np.exp(rng.standard_normal((2, DRAWS)) * [[READING_SCATTER], [DISK_SCATTER]])
        computed_s = job.rows / cut.rows * (cost.step_s[:, 0] + cost.call_s[:, 0])
        cached_s = cut.file_bytes / reading.cached_bytes_per_s * around[0]
        disk_s = cut.file_bytes / reading.disk_bytes_per_s * around[1]
        step_s = computed_s + cached_s if cut.cached else np.maximum(computed_s + cached_s, disk_s)
        placed_s = cut.count * cost.place_s[:, 0] + disk_s  # written once, about as fast as read
        total_s = cost.import_s[:, 0] + cost.compile_s[:, 0] + placed_s + job.steps * step_s
        low_s, middle_s, high_s = map(float, np.quantile(step_s, (0.025, 0.5, 0.975)))
        total_low_s, total_middle_s, total_high_s = map(float, np.quantile(total_s, (0.025, 0.5, 0.975)))
        records.append(
            {
                "backend": cost.backend, "threads": cost.threads, "step_s": middle_s, "low_s": low_s, "high_s": high_s,
                "read_share": float(np.median(1 - computed_s / step_s)), "total_s": total_middle_s,
                "total_low_s": total_low_s, "total_high_s": total_high_s, "basis": cost.basis,
                "memory_step_s": float(np.median(cost.step_s[:, 1])) if fits else math.nan,
            }
        )  # fmt: skip
    return sorted(records, key=lambda record: float(record["total_s"]))
