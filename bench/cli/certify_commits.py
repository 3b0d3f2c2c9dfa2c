"""``certify --commits N``: the newest commits that changed a backend, each gated against its parent by ``gate`` itself.

Outcomes are kept commit by commit, one JSON record a line; a later call goes on with those that are missing.

Tests: `tests/bench/cli/test_certify_commits.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.cli import CHECK_FAILED, INTERRUPTED, SUCCESS, document, flags, messages

GATE = (sys.executable, "-P", "-m", "bench", "gate")
BUDGET_S = 60.0


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    group = parser.add_argument_group("gate real commits instead, kept one by one (--budget: for each, 60 s)")
    group.add_argument("--commits", type=flags.positive, metavar="N", help="the newest N that changed a backend")


def run(args: argparse.Namespace) -> int:
    """Gate what is missing; return 1 if a commit could not be gated."""
    from bench.measure.base_code import CHECKOUT
    from bench.terminal import gate_trials as text
    from bench.terminal import terminal
    from bench.verdicts import gate_trials

    path = gate_trials.file_of("commits", args.results)
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = list(commits(CHECKOUT, args.commits))
    try:
        with terminal.progress("commits") as bar:
            for place, (commit, names) in enumerate(wanted):
                if not any(it["commit"] == commit for it in gate_trials.outcomes(path)):
                    bar.update(place / len(wanted), commit[:9])
                    gate_trials.keep(path, gated(CHECKOUT, commit, names, args.budget or BUDGET_S))
    except KeyboardInterrupt:
        messages.note(f"interrupted; the commits so far are kept in {path}")
        return INTERRUPTED
    hashes = [commit for commit, _ in wanted]
    kept = [it for it in gate_trials.outcomes(path) if it["commit"] in hashes]
    if args.json:
        document.show({"commits": kept})
    else:
        out = terminal.console()
        for part in text.commits(kept):
            out.print(part)
        out.print(str(path), style="dim", soft_wrap=True)
    return CHECK_FAILED if any(it["fault"] for it in kept) else SUCCESS


def commits(top: Path, count: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the newest commits that changed the source of a backend, and the backends that each changed.

    A file ``backends/NAME_*.py`` is that backend's; any other file of the package is all backends'.
    """
    from backends import catalogue
    from bench.measure import repository

    names = [entry.name for entry in catalogue("best")]
    log = repository.git(top, "log", "--no-merges", f"-{count}", "--format=%H", "--", ":(glob)backends/*.py")
    for commit in log.split():
        listed = repository.git(top, "show", "--name-only", "--format=", commit, "--", ":(glob)backends/*.py")
        stems = [Path(line).stem for line in listed.split()]
        owners = {stem: [name for name in names if stem.startswith(f"{name}_")] for stem in stems}
        everyone = any(not of_file for of_file in owners.values())
        touched = {name for of_file in owners.values() for name in of_file}
        yield commit, tuple(name for name in names if everyone or name in touched)


def gated(top: Path, commit: str, names: Sequence[str], budget_s: float) -> dict[str, Any]:
    """Return what a gate says of a commit against its parent: counts, the cells that changed, or why there is none.

    The present instrument is used. If it cannot measure code so old, the commit's own is, as in continuous integration.
    """
    from bench.measure import repository

    with tempfile.TemporaryDirectory(prefix="backprop-bench-commits-") as folder:
        sides = ["--against", f"{commit}~1", "--backends", ",".join(names)]
        command = [*GATE, *sides, "--budget", f"{budget_s:g}s", "--json", "--results", f"{folder}/runs"]
        done = _run([*command, "--change", commit], top)
        if not _document(done):
            with repository.worktree(top, commit, Path(folder) / "tree") as tree:
                own = _run(command, tree)
            done = own if _document(own) else done
    subject, date = repository.git(top, "show", "-s", "--format=%s%x00%cs", commit).strip().split("\0")
    outcome: dict[str, Any] = {
        "record": "commit",
        "commit": commit,
        "date": date,
        "subject": subject,
        "backends": list(names),
        "budget_s": budget_s,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "fault": "",
    }
    said = _document(done)
    if said is None:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "the gate said nothing")
        return {**outcome, "fault": last.strip()}
    cells = said["cells"]
    kinds = {kind: sum(cell["verdict"] == kind for cell in cells) for kind in ("slower", "faster", "tie", "undecided")}
    changed = [
        {name: cell[name] for name in ("backend", "network", "batch", "ratio", "low", "high", "verdict")}
        for cell in cells
        if cell["verdict"] in ("slower", "faster")
    ]
    return {
        **outcome,
        "passed": said["passed"],
        "lost": said["lost"],
        **kinds,
        "changed": changed,
        "notes": said.get("notes", []),
    }


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a gate with the instrument of a folder.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode == INTERRUPTED:
        raise KeyboardInterrupt
    return done


def _document(done: subprocess.CompletedProcess[str]) -> dict[str, Any] | None:
    """Return what a gate said, ``None`` if it compared nothing."""
    try:
        said: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return None
    return said if said["cells"] else None
