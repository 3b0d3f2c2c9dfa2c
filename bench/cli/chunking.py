"""The flag of ``recommend`` for a batch in chunks on disk, and the answer to it.

Tests: `tests/bench/advice/test_chunking.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.advice.job import Job
    from bench.results import Run


def add_flag(parser: argparse._ActionsContainer) -> None:
    """Declare it."""
    parser.add_argument(
        "--chunks", action="store_true", help="rows in chunks that are read from disk at every step (train --chunks)"
    )


def answered(args: argparse.Namespace, job: Job, chosen: Sequence[Run]) -> dict[str, Any]:
    """Return the prediction for JSON.

    Raises:
        UsageError: a job that takes no chunks, or a folder without room.
    """
    import shutil

    from bench import results
    from bench.advice.chunking import chunking, predicted
    from bench.basics.errors import UsageError
    from bench.basics.formats import format_bytes
    from bench.machine.reading import known_or_probed
    from bench.terminal.terminal import progress
    from bench.workload.memory import free_bytes

    if job.rows_per_step or job.places:
        flag = "--rows-per-step" if job.rows_per_step else "--fresh" if job.fresh else "--phase forward"
        raise UsageError(f"--chunks takes all rows at each step of training: leave {flag} out")
    with progress("reading") as bar:
        bar.update(0.0, "probing the folder of temporary files")
        reading = known_or_probed(args.results or results.results_root())
    free = free_bytes(job.device or "cpu")
    cut = chunking(job, free)
    on_disk = shutil.disk_usage(reading.folder).free
    lack = ""
    if cut.file_bytes > on_disk:
        lack = f"the rows take {format_bytes(cut.file_bytes)} on disk, and {reading.folder} has {format_bytes(on_disk)}"
    records = predicted(results.load(*chosen, root=args.results), job, cut, reading, free)
    return {"chunks": asdict(cut), "reading": asdict(reading), "lack": lack, "rows": records}
