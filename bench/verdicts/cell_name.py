"""One cell of one backend as ``numba 3-2-1 n=1024 step``: how the history prints it, and how it is read back.

float32 and all cores are understood; another dtype or number of threads follows.

Tests: `tests/bench/verdicts/test_cell_name.py`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from backends import Network
from bench.basics.errors import UsageError
from bench.basics.formats import counted
from bench.basics.names import DTYPES, PHASES
from bench.machine import default_threads

EXAMPLE = "'numba 3-2-1 n=1024 step'"
PATTERN = re.compile(
    rf"(?P<backend>\S+) (?P<network>\S+) n=(?P<rows>\d[\d,_]*) (?P<phase>{'|'.join(PHASES)})"
    rf"(?: (?P<dtype>{'|'.join(DTYPES)}))?(?: (?P<threads>\d+) threads?)?"
)


class CellName(NamedTuple):
    """What a name says."""

    backend: str
    network: str
    rows: int
    phase: str
    dtype: str
    threads: int

    def __str__(self) -> str:
        dtype = f" {self.dtype}" if self.dtype != DTYPES[0] else ""
        threads = f" {counted(self.threads, 'thread')}" if self.threads != default_threads() else ""
        return f"{self.backend} {self.network} n={self.rows} {self.phase}{dtype}{threads}"


def read(text: str) -> CellName:
    """Read a cell as `CellName` writes it; blanks count once.

    Raises:
        UsageError: it is no cell.
    """
    match = PATTERN.fullmatch(" ".join(text.split()))
    if match is None:
        raise UsageError(f"expected a cell as `history` prints it, such as {EXAMPLE}, got {text!r}")
    try:
        network = str(Network.parse(match["network"]))
    except ValueError as error:
        raise UsageError(f"in the cell {text!r}: {error}") from None
    rows = int(re.sub("[,_]", "", match["rows"]))
    if rows < 1:
        raise UsageError(f"in the cell {text!r}: expected one row or more")
    threads = int(match["threads"]) if match["threads"] else default_threads()
    return CellName(match["backend"], network, rows, match["phase"], match["dtype"] or DTYPES[0], threads)
