"""The command ``predict`` from end to end: predictions by name and in place, scores, refusals."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from bench import cli
from tests.bench.cli.house_prices import ROWS, edited, predict, train


@pytest.fixture
def saved(houses: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Parameters trained for both targets."""
    path = houses.with_name("p.safetensors")
    flags = ("--data", houses, "--target", "price", "rent", "--backend", "numpy", "--save", path)
    assert train(*flags) == cli.SUCCESS
    capsys.readouterr()
    return path


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
        (["--params", saved, "--data", houses, "--out", "/dev/null/out.csv"], "not a folder; choose another"),
        (["--params", saved, "--data", houses, "--backend", "nunpy"], "did you mean 'numpy'"),
    ):
        assert predict(*flags) == cli.WRONG_USAGE
        captured = capsys.readouterr()
        assert captured.out == ""
        assert message in " ".join(captured.err.split())


def test_predict_refuses_inputs_that_the_dtype_does_not_hold(
    tmp_path: Path, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value beyond float32 would saturate a unit unseen: it is named in one line, and nothing warns."""
    table = pa.table({"area": [1e300], "rooms": [3.0], "year": [1990.0], "garden": [1.0]})
    pa.parquet.write_table(table, tmp_path / "far.parquet")
    assert predict("--params", saved, "--data", tmp_path / "far.parquet") == cli.WRONG_USAGE
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith("error: column 'area' holds a value ")
    assert "which float32 does not hold" in said


def test_predict_scores_one_row_in_the_singular(
    houses: Path, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table of one row is predicted and scored, in the words of one row."""
    pa.parquet.write_table(pa.csv.read_csv(houses).slice(0, 1), tmp_path / "one.parquet")
    assert predict("--params", saved, "--data", tmp_path / "one.parquet") == cli.SUCCESS
    assert "Scored on 1 row with the targets:" in capsys.readouterr().err


def test_predict_tells_a_folder_from_a_missing_file(
    houses: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parameters in a folder's place are refused as no file: training would not make one there."""
    assert predict("--params", tmp_path, "--data", houses) == cli.WRONG_USAGE
    said = " ".join(capsys.readouterr().err.split())
    assert "is not a file" in said
    assert "makes it" not in said
