"""The table of stored rows as a Parquet or CSV file, written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    """Write a table as CSV; a list of rounds or turns becomes numbers joined by spaces, ``nan`` where one has none.

    Raises:
        UsageError: the file cannot be written.
    """
    joined = {name: frame[name].map(_joined) for name in ("round_s", "turn_s")}
    _replace(path, lambda partial: frame.assign(**joined).to_csv(partial, index=False))


def _joined(numbers: Sequence[float | None] | None) -> str:
    return " ".join("nan" if one is None else f"{one:g}" for one in (numbers if numbers is not None else ()))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside ``path`` and move the whole file there."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        write(partial)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror or error}; choose another file") from None
