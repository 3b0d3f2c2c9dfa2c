"""``train`` beyond plain descent on numbers: classes, activations, optimisers, mini-batches, early stopping."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import backends
from bench import cli
from bench.training.trained_model import load_model


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """A table of 400 points with the name of the ring that each is in."""
    x = np.random.default_rng(0).standard_normal((400, 2))
    far = np.hypot(x[:, 0], x[:, 1])
    ring = np.where(far < 0.8, "inner", np.where(far < 1.5, "middle", "outer"))
    path = tmp_path / "shapes.csv"
    pa.csv.write_csv(pa.table({"a": x[:, 0], "b": x[:, 1], "ring": ring, "far": far}), path)
    return path


def train(capsys: pytest.CaptureFixture[str], *flags: Any, status: int = cli.SUCCESS) -> dict[str, Any]:
    """Run ``train`` and return its document."""
    assert cli.main(["train", *map(str, flags), "--json"]) == status, capsys.readouterr().err
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


CLASSES = ("--target", "ring", "--ignore", "far", "--optimizer", "adam", "--backend", "numpy")


def test_a_target_of_text_is_learnt_as_classes(shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Cross-entropy is chosen and said so; accuracy and confusion are shown; predict writes probabilities as well."""
    saved, out = shapes.with_name("p"), shapes.with_name("out.csv")
    flags = ("--data", shapes, *CLASSES, "--activation", "relu", "--steps", "600")
    assert cli.main(["train", *map(str, flags), "--save", str(saved)]) == cli.SUCCESS
    text = " ".join(capsys.readouterr().out.split())
    assert "3 in column ring: inner, middle, outer; loss cross-entropy, as this column is text" in text
    assert "2-32-3/relu/cross-entropy" in text
    assert re.search(r"rows held out 80 9\d\.?\d* %", text), text
    assert re.search(r"inner middle outer .* inner \d+ \d+ 0", text)
    assert load_model(saved).class_column == "ring"
    assert cli.main(["predict", "--params", str(saved), "--data", str(shapes), "--out", str(out)]) == cli.SUCCESS
    assert re.search(r"Scored on 400 rows with the target: accuracy 9\d", " ".join(capsys.readouterr().err.split()))
    table = pa.csv.read_csv(out)
    assert table.column_names == ["predicted_ring", "probability_inner", "probability_middle", "probability_outer"]
    probabilities = np.stack([table.column(k).to_numpy() for k in (1, 2, 3)], axis=1)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    guessed = np.array(["inner", "middle", "outer"])[probabilities.argmax(axis=1)].tolist()
    assert guessed == table.column(0).to_pylist()


