"""Flags and tables that ``train`` refuses, and how it says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import cli
from tests.bench.cli.house_prices import edited, train


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
        (
            ["--target", "price", "--network", "5-99999999999-1"],
            "batch of 1 row .* needs .* take a smaller network $",
        ),
        (["--target", "price", "--steps", "0"], "--steps must be 1 or more, got 0"),
        (["--target", "price", "--learning-rate", "-1"], "--learning-rate must be a number above 0"),
        (["--target", "price", "--learning-rate", "nan"], "--learning-rate must be a number above 0"),
        (["--target", "price", "--holdout", "1"], "--holdout must be a fraction"),
        (["--target", "price", "--holdout", "0.999"], "leave 0 to train on"),
        (["--target", "price", "--seed", "-1"], "--seed must be 0 or more"),
        (["--target", "price", "--backend", "nunpy"], "did you mean 'numpy'"),
        (["--target", "price", "--save", "/dev/null/p.safetensors"], "not a folder; choose another"),
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
    assert re.search(message, " ".join(captured.err.split()) + " "), captured.err


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
