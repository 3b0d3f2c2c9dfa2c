"""Mini-batches from a table: the same rows in the same order, kept or streamed, in memory that does not grow."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import backends
from backends import Layer, Network
from bench.basics.errors import UsageError
from bench.training import csv_rows
from bench.training import stream as streams
from bench.training.classes import Classes
from bench.training.files import open_table
from bench.training.form import Form
from bench.training.read_ahead import read_ahead
from bench.training.standardise import Standardisation
from bench.training.stream import Stream, open_stream
from bench.training.table_chunks import TableChunks, rows_of_whole_steps
from bench.training.training import Course, start_params, train_epochs

CHECKOUT = Path(__file__).resolve().parents[3]
NETWORK = Network((2, 4, 1))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut tables into chunks of 64 rows."""
    monkeypatch.setattr("bench.workload.memory.CHUNK_ROWS", 64)


def table(folder: Path, rows: int = 1000, name: str = "t.parquet", group: int = 100) -> Path:
    """Write a table of two inputs and a target; the first input is the number of the row."""
    x = np.random.default_rng(0).standard_normal(rows)
    columns = pa.table({"row": np.arange(rows, dtype=float), "x": x, "y": np.sin(x)})
    path = folder / name
    if ".csv" in path.suffixes:
        with pa.output_stream(path, compression="detect") as stream:
            pa.csv.write_csv(columns, stream)
    else:
        pa.parquet.write_table(columns, path, row_group_size=group)
    return path


def opened(
    path: Path,
    inputs: tuple[str, ...] = ("row", "x"),
    drop_missing: bool = False,
    holdout: float = 0.2,
    rows_per_step: int = 16,
    seed: int = 0,
    classes: Classes | None = None,
) -> Stream:
    """Open a table as a stream."""
    rows = rows_of_whole_steps(len(inputs) + 1, rows_per_step)
    cut = TableChunks(open_table(path), (*inputs, "y"), ("y",), drop_missing, holdout, seed, rows)
    return open_stream(cut, 4, classes)


def rows_of(stream: Stream, epoch: int) -> list[int]:
    """Return the numbers of the rows of an epoch, in order."""
    backend = backends.load("numpy", Network((2, 1, 1), "identity"), "float64")
    first_input = [(np.array([[1.0, 0.0]]), np.zeros(1)), (np.zeros((1, 1)), np.zeros(1))]
    params = backend.place_params([Layer(*layer) for layer in first_input])
    found: list[int] = []
    for _, batch in stream.batches(backend, epoch):
        x = backend.outputs(backend.forward(params, batch))[0][:, 0]
        found += np.round(x * stream.inputs.scales[0] + stream.inputs.means[0]).astype(int).tolist()
    return found


