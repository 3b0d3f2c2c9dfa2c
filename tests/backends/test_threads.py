"""Blocks of a batch for a pool of threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import backends
from backends import Layer, Network
from backends.threads import LONG_ROWS, MINIMUM_ROWS, NEAR_BYTES, RUNS, BlockThreads, even_rows, rows_of_a_block
from tests.backends.workload_cases import INPUTS, drawn_params


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("n", [1, 2048, 2049, 4096, 5000, 16_384, 1 << 20])
def test_threads_get_as_many_blocks_of_like_length(n: int, threads: int) -> None:
    """One block as long as it may be; then as many for each thread, hardly longer, and the last hardly shorter."""
    most = 2048
    rows = even_rows(n, most, threads)
    blocks = -(-n // rows)
    assert (blocks == 1) == (n <= most)
    assert rows <= most * 17 // 16 + 31
    if blocks > 1:
        assert blocks % threads == 0 or rows < 32 * blocks
        assert blocks * rows - n <= 32 * blocks


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("blocks", [1, 2, 15, 40])
def test_blocks_are_worked_on_once_each_and_results_keep_their_order(threads: int, blocks: int) -> None:
    """The runs of all results, one after the other, are all blocks, however long each takes and whoever takes it."""

    def work(run: range) -> range:
        time.sleep(1e-3 * (run.start % 3))
        return run

    runs = BlockThreads(threads).map(work, blocks)
    assert [block for run in runs for block in run] == list(range(blocks))
    assert len(runs) == min(RUNS, blocks)


def test_the_caller_and_the_pool_share_the_work() -> None:
    """Two parts that wait for each other are done, by two threads of which one is the caller."""
    both, names = threading.Barrier(2, timeout=10), set()

    def work(run: range) -> None:
        both.wait()
        names.add(threading.get_ident())

    BlockThreads(2).map(work, 2)
    assert len(names) == 2
    assert threading.get_ident() in names


FORK = """
import os, signal
from backends.threads import BlockThreads
threads = BlockThreads(2)
first = threads.map(list, 4)
child = os.fork()
if child == 0:
    signal.alarm(20)
    os._exit(threads.map(list, 4) != first)
assert os.waitpid(child, 0)[1] == 0, "the forked process waits for threads that it does not have"
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_starts_threads_of_its_own() -> None:
    """Blocks are worked on in a fork of a process whose threads are at hand."""
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", FORK], cwd=root, check=True)


@pytest.mark.parametrize("at", range(4))
def test_an_error_of_any_part_reaches_the_caller(at: int) -> None:
    """Whichever thread meets it."""

    def work(run: range) -> None:
        if at in run:
            raise FloatingPointError(str(at))

    with pytest.raises(FloatingPointError, match=str(at)):
        BlockThreads(2).map(work, 4)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 16, 17, 100])
def test_copies_cover_all_rows(threads: int, n: int) -> None:
    """Each row is copied once, by at most as many calls as there are threads."""
    calls: list[slice] = []
    BlockThreads(threads).copy(calls.append, n)
    assert sorted(row for rows in calls for row in range(n)[rows]) == list(range(n))
    assert len(calls) <= threads


@pytest.mark.parametrize(
    ("scratch_bytes", "rows"), [(8, LONG_ROWS), (256, NEAR_BYTES // 256), (NEAR_BYTES // 1024, MINIMUM_ROWS)]
)
def test_rows_of_a_block_follow_what_a_row_needs(scratch_bytes: int, rows: int) -> None:
    """Long blocks of narrow networks, then what stays in the cache, then the least rows that products need."""
    assert rows_of_a_block(scratch_bytes) == rows


@pytest.mark.parametrize("name", backends.available("best"))
@pytest.mark.parametrize(("features", "rows"), [(3, 200_003), (40, 10_007), (160, 2_503)])
def test_a_batch_placed_by_all_threads_has_every_row(name: str, features: int, rows: int) -> None:
    """A network that passes on its inputs gives them bit for bit, and a loss of zero if they are the targets too."""
    x = np.random.default_rng(0).standard_normal((rows, features), dtype=np.float32)
    backend = backends.load(name, Network((features, features, features), activation="identity"))
    passes_on = Layer(np.eye(features), np.zeros(features))
    params, batch = backend.place_params([passes_on, passes_on]), backend.place_batch(x, x)
    tape = backend.forward(params, batch)
    for outputs in backend.outputs(tape):
        np.testing.assert_array_equal(outputs, x)
    loss, _ = backend.backward(params, batch, tape)
    assert float(loss) == 0


def test_threads_below_one_are_refused():
    """A backend that can choose its threads needs at least one."""
    with pytest.raises(ValueError, match="threads must be 1 or more, got 0"):
        backends.load("numpy", Network((3, 2, 1)), threads=0)


@pytest.mark.parametrize("name", backends.available("best", "idiom"))
def test_number_of_threads_is_the_one_asked_for(name):
    """A backend that can choose uses as many threads as asked, and says so."""
    if not backends.find(name).capabilities.threads:
        pytest.skip(f"{name} cannot choose its threads")
    usual = backends.load(name, Network((3, 2, 1)), "float64")
    before = usual.describe()["threads"]
    try:
        one = backends.load(name, Network((3, 2, 1)), "float64", threads=1)
        assert one.describe()["threads"] == 1
        params, _ = one.step(one.place_params(drawn_params(one.network)), one.place_batch(INPUTS, INPUTS[:, :1]), 0.1)
        assert np.isfinite(one.fetch(params)[0].weights).all()
    finally:
        backends.load(name, Network((3, 2, 1)), "float64", threads=int(before))
    assert usual.describe()["threads"] == before
