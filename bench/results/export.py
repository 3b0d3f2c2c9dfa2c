"""The table of stored rows as a Parquet or CSV file, written whole or not at all.

Tests: `tests/bench/cli/test_run.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.basics.files import replacing

if TYPE_CHECKING:
    import pandas as pd


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet; the receipt's columns become text, since machines differ in what they hold there.

    Raises:
        OSError: the file cannot be written.
    """
    receipt = {name: frame[name].map(_text) for name in frame.columns if name.startswith("receipt_")}
    table = frame.assign(**receipt)
    table.attrs = {}
    with replacing(path) as file:
        table.to_parquet(file, index=False)


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV; a list of rounds or turns becomes numbers joined by spaces, ``nan`` if one has none.

    Raises:
        OSError: the file cannot be written.
    """
    joined = {name: frame[name].map(_joined) for name in ("round_s", "turn_s")}
    with replacing(path) as file:
        frame.assign(**joined).to_csv(file, index=False)


def _text(value: Any) -> str | None:
    """Return a value as text; nothing for one that is missing, which pandas 2 would write as ``nan``."""
    return None if value is None or value != value else str(value)


def _joined(numbers: Sequence[float | None] | None) -> str:
    return " ".join("nan" if number is None else f"{number:g}" for number in (numbers if numbers is not None else ()))
