"""A run's manifest: made before anything is measured, replaced whole, and checked before a run is gone on with."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench import machine
from bench.basics.errors import UsageError
from bench.basics.files import make_folder, write_text
from bench.machine import speed
from bench.measure.compile_cache import compiled
from bench.measure.pace import Pace, joined, learn
from bench.measure.plan import Plan
from bench.results import MANIFEST, SCHEMA, Run, open_run, records, results_root, runs

LATEST = 2

logger = logging.getLogger(__name__)


def earlier_pace(root: Path | None = None) -> Pace:
    """Return what processes and cells took in the latest runs of each purpose on this machine, and what is compiled.

    Of each purpose, since a run of limits has idioms and peers that comparisons do not have.
    """
    here = [run for run in runs(root) if run.machine == machine.machine_id()]
    latest = [run for k, run in enumerate(here) if sum(run.purpose == later.purpose for later in here[k:]) <= LATEST]
    pace = Pace()
    for run in latest:
        pace = joined(pace, learn(record for _, record in records(run)))
    threads, known = machine.default_threads(), machine.machine_id()
    return replace(pace, compiled={backend: compiled(known, backend, threads) for backend in pace.start_s})


def create(plan: Plan, purpose: str, command: Sequence[str] = (), label: str = "", root: Path | None = None) -> Run:
    """Make the folder of a new run, with its manifest.

    Args:
        plan: what it will measure.
        purpose: why it is made, out of `bench.basics.names.PURPOSES`.
        command: the program's arguments, as in `sys.argv`.
        label: what its author calls it.
        root: the folder of all runs; `results_root` by default.

    Raises:
        UsageError: the folder cannot be written.
    """
    now = _later_than_all(root)
    run_id = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    path = (root or results_root()) / machine.machine_id() / run_id
    make_folder(path / "benchmarks", root or results_root(), new=True)
    commit, dirty = machine.commit()
    manifest = {
        "schema": SCHEMA,
        "run": run_id,
        "machine": machine.machine_id(),
        "created": now.isoformat(timespec="seconds"),
        "purpose": purpose,
        "label": label,
        "command": copyable(command),
        "commit": commit,
        "dirty": dirty,
        "complete": False,
        "plan": plan.to_dict(),
        "fingerprint": machine.fingerprint(),
        "speed": speed.fresh().to_dict(),
    }
    write_manifest(path, manifest)
    return open_run(path)


def _later_than_all(root: Path | None) -> datetime:
    """Return the present time, or one just after the latest run's if the clock was set back: runs are told by time."""
    now = datetime.now(UTC).replace(microsecond=0)
    moments = [datetime.fromisoformat(run.created) for run in runs(root)]
    latest = max((moment.replace(tzinfo=moment.tzinfo or UTC) for moment in moments), default=now)
    if latest <= now or latest.year == datetime.max.year:  # nothing comes after the end of the calendar
        return now
    logger.warning(
        "the clock says %s, before the latest run; this run is dated after that one", f"{now:%Y-%m-%d %H:%M}"
    )
    return latest + timedelta(seconds=1)


def copyable(command: Sequence[str]) -> str:
    """Return a command line that does the same elsewhere, from arguments as in `sys.argv`: no path of this checkout."""
    if not command:
        return ""
    program, *arguments = command
    path = Path(program)
    if path.name == "__main__.py":
        words = ["python", "-m", path.parent.name]
    elif path.suffix == ".py" or program == "-c":
        words = ["python", path.name]
    else:
        words = [path.name]
    checkout = f"{Path(__file__).resolve().parents[2]}{os.sep}"
    return shlex.join([*words, *(argument.replace(checkout, "") for argument in arguments)])


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Replace a run's manifest in one go: a crash leaves the old one or the new one."""
    write_text(path / MANIFEST, json.dumps(manifest, indent=1), durable=True)


def discarded_if_empty(run: Run) -> bool:
    """Remove the folder of a run that keeps no record; return whether it did."""
    with contextlib.suppress(OSError):
        if run.rows_path.stat().st_size:
            return False
    shutil.rmtree(run.path, ignore_errors=True)
    return True


@contextlib.contextmanager
def not_left_empty(run: Run) -> Iterator[None]:
    """Remove the folder of a run that is interrupted in here before it keeps a record."""
    try:
        yield
    except KeyboardInterrupt:
        discarded_if_empty(run)
        raise


def check_resumable(run: Run) -> None:
    """Make sure that going on with a run would not mix machines or commits.

    Raises:
        UsageError: it was begun elsewhere, or with other code.
    """
    now = {"machine": machine.machine_id(), "commit": machine.commit()[0], "schema": SCHEMA}
    for what, value in now.items():
        if run.manifest.get(what) != value:
            raise UsageError(
                f"run {run.id} was begun with {what} {run.manifest.get(what)!r}, here it is {value!r}; "
                "start a new one: python -m bench run"
            )


def stored_plan(run: Run) -> Plan:
    """Return the plan of a run."""
    return Plan.from_dict(run.manifest["plan"])
