"""A table of houses, and the commands ``train`` and ``predict`` on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import cli

ROWS = 120


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


def predict(*flags: Any) -> int:
    """Run ``predict``."""
    return cli.main(["predict", *map(str, flags)])


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the one JSON document on stdout."""
    loaded: dict[str, Any] = json.loads(capsys.readouterr().out)
    return loaded