@pytest.mark.usefixtures("small_chunks")
def test_an_epoch_takes_each_row_that_is_not_held_out_once_in_an_order_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows trained on and rows held out make up the table; the order changes with the epoch and with the seed."""
    monkeypatch.setattr(streams, "HELD_SHARE", 0.1)
    stream = opened(table(tmp_path))
    first, again, second = rows_of(stream, 0), rows_of(stream, 0), rows_of(stream, 1)
    held = np.round(stream.held_x[:, 0] * stream.inputs.scales[0] + stream.inputs.means[0]).astype(int).tolist()
    assert first == again
    assert sorted(first) == sorted(second) != second != first
    assert sorted(first + held) == list(range(1000))
    assert len(held) == pytest.approx(200, abs=5)
    assert rows_of(opened(tmp_path / "t.parquet", seed=1), 0) != first


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_a_streamed_table_trains_as_one_that_is_kept(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses and parameters are the same to the bit, from either kind of file, and the table is read for each epoch."""
    path = table(tmp_path, name=name)
    kept = opened(path)
    monkeypatch.setattr(streams, "process_free_bytes", lambda: 0)
    streamed = opened(path)
    assert (kept.keep, streamed.keep, kept.sizes) == (True, False, streamed.sizes)
    backend = backends.load("numpy", NETWORK)
    runs = [
        train_epochs(backend, start_params(NETWORK, 0), stream, Course(0.05, 3 * stream.steps(16), lambda *_: True), 16)
        for stream in (kept, streamed)
    ]
    assert runs[0].losses.tolist() == runs[1].losses.tolist()
    assert all(
        (a == b).all()
        for one, two in zip(*(run.params for run in runs), strict=True)
        for a, b in zip(one, two, strict=True)
    )
    assert runs[0].losses[-20:].mean() < runs[0].losses[:20].mean()


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    ("name", "group", "together"),
    [
        *(("t.parquet", 40, 1), ("t.parquet", 200, 4), ("t.parquet", 1000, 16)),
        *(("t.csv", 40, 1), ("t.csv", 1000, 16), ("t.csv.gz", 40, 16)),
    ],
)
def test_epochs_visit_chunks_in_an_order_of_their_own(
    tmp_path: Path, name: str, group: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as row groups, or blocks of a CSV file, allow: those of a long one, or a compressed file, do not part."""
    monkeypatch.setattr(streams, "process_free_bytes", lambda: 0)
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", group * 45)
    path = table(tmp_path, name=name, group=group)
    stream = opened(path, holdout=0.0)
    orders = []
    for epoch in range(3):
        rows = rows_of(stream, epoch)
        assert sorted(rows) == list(range(1000))
        chunks = [row // 64 for row in rows]
        orders.append([k for k, _ in itertools.groupby(chunks)])
        assert len(orders[-1]) == 16, "a chunk is visited once"
    assert max(map(len, stream.table.runs())) <= together + 1
    assert (orders[0] != sorted(orders[0])) == (orders[0] != orders[1]) == (together < 16)
    monkeypatch.setattr(streams, "process_free_bytes", lambda: 1 << 40)
    kept = opened(path, holdout=0.0)
    assert [rows_of(kept, epoch) for epoch in (0, 1)] == [rows_of(stream, epoch) for epoch in (0, 1)]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_csv_file_is_read_on_from_each_start_as_from_its_beginning(
    tmp_path: Path, newline: str, mark: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever lies between the rows: line breaks in quotes, comments, empty lines, lines above the header."""
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 97)
    rows = [f'{k},"text of{newline}row {k}",{k / 7}' if k % 5 == 1 else f"{k},plain,{k / 7}" for k in range(120)]
    between = ["", "# a comment, of three, fields"]
    lines = itertools.chain(*((row, *between[: k % 3]) for k, row in enumerate(rows)))
    path = tmp_path / "t.csv"
    path.write_bytes(mark + newline.join(["written by hand", "n,name,x", *lines]).encode())
    file = open_table(path, Form(skip_rows=1, comment="#"))

    def read(first: int) -> list[tuple[Any, ...]]:
        return [
            row for batch in file.blocks(["n", "name"], first) for row in zip(*batch.to_pydict().values(), strict=True)
        ]

    whole = read(0)
    assert [int(n) for n, _ in whole] == list(range(120))
    assert len(file.starts) > 10
    assert all(read(first) == whole[first:] for first in [*file.starts, 1, 50, 119])


@pytest.mark.usefixtures("small_chunks")
def test_rows_with_missing_values_do_not_move_what_a_chunk_holds(tmp_path: Path) -> None:
    """Chunks are of complete rows, and are found again behind any number of rows that are left out."""
    x = np.where(np.arange(1000) % 3 == 1, np.nan, np.arange(1000.0))
    columns = pa.table({"row": np.arange(1000.0), "x": pa.array(x, from_pandas=True), "y": np.sin(np.arange(1000.0))})
    pa.parquet.write_table(columns, tmp_path / "t.parquet", row_group_size=90)
    stream = opened(tmp_path / "t.parquet", drop_missing=True, holdout=0.0)
    assert len(stream.table.runs()) > 5
    expected = [row for row in range(1000) if row % 3 != 1]
    assert all(sorted(rows_of(stream, epoch)) == expected for epoch in range(2))


@pytest.mark.usefixtures("small_chunks")
def test_backends_see_the_same_rows(tmp_path: Path) -> None:
    """With a rate so small that nothing moves, the losses of the steps agree on every backend with mini-batches."""
    stream = opened(table(tmp_path))
    losses = []
    for name in backends.available():
        if backends.find(name).capabilities.minibatches:
            backend = backends.load(name, NETWORK, "float64")
            stream._placed.clear()
            start = start_params(NETWORK, 0)
            losses.append(train_epochs(backend, start, stream, Course(1e-12, 60, lambda *_: True), 16).losses)
    assert len(losses) > 1
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=1e-9)  # other rows would differ in the first digit


