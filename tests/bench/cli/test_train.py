"""The command ``train`` from end to end: a file in, scores out, parameters kept."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import backends
from bench import cli
from bench.training.trained_model import load_model
from tests.bench.cli.house_prices import ROWS, document, edited, predict, train

NUMPY = ("--backend", "numpy")


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
    assert train("--data", houses, "--target", "price", "--holdout", "0", *NUMPY, "--json", steps=5) == cli.SUCCESS
    found = document(capsys)
    assert (found["rows_trained_on"], found["held_out"]) == (ROWS, None)
    assert train("--data", houses, "--target", "price", "--holdout", "0", *NUMPY, steps=5) == cli.SUCCESS


def test_one_held_out_row_has_no_r2(houses: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a single row held out R^2 is undefined, in JSON as null."""
    assert train("--data", houses, "--target", "price", "--holdout", "0.001", *NUMPY, "--json", steps=5) == cli.SUCCESS
    assert document(capsys)["held_out"]["r2"] == {"price": None}


def test_rows_with_missing_values_are_dropped_when_asked(houses: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --drop-missing they are left out, counted and said."""
    holed = edited(houses, "holed.csv", 7, 0, "")
    assert train("--data", holed, "--target", "price", "--drop-missing", *NUMPY, "--json", steps=5) == cli.SUCCESS
    assert document(capsys)["rows_dropped"] == 1
    assert train("--data", holed, "--target", "price", "--drop-missing", *NUMPY, steps=5) == cli.SUCCESS
    assert "119 rows (1 with missing values left out)" in capsys.readouterr().out


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
