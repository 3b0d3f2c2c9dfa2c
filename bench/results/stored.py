"""Stored runs: their folders and manifests, and the run that a command line means.

Tests: `tests/bench/results/test_results.py`.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bench import machine
from bench.basics.errors import UsageError
from bench.basics.files import read_text
from bench.basics.formats import shortened
from bench.basics.names import CASE, CERTIFICATE, COMPARISON, LIMITS, VALIDATION
from bench.results.columns import MOST_SHOWN

SCHEMA = 2
"""1 called a process a block; its rows are read all the same (`bench.results.rows`)."""

ROWS, MANIFEST = "rows.jsonl", "run.json"
PURPOSE_OF_LABEL = {"certify": CERTIFICATE, "validate": VALIDATION, "limits": LIMITS, "one case": CASE}
"""What schema 1 had no field for."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One stored campaign.

    Attributes:
        path: its folder.
        id: its name, which a command line may shorten.
        machine: id of the machine that it ran on.
        created: UTC, ISO 8601.
        manifest: all of ``run.json``.
    """

    path: Path
    id: str
    machine: str
    created: str
    manifest: dict[str, Any] = field(repr=False, compare=False)

    @property
    def rows_path(self) -> Path:
        """The JSON Lines file with its rows."""
        return self.path / ROWS

    @property
    def purpose(self) -> str:
        """Why it was made, out of `bench.basics.names.PURPOSES`; schema 1 said so in its label."""
        return str(self.manifest.get("purpose") or PURPOSE_OF_LABEL.get(self.label, COMPARISON))

    @property
    def label(self) -> str:
        """What its author called it; '' if nothing was said."""
        return str(self.manifest.get("label", ""))


def results_root() -> Path:
    """Return the folder of all runs: ``$BACKPROP_BENCH_RESULTS``, else ``results`` where the command is run."""
    return Path(os.environ.get("BACKPROP_BENCH_RESULTS") or "results")


def open_run(path: Path) -> Run:
    """Read a run's manifest.

    Raises:
        UsageError: the folder holds no run, or one of an unknown schema.
    """
    try:
        manifest = json.loads(read_text(path / MANIFEST))
        schema = manifest["schema"]
        if isinstance(schema, int) and schema <= SCHEMA:
            return _run(path, manifest)
    except OSError as error:
        raise UsageError(f"no run at {path}: {error.strerror}; list folders with 'ls {results_root()}/*'") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{path / MANIFEST} is not the manifest of a run: {error!r}") from None
    shown = shortened(repr(schema), MOST_SHOWN)
    raise UsageError(f"{path / MANIFEST} has schema {shown}, this program reads up to {SCHEMA}; update the program")


def _run(path: Path, manifest: dict[str, Any]) -> Run:
    """Return the run of a manifest.

    Raises:
        ValueError: when it began is no date.
        TypeError: a text is none.
    """
    datetime.fromisoformat(manifest["created"])
    if not all(isinstance(manifest[name], str) for name in ("run", "machine")):
        raise TypeError("run and machine must be texts")
    return Run(path, manifest["run"], manifest["machine"], manifest["created"], manifest)


def runs(root: Path | None = None) -> list[Run]:
    """Return every stored run, oldest first; a folder that cannot be read is logged and passed over."""
    stored = []
    for manifest in sorted((root or results_root()).glob(f"*/*/{MANIFEST}")):
        try:
            stored.append(open_run(manifest.parent))
        except UsageError as error:
            logger.warning("%s", error)
    return sorted(stored, key=lambda run: (run.created, run.id))


def latest(root: Path | None = None, purpose: str = COMPARISON) -> Run:
    """Return the newest run with rows that was made for a purpose on this machine.

    Without one, it is the newest made for that purpose on any machine; without that, the newest of all.

    Raises:
        UsageError: there is none.
    """
    with_rows = [run for run in runs(root) if run.rows_path.is_file() and run.rows_path.stat().st_size]
    if not with_rows:
        raise UsageError(f"no stored run in {root or results_root()}; measure one with: python -m bench run --quick")
    here = machine.machine_id()
    return max(reversed(with_rows), key=lambda run: (run.purpose == purpose, run.machine == here))


def resolve(text: str | Path, root: Path | None = None, purpose: str = COMPARISON) -> Run:
    """Return the run that a command line means: ``latest``, a folder, or a run id or a unique beginning of it.

    Args:
        text: of the command line.
        root: folder of all runs.
        purpose: of the run that is meant by ``latest``.

    Raises:
        UsageError: none or several fit.
    """
    if str(text) == "latest":
        return latest(root, purpose)
    path = Path(text)
    if (path / MANIFEST).exists():
        return open_run(path)
    if path.name in (ROWS, MANIFEST) and path.exists():
        return open_run(path.parent)
    stored = runs(root)
    fits = [run for run in stored if run.id == str(text)] or [run for run in stored if run.id.startswith(str(text))]
    if len(fits) == 1:
        return fits[0]
    known = ", ".join(run.id for run in (fits or stored[-5:])) or "none"
    what = "several runs begin with" if fits else "no run"
    raise UsageError(f"{what} {str(text)!r} in {root or results_root()}; give a folder, 'latest' or one of: {known}")
