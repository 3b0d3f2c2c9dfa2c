"""The commands ``train`` and ``predict`` from end to end: files in, scores out, and every wrong turn named."""

from __future__ import annotations

import json
import os
import re
import signal
import time
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

ROWS = 120


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    """A table of five inputs, one of them constant and one boolean, and two targets that depend on them."""
    random = np.random.default_rng(0)
    area, rooms, noise = random.uniform(30, 200, ROWS), random.integers(1, 7, ROWS), random.standard_normal(ROWS)
    garden = random.random(ROWS) < 0.5
    columns = {
        "area": area,
        "rooms": rooms,
        "garden": garden,
        "year": [2024] * ROWS,
        "price": 1e5 + 3000 * area + 2e4 * rooms + 5e4 * garden + 500 * noise,
        "rent": 10 * area + 5 * noise,
    }
    pa.parquet.write_table(pa.table(columns), tmp_path / "houses.parquet")
    path = tmp_path / "houses.csv"
    pa.csv.write_csv(pa.table(columns), path)
    return path


def edited(path: Path, name: str, row: int, column: int, value: str) -> Path:
    """Return a copy of a CSV file with one value replaced; row 0 is the header."""
    lines = [line.split(",") for line in path.read_text().splitlines()]
    lines[row][column] = value
    copy = path.with_name(name)
    copy.write_text("\n".join(map(",".join, lines)) + "\n")
    return copy


def train(*flags: str, steps: int = 300) -> int:
    """Run ``train`` for few steps."""
    return cli.main(["train", "--steps", str(steps), *map(str, flags)])


