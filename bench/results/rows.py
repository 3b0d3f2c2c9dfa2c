"""Rows on disk <-> one tidy pandas table.

A run is a folder ``results/<machine>/<run>/``::

    run.json              the manifest: schema, run id, when, command, plan, fingerprint of the machine
    rows.jsonl            one record a cell and process, and one record when a process has ended
    benchmarks/*.json     pytest-benchmark's own files, one a process, for its ``compare``

A *cell* is a network, batch, dtype, device and phase; a *process* is a fresh interpreter that measured one backend with
one number of threads. `load` gives one row a cell and process. The columns and their units are in
`bench.results.columns`. Figures of a phase are seconds of one call; those of ``train`` are seconds of one step.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.basics.formats import counted
from bench.results.columns import fault as fault_of
from bench.results.columns import table, undeclared
from bench.results.journal import Fault, read
from bench.results.stored import Run, latest, resolve
from bench.workload import Workload

if TYPE_CHECKING:
    import pandas as pd

OLD_PEERS, NEW_PEERS = "bench.peers.", "bench.limits.peers."

MOST_FAULTS = 4
"""Lines that could not be read of which each is named; all are in ``frame.attrs["faults"]``."""

logger = logging.getLogger(__name__)


def load(*chosen: Run | str | Path, root: Path | None = None) -> pd.DataFrame:
    """Return the rows of some runs, the latest comparison by default, as one tidy table.

    One row a cell and process. If a process measured a cell again after a crash, only its last attempt counts. Lines
    that cannot be read are logged with file and line, listed in ``frame.attrs["faults"]``, and passed over.

    Args:
        chosen: runs, or texts that `resolve` takes.
        root: the folder of all runs; `results_root` by default.

    Raises:
        UsageError: a run that is not there.
    """
    faults: list[Fault] = []
    rows: list[dict[str, Any]] = []
    for item in chosen or (latest(root),):
        run = item if isinstance(item, Run) else resolve(item, root)
        kept = list(cells(run, faults))
        if unknown := undeclared(dict.fromkeys(name for row in kept for name in row)):
            logger.warning("run %s has columns that this version does not know: %s", run.id, ", ".join(unknown))
        rows += [
            {**_workload(row["network"]), **row, "run": run.id, "machine": run.machine, "created": run.created}
            for row in kept
        ]
    for fault in faults[:MOST_FAULTS]:
        logger.warning("passed over %s", fault)
    if len(faults) > MOST_FAULTS:
        logger.warning("passed over %s like these", counted(len(faults) - MOST_FAULTS, "more line"))
    frame = table(rows)
    frame.attrs["faults"] = [str(fault) for fault in faults]
    return frame


def timed(frame: pd.DataFrame, arm: str | None = None) -> pd.DataFrame:
    """Return the rows that count: those with a time, of one arm if asked for (``""`` is the ordinary one)."""
    rows = frame[frame["status"] == "ok"]
    return rows if arm is None else rows[rows["arm"] == arm]


def cells(run: Run, faults: list[Fault] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the records of the cells of one run; of a cell that a process measured again, the last attempt only."""
    noted = faults if faults is not None else []
    latest_of: dict[tuple[Any, ...], dict[str, Any]] = {}
    for _, record in records(run, noted):
        if record["record"] == "cell":
            key = tuple(record.get(name) for name in ("order", "network", "batch", "dtype", "device", "phase"))
            latest_of[key] = record
    yield from latest_of.values()


def records(run: Run, faults: list[Fault] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line numbers and records of a run in the words of the present schema; none if it has no rows yet.

    Schema 1 called a process a block, and so its rows and the records of their ends; its peers were in another package.
    """
    if reason := _unreadable(run.rows_path):
        if run.rows_path.exists() and faults is not None:
            faults.append(Fault(run.rows_path, 0, reason))
        return
    for number, record in read(run.rows_path, faults):
        if "block" in record:
            record["process"] = record.pop("block")
        if record.get("record") == "block":
            record["record"] = "process"
        if reason := fault_of(record):
            if faults is not None:
                faults.append(Fault(run.rows_path, number, reason))
            continue
        if str(record.get("backend", "")).startswith(OLD_PEERS):
            record["backend"] = NEW_PEERS + record["backend"].removeprefix(OLD_PEERS)
        yield number, record


def _unreadable(path: Path) -> str:
    """Return why a file cannot be read, '' if it can; a pipe would be waited for."""
    if not path.is_file():
        return "not a file"
    return "" if os.access(path, os.R_OK) else "this user may not read it"


@lru_cache(maxsize=4096)
def _workload(network: str) -> dict[str, Any]:
    """Return the columns of the workload that a network's text names."""
    return Workload.parse(network).columns()
