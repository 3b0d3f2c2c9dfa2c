"""The table of stored rows as a Parquet or CSV file, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet; the receipt's columns become text, since machines differ in what they hold there.

    Raises:
        UsageError: the file cannot be written.
    """
    receipt = {name: frame[name].astype("str") for name in frame.columns if name.startswith("receipt_")}
    table = frame.assign(**receipt)
    table.attrs = {}
    _replace(path, lambda partial: table.to_parquet(partial, index=False))


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV; a list of rounds becomes numbers joined by spaces.

    Raises:
        UsageError: the file cannot be written.
    """
    joined = frame["round_s"].map(lambda rounds: " ".join(f"{one:g}" for one in rounds))
    _replace(path, lambda partial: frame.assign(round_s=joined).to_csv(partial, index=False))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside ``path`` and move the whole file there."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        write(partial)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror or error}; choose another file") from None