def test_train_learns_scores_and_saves(houses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The text says what was done to the data, the held-out score is good, and it fits 80 columns without colour."""
    saved = tmp_path / "p.safetensors"
    assert train("--data", houses, "--target", "price", "--ignore", "rent", "--save", saved) == cli.SUCCESS
    text = capsys.readouterr().out
    for said in (
        "96 rows to train on, 24 held out",
        "mean 0 and standard deviation 1",
        "year",
        "R^2 held out",
        "4-32-1",
    ):
        assert said in text
    short = [line for line in text.splitlines() if str(tmp_path) not in line]  # a path is never broken
    assert max(map(len, short)) <= 80
    assert "\x1b" not in text
    model = load_model(saved)
    assert (model.inputs.columns, model.targets.columns) == (("area", "rooms", "garden", "year"), ("price",))
    assert model.inputs.constant == ("year",)
    assert model.training["held_out"]["r2"]["price"] > 0.95


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the one JSON document on stdout."""
    loaded: dict[str, Any] = json.loads(capsys.readouterr().out)
    return loaded


def test_train_json_holds_all_that_was_done(
    houses: Path, backend_name: str, dtype: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On each backend the document names choices, losses and both scores, and the loss falls."""
    flags = ("--data", houses, "--target", "price", "rent", "--backend", backend_name, "--dtype", dtype, "--json")
    assert train(*flags, "--holdout", "0.25", steps=40) == cli.SUCCESS
    found = document(capsys)
    assert (found["backend"], found["dtype"], found["network"], found["steps"]) == (backend_name, dtype, "4-32-2", 40)
    assert (found["rows_trained_on"], found["rows_held_out"], found["rows_dropped"]) == (90, 30, 0)
    assert found["constant_inputs"] == ["year"]
    assert len(found["losses"]) == 40
    assert found["losses"][-1] < found["losses"][0]
    assert found["held_out"]["r2"].keys() == {"price", "rent"}
    assert found["trained_on"]["loss"] <= found["losses"][-1]


def test_csv_and_parquet_train_alike(houses: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same table in either format gives the same losses, to the bit on a backend that repeats itself."""
    runs = []
    for path in (houses, houses.with_suffix(".parquet")):
        assert train("--data", path, "--target", "price", "--backend", "numpy", "--json", steps=20) == cli.SUCCESS
        runs.append(document(capsys)["losses"])
    assert runs[0] == runs[1]


def test_train_without_holdout_scores_the_training_rows_only(houses: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A holdout of 0 trains on every row, and says nothing of a held-out score."""
    assert train("--data", houses, "--target", "price", "--holdout", "0", "--json", steps=5) == cli.SUCCESS
    found = document(capsys)
    assert (found["rows_trained_on"], found["held_out"]) == (ROWS, None)
    assert train("--data", houses, "--target", "price", "--holdout", "0", steps=5) == cli.SUCCESS


def test_one_held_out_row_has_no_r2(houses: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a single row held out R^2 is undefined, in JSON as null."""
    assert train("--data", houses, "--target", "price", "--holdout", "0.001", "--json", steps=5) == cli.SUCCESS
    assert document(capsys)["held_out"]["r2"] == {"price": None}


def test_rows_with_missing_values_are_dropped_when_asked(houses: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --drop-missing they are left out, counted and said."""
    holed = edited(houses, "holed.csv", 7, 0, "")
    assert train("--data", holed, "--target", "price", "--drop-missing", "--json", steps=5) == cli.SUCCESS
    assert document(capsys)["rows_dropped"] == 1
    assert train("--data", holed, "--target", "price", "--drop-missing", steps=5) == cli.SUCCESS
    assert "119 rows (1 with missing values left out)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--target", "pricey"], "no column 'pricey'; did you mean 'price'?"),
        (["--target", "price", "--ignore", "aria"], "--ignore: .* no column 'aria'; did you mean 'area'?"),
        (["--target", "price", "--ignore", "price"], "'price' is both --target and --ignore"),
        (["--target", "price", "--ignore", "area", "rooms", "garden", "year", "rent"], "no input column is left of 6"),
        (["--target", "price", "--network", "4-8-1"], "has 4 inputs, but the table has 5 .*write --network 5-8-1"),
        (["--target", "price", "--network", "5-8-2"], "has 2 targets, but the table has 1 .*write --network 5-8-1"),
        (["--target", "price", "--network", "5x8"], "--network: a network is written as"),
        (["--target", "price", "--steps", "0"], "--steps must be 1 or more, got 0"),
        (["--target", "price", "--learning-rate", "-1"], "--learning-rate must be a number above 0"),
        (["--target", "price", "--learning-rate", "nan"], "--learning-rate must be a number above 0"),
        (["--target", "price", "--holdout", "1"], "--holdout must be a fraction"),
        (["--target", "price", "--holdout", "0.999"], "leave 0 to train on"),
        (["--target", "price", "--seed", "-1"], "--seed must be 0 or more"),
        (["--target", "price", "--backend", "nunpy"], "did you mean 'numpy'"),
        (["--target", "price", "--save", "/nowhere/p.safetensors"], "mkdir -p /nowhere"),
        (["--target", "year"], "target 'year' is constant: 2024 in all 96 rows"),
    ],
)
def test_train_refuses_what_it_cannot_do(
    houses: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each wrong flag ends with status 2 and one error that names the value and the way out."""
    assert cli.main(["train", "--data", str(houses), *flags]) == cli.WRONG_USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(message, " ".join(captured.err.split())), captured.err


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "column 'area' has missing values in 1 of 120 rows"),
        ("inf", "column 'area' has infinite values in 1 of 120 rows"),
        ("large", "column 'area' has text or dates in 1 of 120 rows"),
    ],
)
def test_train_refuses_values_that_are_no_numbers(
    houses: Path, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing value, an infinite one and a word end with status 2, column, count, row and remedy."""
    assert train("--data", edited(houses, "bad.csv", 5, 0, value), "--target", "price") == cli.WRONG_USAGE
    error = " ".join(capsys.readouterr().err.split())
    assert message in error
    assert "first in data row 5" in error
    assert "--ignore area" in error


def test_train_does_not_write_over_its_table(houses: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A --save that is the table, by another name as well, is refused before training, and the table stays."""
    before = houses.read_bytes()
    link = houses.with_name("link")
    link.symlink_to(houses)
    for path in (houses, link):
        assert train("--data", houses, "--target", "price", "--save", path) == cli.WRONG_USAGE
        assert "is the file of --data" in " ".join(capsys.readouterr().err.split())
    assert houses.read_bytes() == before


def test_a_full_disk_loses_no_parameters(
    houses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If there is no room for parameters, they are kept elsewhere and the place is named; status 1, as for predict."""
    saved = houses.with_name("p.safetensors")
    monkeypatch.chdir(tmp_path)
    assert train("--data", houses, "--target", "price", "--save", "/dev/full") == cli.CHECK_FAILED
    said = " ".join(capsys.readouterr().err.split())
    kept = re.fullmatch(
        r".*error: /dev/full: No space left on device; the parameters are kept in (\S+): move them from there", said
    )
    assert kept
    assert load_model(kept[1]).network.outputs == 1
    assert train("--data", houses, "--target", "price", "--save", saved) == cli.SUCCESS
    assert predict("--params", saved, "--data", houses, "--out", "/dev/full") == cli.CHECK_FAILED
    assert "/dev/full: No space left" in capsys.readouterr().err


def test_flags_of_form_work_for_both_commands(houses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table with decimal commas and a title trains and predicts as the plain one does, with the same flags."""
    text = "Report\n" + houses.read_text().replace(",", ";").replace(".", ",")
    (tmp_path / "odd.csv").write_text(text)
    form = ["--decimal", ",", "--skip-rows", "1", "--missing", "?", "--strip", "%"]
    documents = []
    for data, flags in ((houses, []), (tmp_path / "odd.csv", form)):
        saved = tmp_path / "p.safetensors"
        assert train("--data", data, "--target", "price", "--save", saved, "--backend", "numpy", *flags) == cli.SUCCESS
        capsys.readouterr()
        assert predict("--params", saved, "--data", data, *flags) == cli.SUCCESS
        documents.append(capsys.readouterr().out)
    assert documents[0] == documents[1]


@pytest.mark.parametrize(
    ("text", "message"), [("", "is empty"), ("a,y\n", "0 rows"), ("a,y\n1,2\n", "1 row, of which")]
)
def test_train_refuses_tables_without_enough_rows(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An empty file, a header alone and a single row end with status 2."""
    (tmp_path / "t.csv").write_text(text)
    assert train("--data", tmp_path / "t.csv", "--target", "y") == cli.WRONG_USAGE
    assert message in " ".join(capsys.readouterr().err.split())
    assert train("--data", tmp_path / "absent.csv", "--target", "y") == cli.WRONG_USAGE
    assert "no file" in capsys.readouterr().err


def test_divergence_ends_with_status_1_and_advice(
    houses: Path, backend_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rate that is too high is told with step, last finite loss and a lower rate that works; nothing is saved."""
    saved = houses.with_name("p.safetensors")
    flags = ("--data", houses, "--target", "price", "--backend", backend_name, "--save", saved)
    assert train(*flags, "--learning-rate", "50") == cli.CHECK_FAILED
    error = " ".join(capsys.readouterr().err.split())
    assert "training diverged at step" in error
    assert "last finite loss" in error
    assert not saved.exists()
    lower = error.split("--learning-rate ")[1].split(".\n")[0].split(" ")[0].rstrip(".")
    assert train(*flags, "--learning-rate", lower) == cli.SUCCESS


@pytest.mark.parametrize("save", [True, False])
def test_interrupt_keeps_the_parameters_reached(
    houses: Path, save: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends training after the chunk: status 130, the parameters saved if asked for, and both said."""
    kind = backends.find("numpy")
    usual = kind.train

    def interrupted(self: Any, *arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return usual(self, *arguments)

    monkeypatch.setattr(kind, "train", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    saved = houses.with_name("p.safetensors")
    flags = ["--save", saved] if save else []
    assert train("--data", houses, "--target", "price", "--backend", "numpy", *flags) == cli.INTERRUPTED
    text = " ".join(capsys.readouterr().out.split())
    assert "Stopped by Ctrl-C after 8 of 300 steps" in text
    assert ("Saved parameters" if save else "Nothing was saved") in text
    assert saved.exists() == save
    assert signal.getsignal(signal.SIGINT) is handler


def test_second_interrupt_stops_at_once(houses: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the chunk takes long, a second Ctrl-C ends it like any other command."""

    def stuck(*_: Any) -> Any:
        for _ in range(100):  # a signal may be handled a moment after it is raised
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.01)

    monkeypatch.setattr(backends.find("numpy"), "train", stuck)
    assert train("--data", houses, "--target", "price", "--backend", "numpy") == cli.INTERRUPTED


@pytest.fixture
def saved(houses: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Parameters trained for both targets."""
    path = houses.with_name("p.safetensors")
    assert train("--data", houses, "--target", "price", "rent", "--save", path) == cli.SUCCESS
    capsys.readouterr()
    return path


def predict(*flags: Any) -> int:
    """Run ``predict``."""
    return cli.main(["predict", *map(str, flags)])


def test_predict_writes_csv_and_scores_on_stderr(houses: Path, saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Predictions in original units go to stdout, row by row; R^2 and RMSE to stderr, as the table has the targets."""
    assert predict("--params", saved, "--data", houses) == cli.SUCCESS
    captured = capsys.readouterr()
    rows = captured.out.splitlines()
    assert rows[0].replace('"', "") == "predicted_price,predicted_rent"
    assert len(rows) == ROWS + 1
    truth = pa.csv.read_csv(houses)
    got = np.array([row.split(",") for row in rows[1:]], float)
    for column, name in enumerate(("price", "rent")):
        assert np.corrcoef(got[:, column], truth[name])[0, 1] > 0.99
        assert name in captured.err
    assert "R^2" in captured.err
    assert "120 rows" in captured.err


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_predict_finds_columns_by_name_and_writes_files(
    houses: Path, saved: Path, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Columns in another order, with others between and no targets, give the same predictions, in either format."""
    table = pa.csv.read_csv(houses).select(["year", "garden", "rooms", "area"])
    shuffled = tmp_path / "shuffled.parquet"
    pa.parquet.write_table(table.append_column("other", pa.array(["text"] * ROWS)), shuffled)
    out = tmp_path / f"out.{suffix}"
    assert predict("--params", saved, "--data", shuffled, "--out", out) == cli.SUCCESS
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "R^2" not in captured.err
    written = pa.csv.read_csv(out) if suffix == "csv" else pa.parquet.read_table(out)
    assert predict("--params", saved, "--data", houses) == cli.SUCCESS
    rows = capsys.readouterr().out.splitlines()[1:]
    assert written.to_pandas().to_numpy().tolist() == [[float(value) for value in row.split(",")] for row in rows]
    assert [name for name in os.listdir(tmp_path) if "partial" in name] == []


def test_backends_predict_alike(houses: Path, backend_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On each backend the predictions from one float64 file are the same to rounding."""
    saved = houses.with_name("p.safetensors")
    assert train("--data", houses, "--target", "price", "--dtype", "float64", "--save", saved, steps=5) == cli.SUCCESS
    capsys.readouterr()
    runs = []
    for name in ("numpy", backend_name):
        assert predict("--params", saved, "--data", houses, "--backend", name) == cli.SUCCESS
        runs.append([float(row) for row in capsys.readouterr().out.splitlines()[1:]])
    # Each of some hundred roundings is 1e-16; a column or a scale mixed up would show in the first digits.
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-12)


def test_predict_keeps_the_place_of_rows_with_missing_values(
    houses: Path, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing value is refused; with --drop-missing its row stays, as nan in CSV and empty in Parquet."""
    holed = edited(houses, "holed.csv", 7, 0, "")
    assert predict("--params", saved, "--data", holed) == cli.WRONG_USAGE
    error = " ".join(capsys.readouterr().err.split())
    assert "missing values in 1 of 120 rows" in error
    assert "--ignore" not in error
    assert predict("--params", saved, "--data", holed, "--drop-missing") == cli.SUCCESS
    captured = capsys.readouterr()
    rows = captured.out.splitlines()
    assert (rows[7], len(rows)) == ("nan,nan", ROWS + 1)
    assert re.search(r"119 rows(.|\n)*price +0\.9", captured.err)


def test_predict_does_not_overwrite_what_it_reads(
    houses: Path, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An --out that is the table, or the parameters, is refused, and both stay as they were."""
    before = houses.read_bytes()
    assert predict("--params", saved, "--data", houses, "--out", houses) == cli.WRONG_USAGE
    assert "is the file of --data" in " ".join(capsys.readouterr().err.split())
    assert houses.read_bytes() == before


def test_predict_without_usable_targets_says_why(houses: Path, saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A target column of text does not stop the prediction; that it is not scored is said."""
    assert predict("--params", saved, "--data", edited(houses, "t.csv", 3, 4, "dear")) == cli.SUCCESS
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == ROWS + 1
    assert "Not scored" in captured.err


def test_predict_refuses_what_does_not_fit(houses: Path, saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing column, a file that is no network and an unknown suffix end with status 2 and nothing written."""
    narrow = houses.with_name("narrow.csv")
    pa.csv.write_csv(pa.csv.read_csv(houses).drop(["area"]), narrow)
    for flags, message in (
        (["--params", saved, "--data", narrow], "no column 'area'"),
        (["--params", houses, "--data", houses], "holds no trained network"),
        (["--params", saved, "--data", houses, "--out", "out.xls"], "--out must end in .csv or .parquet"),
        (["--params", saved, "--data", houses, "--out", "/nowhere/out.csv"], "mkdir -p /nowhere"),
        (["--params", saved, "--data", houses, "--backend", "nunpy"], "did you mean 'numpy'"),
    ):
        assert predict(*flags) == cli.WRONG_USAGE
        captured = capsys.readouterr()
        assert captured.out == ""
        assert message in " ".join(captured.err.split())
