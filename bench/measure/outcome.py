"""The outcome of a campaign: where it is stored, how many processes ended, what failed.

Tests: `tests/bench/measure/test_campaign_faults.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench import results
from bench.basics.names import OK
from bench.measure.cell import Cell
from bench.results import Run


@dataclass(frozen=True)
class Outcome:
    """The outcome of a campaign.

    Attributes:
        run: where it is kept.
        processes: that ended, of all that were planned.
        failures: one line for each cell or process that failed and its reason, without repetition.
        stopped: why it ended before all processes were run; '' if it did not.
        total_s: what it took, this time.
    """

    run: Run
    processes: int
    failures: list[str]
    stopped: str
    total_s: float


def failures(run: Run) -> list[str]:
    """Return a line for each kind of failure of a backend: status, reason, its first cell and the number of cells."""
    cells: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for record in results.cells(run):
        reason = record.get("reason", "")
        derived = reason.startswith(("left out", "not reached"))
        if record["status"] != OK and not derived:
            name = f"{record['backend']}{' ' + record['arm'] if record['arm'] else ''}"
            alike = re.sub(r"[\d.e+-]+", "", reason)
            cells.setdefault((name, record["status"], alike), []).append((str(Cell.of(record)), reason))
    return [
        f"{name}, {alike[0][0]}{f' and {len(alike) - 1} more' if len(alike) > 1 else ''}: {status}: {alike[0][1]}"
        for (name, status, _), alike in cells.items()
    ]
