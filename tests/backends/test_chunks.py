"""Batches in chunks on disk: the same gradients, little memory, clear errors."""

from __future__ import annotations

import errno
import tempfile
import tracemalloc
from typing import Any

import numpy as np
import pytest

import backends
from backends import Adam, Layer, Network, Shares, chunks
from backends.chunks import Chunks
from backends.conformance.cases import Case
from backends.conformance.composed import balls_of_steps
from backends.conformance.judge import Tally
from backends.conformance.stages import judge_params
from backends.conformance.subject import precision_of

NAMES = (*backends.available("best"), "numpy-idiom")


def in_chunks(x: np.ndarray, y: np.ndarray, rows: int) -> Any:
    """Yield rows of a batch, ``rows`` at a time."""
    return ((x[k : k + rows], y[k : k + rows]) for k in range(0, len(x), rows))


@pytest.mark.parametrize("case", ["3-2-1/n=64/normal", "784-9-2/n=50/normal"])
@pytest.mark.parametrize("name", NAMES)
def test_training_on_chunks_is_within_the_bounds_of_one_batch(name, case):
    """Two steps on chunks of 20 rows, the last one shorter, give losses and params within the bounds of one batch."""
    problem = Case.parse(case).problem("float32")
    backend = Shares(backends.load(name, problem.network))
    p = precision_of(backend, problem.work)
    batch = backend.place_chunks(in_chunks(problem.inputs, problem.targets, 20))
    params, losses = backend.train(backend.place_params(problem.params), batch, problem.learning_rate, 2)
    tally, steps = Tally(case, p, "float32"), balls_of_steps(problem, 2, p)
    for loss, (_, expected) in zip(losses, steps, strict=True):
        tally.judge("train", "loss", loss, expected)
    state = steps[-1][0]
    judge_params(tally, "train", backend.fetch(params), getattr(state, "params", state))
    assert all(finding.ratio <= 1 for finding in tally.findings), tally.findings


@pytest.mark.parametrize("name", backends.available("best"))
def test_chunk_is_read_back_in_the_layout_it_was_placed_in(name):
    """What is read into kept memory gives the bits of a share that is placed."""
    problem = Case.parse("3-2-1/n=64/normal").problem("float64")
    backend = Shares(backends.load(name, problem.network, "float64"))
    params = backend.place_params(problem.params)
    chunks = backend.place_chunks(in_chunks(problem.inputs, problem.targets, 24))
    for _ in range(2):  # the second time from memory that is kept
        read = [backend.inner.message(params, share.batch) for share in chunks.shares]
        placed = [
            backend.inner.message(params, backend.place_share(x, y, 64).batch)
            for x, y in in_chunks(problem.inputs, problem.targets, 24)
        ]
        assert [message.tobytes() for message in read] == [message.tobytes() for message in placed]


def test_long_chunk_is_cut_into_equal_pieces(monkeypatch):
    """Long chunks are cut into the fewest pieces of one length: training gives the bits of chunks that short."""
    problem = Case.parse("3-2-1/n=64/normal").problem("float64")
    backend = Shares(backends.load("numpy", problem.network, "float64"))
    params = backend.place_params(problem.params)
    short = backend.place_chunks(in_chunks(problem.inputs, problem.targets, 8))
    monkeypatch.setattr(chunks, "PIECE_ROWS", 11)
    monkeypatch.setattr(chunks, "PIECE_BYTES", 1)
    long = backend.place_chunks(in_chunks(problem.inputs, problem.targets, 24))
    assert long.shares.rows == short.shares.rows == [8] * 8
    assert backend.message(params, long).tobytes() == backend.message(params, short).tobytes()
    assert chunks.piece_rows(11, 32) == 11
    assert chunks.piece_rows(37, 32) == 11  # no length divides it: the last piece is shorter


def test_chunks_of_class_numbers_train_by_any_optimiser():
    """Targets that are class numbers, and Adam, work in chunks as in one batch, to rounding of exact zeros apart."""
    network, rng = Network((3, 4, 3), "relu", "cross-entropy"), np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)), rng.integers(0, 3, 50)
    params = tuple(Layer(rng.normal(size=shape), rng.normal(size=shape[0])) for shape in network.layer_shapes)
    plain = backends.load("numpy", network, "float64", optimizer=Adam())
    chunked = Shares(plain)
    _, one = plain.train(plain.place_params(params), plain.place_batch(x, y), 0.01, 1)
    _, many = chunked.train(chunked.place_params(params), chunked.place_chunks(in_chunks(x, y, 16)), 0.01, 1)
    np.testing.assert_array_almost_equal_nulp(many, one, 50)  # each of the 50 rows' terms may round otherwise


def test_batch_of_chunks_needs_the_memory_of_four():
    """Training on forty chunks never has more than four in memory, scratch of one included."""
    rows, network = 4096, Network((32, 4, 1))
    backend = Shares(backends.load("numpy", network))
    chunk_bytes = rows * (network.inputs + network.outputs) * 4
    rng = np.random.default_rng(0)
    chunks = ((rng.random((rows, 32), np.float32), rng.random((rows, 1), np.float32)) for _ in range(40))
    params = backend.place_params(Case(network, 1, "normal").problem("float32").params)
    tracemalloc.start()
    batch = backend.place_chunks(chunks)
    backend.train(params, batch, 0.01, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 4 * chunk_bytes


def test_chunks_are_taken_whole():
    """Mini-batches, a split and a new order of chunks are refused with what to do instead."""
    backend = Shares(backends.load("numpy", Network((3, 2, 1))))
    batch = backend.place_chunks([(np.ones((4, 3)), np.ones((4, 1)))])
    with pytest.raises(ValueError, match="a batch of chunks is taken whole"):
        backend.split(batch, 2)
    with pytest.raises(ValueError, match="a batch of chunks is taken whole"):
        backend.reorder(batch, np.arange(4))


def test_chunks_without_rows_are_left_out_and_no_rows_at_all_are_refused():
    """Empty chunks count for nothing; a batch of nothing but these is an error."""
    backend = Shares(backends.load("numpy", Network((3, 2, 1))))
    nothing, two = (np.ones((0, 3)), np.ones((0, 1))), (np.ones((2, 3)), np.ones((2, 1)))
    assert backend.place_chunks([nothing, two, nothing, two]).of == 4
    with pytest.raises(ValueError, match="at least one row"):
        backend.place_chunks([nothing])


def test_folder_without_room_is_named(monkeypatch):
    """A full disk is an error that names the folder and the variable that chooses another."""

    class Full:
        def __init__(self, *args: object, **kwargs: object) -> None:
            pass

        def tell(self) -> int:
            return 0

        def close(self) -> None:
            pass

        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(OSError, match=r"does not fit into .*set TMPDIR"):
        Shares(backends.load("numpy", Network((3, 2, 1)))).place_chunks([(np.ones((2, 3)), np.ones((2, 1)))])


def test_error_of_the_reader_reaches_the_training(monkeypatch):
    """What goes wrong while a chunk is read ahead is raised by the step."""
    backend = Shares(backends.load("numpy", Network((3, 2, 1))))
    batch = backend.place_chunks([(np.ones((2, 3)), np.ones((2, 1)))] * 3)
    assert isinstance(batch.shares, Chunks)
    batch.shares._file.truncate(40)
    params = backend.place_params(Case.parse("3-2-1/n=64/normal").problem("float32").params)
    with pytest.raises(OSError, match="cut short"):
        backend.step(params, batch, 0.1)