@pytest.mark.usefixtures("small_chunks")
def test_the_standardisation_is_that_of_all_rows_trained_on(tmp_path: Path) -> None:
    """Merged chunk by chunk, mean and spread are those of the whole, of huge numbers and of a constant as well."""
    random = np.random.default_rng(1)
    columns = {"a": random.standard_normal(500) * 1e200, "b": np.full(500, 0.1), "y": random.standard_normal(500) + 1e6}
    pa.parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    stream = opened(tmp_path / "t.parquet", ("a", "b"), holdout=0.0, rows_per_step=8)
    expected = Standardisation.fit(("a", "b", "y"), np.stack(list(columns.values()), axis=1))
    got = stream.inputs.means + stream.targets.means, stream.inputs.scales + stream.targets.scales
    np.testing.assert_allclose(got[0], expected.means, rtol=1e-12)
    np.testing.assert_allclose(got[1], expected.scales, rtol=1e-9)
    assert stream.inputs.constant == ("b",)


@pytest.mark.usefixtures("small_chunks")
def test_classes_have_the_same_numbers_wherever_they_first_appear(tmp_path: Path) -> None:
    """A class that comes first in the third chunk is numbered by its name, in samples and in every epoch."""
    names = ["b"] * 150 + ["a"] * 150
    pa.parquet.write_table(pa.table({"x": np.arange(300.0), "y": names}), tmp_path / "t.parquet")
    stream = opened(tmp_path / "t.parquet", ("x",), holdout=0.25, rows_per_step=8, classes=Classes("y", []))
    assert stream.targets.columns == ("a", "b")
    middle = (149.5 - stream.inputs.means[0]) / stream.inputs.scales[0]
    for x, y in ((stream.sample_x, stream.sample_y), (stream.held_x, stream.held_y)):
        assert ((x[:, 0] > middle) == (y[:, 0] == 1)).all()
        assert (y.sum(axis=1) == 1).all()


def test_a_fault_late_in_the_table_is_told_before_training(tmp_path: Path) -> None:
    """The first pass looks at every value."""
    (tmp_path / "t.csv").write_text("row,x,y\n" + "1,2,3\n" * 5000 + "1,two,3\n")
    with pytest.raises(UsageError, match=r"column 'x' has text or dates in 1 of 5,001 rows \(first in data row 5,001"):
        opened(tmp_path / "t.csv")


def test_reading_ahead_passes_on_what_it_reads_and_what_goes_wrong() -> None:
    """Chunks come in order; an error comes after them; whoever stops early leaves no thread behind."""

    def chunks(count: int, fail: bool = False) -> Any:
        for number in range(count):
            yield np.array([float(number)])
        if fail:
            raise ValueError("torn")

    assert [float(chunk[0]) for chunk in read_ahead(chunks(5))] == [0, 1, 2, 3, 4]
    got = []
    with pytest.raises(ValueError, match="torn"):
        got += [float(chunk[0]) for chunk in read_ahead(chunks(2, fail=True))]
    reader = read_ahead(chunks(1000))
    assert next(reader)[0] == 0
    reader.close()


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_a_table_larger_than_memory_is_streamed(tmp_path: Path) -> None:
    """A table of four times the memory that may be taken beyond the start trains in four chunks or fewer."""
    rows, width = 32_768, 32
    chunk = rows * width * 8
    schema = pa.schema([(f"c{k}", pa.float32()) for k in range(width)])
    random = np.random.default_rng(0)
    block = pa.table([pa.array(random.standard_normal(rows, np.float32)) for _ in range(width)], schema=schema)
    with pa.parquet.ParquetWriter(tmp_path / "big.parquet", schema, compression="none") as writer:
        for _ in range(4 * 4):
            writer.write_table(block)
    code = f"""
import sys
from resource import RUSAGE_SELF, getrusage
from bench import cli
from bench.training import prepare, stream
from bench.workload import memory
train = ["train", "--data", "big.parquet", "--target", "c0", "--backend", "numpy", "--rows-per-step", "4096"]
memory.CHUNK_ROWS, stream.process_free_bytes = {rows}, lambda: 4 * {chunk}
start, usual = [], stream.open_stream
def opened(*arguments):
    start.append(getrusage(RUSAGE_SELF).ru_maxrss)
    return usual(*arguments)
prepare.open_stream = opened
assert cli.main([*train, "--network", "31-4-1", "--epochs", "2", "--json"]) == 0
print((getrusage(RUSAGE_SELF).ru_maxrss - start[0]) * 1024, file=sys.stderr)
"""
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
    )
    assert ended.returncode == 0, ended.stderr
    assert '"kept_in_memory": false' in ended.stdout
    assert int(ended.stderr.split()[-1]) <= 4 * chunk
