"""What a step takes on a batch in chunks, predicted from steps and a file whose times are known."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import pytest

from backends import Network
from bench.advice.chunking import Chunking, chunking, predicted
from bench.advice.job import Job
from bench.basics.errors import UsageError
from bench.cli import chunking as command
from bench.machine.reading import Reading
from bench.terminal.chunking import answer
from bench.workload.memory import CHUNK_ROWS, need_bytes
from tests.bench.advice.test_sharing import ROW_S, rows

NETWORK = Network((3, 2, 1))
JOB = Job(NETWORK, 100 * CHUNK_ROWS)
FILE_BYTES = 16 * JOB.rows
READING = Reading(FILE_BYTES / 2e-3, FILE_BYTES / 80e-3, "/folder")  # all rows: 2 ms from the cache, 80 ms from disk
PLENTY = 1 << 40


def test_a_batch_is_cut_as_train_cuts_it() -> None:
    """Chunks have the rows of `train --chunks`; four of them count for memory, and the rest of it may keep the file."""
    cut = chunking(JOB, PLENTY)
    assert (cut.rows, cut.count, cut.file_bytes, cut.cached) == (CHUNK_ROWS, 100, FILE_BYTES, True)
    assert cut.memory_bytes < need_bytes(NETWORK, JOB.rows)
    assert not chunking(JOB, cut.memory_bytes).cached
    assert chunking(Job(NETWORK, 5), PLENTY).rows == 5


def test_a_file_in_the_cache_adds_its_reading() -> None:
    """A step takes what all rows take in memory, and reading them from the cache."""
    (said,) = predicted(rows(), JOB, chunking(JOB, PLENTY), READING, PLENTY)
    computed_s = JOB.rows * ROW_S
    assert said["step_s"] == pytest.approx(computed_s + 2e-3, rel=0.1)
    assert said["memory_step_s"] == pytest.approx(computed_s, rel=0.1)
    assert said["read_share"] == pytest.approx(2e-3 / (computed_s + 2e-3), rel=0.3)
    assert said["low_s"] < said["step_s"] < said["high_s"]
    assert said["total_s"] > 1000 * said["step_s"]


def test_a_file_beyond_memory_takes_as_long_as_the_disk() -> None:
    """If the disk is slower than computing, a step takes as long as the disk; nothing is said of memory then."""
    cut = chunking(JOB, 1 << 20)
    (said,) = predicted(rows(), JOB, cut, READING, 1 << 20)
    assert said["step_s"] == pytest.approx(80e-3, rel=0.1)
    assert math.isnan(said["memory_step_s"])


@pytest.mark.parametrize(("job", "flag"), [
    (Job(NETWORK, 10, rows_per_step=2), "--rows-per-step"),
    (Job(NETWORK, 10, fresh=True), "--fresh"),
    (Job(NETWORK, 10, phase="forward"), "--phase forward"),
])  # fmt: skip
def test_a_job_that_takes_no_chunks_is_refused(job: Job, flag: str, tmp_path: Path) -> None:
    """Mini-batches, fresh batches and inference take no chunks: wrong usage that names the flag."""
    with pytest.raises(UsageError, match=f"leave {flag} out"):
        command.answered(argparse.Namespace(results=tmp_path), job, [])


def test_memory_is_not_taken_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that fits on the disk and not in memory has no time of a step in memory."""
    monkeypatch.setattr("bench.workload.memory.free_bytes", lambda device: 1 << 20)
    monkeypatch.setattr("bench.machine.reading.known_or_probed", lambda root: replace(READING, folder=str(tmp_path)))
    monkeypatch.setattr("bench.results.load", lambda *runs, root: rows())
    (said,) = command.answered(argparse.Namespace(results=tmp_path), JOB, [])["rows"]
    assert math.isnan(said["memory_step_s"])


def test_the_answer_says_what_is_read_and_from_where() -> None:
    """The text has the chunks, the memory, a line a backend, the rate of what is read, and what is lacking."""
    row = {
        "backend": "numba", "threads": 2, "step_s": 8e-3, "low_s": 7e-3, "high_s": 9e-3, "read_share": 0.25,
        "total_s": 9.0, "total_low_s": 8.0, "total_high_s": 10.0, "memory_step_s": math.nan, "basis": "measured here",
    }  # fmt: skip
    cut = Chunking(CHUNK_ROWS, 100, FILE_BYTES, 1 << 29, False)
    said = {"chunks": vars(cut), "reading": vars(READING), "lack": "the rows take 1 GiB on disk", "rows": [row]}
    text = " ".join(part.replace("\n", " ") for part in answer(said, JOB) if isinstance(part, str))
    assert "6,553,600 rows in 100 chunks of 65,536 rows, 512 MiB of memory at most" in text
    assert "more than the system can keep in memory, at 1.31 GB/s (probed in /folder)" in text
    assert "the rows take 1 GiB on disk: set TMPDIR" in text.replace("       ", " ")