def test_numbers_name_classes_when_asked(shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --loss cross-entropy a column of whole numbers is one of classes, with classes in JSON and in the file."""
    table = pa.csv.read_csv(shapes)
    codes = {"inner": 10, "middle": 9, "outer": 1}
    stored = shapes.with_suffix(".parquet")
    numbers = pa.array([codes[name] for name in table["ring"].to_pylist()])
    pa.parquet.write_table(table.drop(["ring"]).append_column("ring", numbers), stored)
    found = train(capsys, "--data", stored, *CLASSES, "--loss", "cross-entropy", "--steps", "50")
    assert (found["classes"], found["targets"], found["network"]) == (
        ["1", "9", "10"],
        ["ring"],
        "2-32-3/cross-entropy",
    )
    assert np.sum(found["held_out"]["confusion"]) == 80
    assert found["held_out"]["accuracy"] == np.trace(found["held_out"]["confusion"]) / 80
    found = train(capsys, "--data", stored, *CLASSES, "--steps", "50")
    assert (found["classes"], found["network"]) == (None, "2-32-1")


@pytest.mark.parametrize("optimizer", ["descent", "momentum", "adam", "adam:weight_decay=0.01"])
def test_every_optimiser_learns_with_the_rate_that_is_suggested(
    shapes: Path, optimizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In full batches and in mini-batches the loss falls to less than half."""
    for few in ((), ("--rows-per-step", "32", "--epochs", "40")):
        flags = ("--target", "far", "--ignore", "ring", "--optimizer", optimizer, "--backend", "numpy", *few)
        found = train(capsys, "--data", shapes, *flags)
        tenth = max(1, len(found["losses"]) // 10)
        assert np.mean(found["losses"][-tenth:]) < np.mean(found["losses"][:tenth]) / 2, (optimizer, few)
        assert found["optimizer"] == optimizer


def test_mini_batches_count_epochs_and_reshuffle(shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """320 rows in steps of 32 are 10 steps an epoch; with parameters that do not move, other losses in each epoch."""
    flags = ("--data", shapes, "--target", "far", "--ignore", "ring", "--backend", "numpy", "--rows-per-step", "32")
    found = train(capsys, *flags, "--epochs", "3", "--learning-rate", "1e-30")
    assert (found["steps"], found["rows_per_step"], found["kept_in_memory"]) == (30, 32, True)
    epochs = np.array(found["losses"]).reshape(3, 10)
    assert len(np.unique(epochs.round(5))) > 20
    np.testing.assert_allclose(epochs.mean(axis=1), epochs.mean(), rtol=1e-5)
    again = train(capsys, *flags, "--epochs", "3", "--learning-rate", "1e-30")
    assert again["losses"] == found["losses"]
    assert train(capsys, *flags, "--steps", "13")["steps"] == 13


@pytest.mark.parametrize("few", [(), ("--rows-per-step", "8")])
def test_patience_stops_and_keeps_the_best(
    tmp_path: Path, few: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """On noise the held-out loss soon rises: training stops early, and what is saved has the lowest held-out loss."""
    random = np.random.default_rng(3)
    path, saved = tmp_path / "noise.csv", tmp_path / "p"
    pa.csv.write_csv(pa.table({"a": random.random(40), "b": random.random(40), "y": random.random(40)}), path)
    flags = ("--data", path, "--target", "y", "--network", "2-64-1", "--learning-rate", "0.1", "--holdout", "0.4", *few)
    length = ("--epochs", "4000")
    found = train(capsys, *flags, *length, "--backend", "numpy", "--patience", "3", "--save", saved)
    assert found["best_step"] < found["steps"] < found["steps_asked_for"]
    upto = ("--steps", str(found["best_step"])) if found["best_step"] else None
    if upto:
        shorter = train(capsys, *flags, *upto, "--backend", "numpy")
        assert shorter["held_out"] == found["held_out"]
    longer = train(capsys, *flags, "--steps", str(found["steps"]), "--backend", "numpy")
    assert longer["held_out"]["loss"] > found["held_out"]["loss"]


def test_interrupted_training_keeps_the_best_parameters(
    shapes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in a later epoch saves the parameters of the lowest held-out loss, status 130."""
    kind = backends.find("numpy")
    usual, calls = kind.train, []

    def interrupted(self: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return usual(self, *arguments, **options)

    monkeypatch.setattr(kind, "train", interrupted)
    flags = ("--data", shapes, *CLASSES, "--rows-per-step", "32", "--patience", "5", "--learning-rate", "0.002")
    found = train(capsys, *flags, "--save", shapes.with_name("p"), status=cli.INTERRUPTED)
    assert (found["steps"], found["best_step"]) == (30, 20)
    assert shapes.with_name("p").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--optimizer", "adamw"], "--optimizer: no optimizer 'adamw'; known: descent, momentum, adam"),
        (["--optimizer", "adam:beta1=2"], "beta1 of adam must be at least 0 and less than 1"),
        (["--activation", "gelu"], "--activation: no activation 'gelu'; known: tanh, relu"),
        (["--rows-per-step", "8", "--chunks"], "--chunks takes all rows at each step and --rows-per-step a few"),
        (["--rows-per-step", "0"], "--rows-per-step must be 1 or more, got 0"),
        (["--rows-per-step", "5000"], "--rows-per-step 5000 is more than the 320 rows trained on"),
        (["--epochs", "0"], "--epochs must be 1 or more, got 0"),
        (["--epochs", "2", "--steps", "3"], "--steps and --epochs both say how long"),
        (["--patience", "3", "--holdout", "0"], "--patience watches the rows held out"),
        (["--network", "2-8-5"], "has 5 outputs, but column 'ring' has 3 classes; write --network 2-8-3"),
        (["--loss", "mse"], "column 'ring' has text or dates in 400 of 400 rows"),
        (["--loss", "cross-entropy", "--target", "a"], "learns the classes of one --target, got 2"),
        (["--backend", "jax-by-hand"], "--backend: backend 'jax-by-hand' has no loss 'cross-entropy'"),
    ],
)
def test_what_cannot_be_is_refused(
    shapes: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each ends with status 2 and one error that names the value and what there is."""
    assert cli.main(["train", "--data", str(shapes), "--target", "ring", "--ignore", "far", *flags]) == cli.WRONG_USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in " ".join(captured.err.split())


def test_training_that_stalls_says_what_to_change(shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rate that is far too small is told, with the flags that help."""
    flags = ["--target", "far", "--ignore", "ring", "--backend", "numpy", "--learning-rate", "1e-9", "--steps", "50"]
    assert cli.main(["train", "--data", str(shapes), *flags]) == cli.SUCCESS
    assert "hardly fallen: try a higher --learning-rate" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("target", [("far", "--ignore", "ring"), ("ring", "--ignore", "far")])
def test_chunks_train_on_all_rows_at_each_step(
    target: tuple[str, ...],
    shapes: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Losses are those of all rows in memory, but for the rounding of means that are taken in another order."""
    monkeypatch.setattr("bench.workload.memory.CHUNK_ROWS", 90)
    monkeypatch.setattr("bench.workload.memory.CHUNK_BYTES", 0)
    monkeypatch.setattr("bench.workload.memory.LEAST_CHUNK_ROWS", 90)
    flags = ("--data", shapes, "--target", *target, "--backend", "numpy", "--dtype", "float64", "--holdout", "0")
    whole = train(capsys, *flags, "--steps", "40")
    parts = train(capsys, *flags, "--steps", "40", "--chunks")
    assert (whole["chunks"], parts["chunks"], parts["rows_trained_on"], parts["kept_in_memory"]) == (
        None,
        5,
        400,
        False,
    )
    np.testing.assert_allclose(parts["losses"], whole["losses"], rtol=1e-10)


def test_chunks_hold_rows_out_and_say_so(shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is trained on, and from where, is said; the held-out loss is watched and scored."""
    flags = ("--data", shapes, *CLASSES, "--chunks", "--steps", "200", "--patience", "50")
    assert cli.main(["train", *map(str, flags)]) == cli.SUCCESS
    text = " ".join(capsys.readouterr().out.split())
    assert "200 full-batch steps on 1 chunk read from disk, of adam" in text
    assert re.search(r"rows held out 80 9\d", text), text


def test_folder_without_room_for_chunks_is_a_usage_error(
    shapes: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is said in one sentence with the remedy."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device: set TMPDIR to a folder with more room")

    monkeypatch.setattr("backends.chunks.Chunks._write", full)
    assert cli.main(["train", "--data", str(shapes), *CLASSES, "--chunks", "--steps", "2"]) == cli.WRONG_USAGE
    assert "--chunks: No space left on device: set TMPDIR" in " ".join(capsys.readouterr().err.split())
