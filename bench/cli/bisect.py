"""``history --bisect CELL``: which commit made a cell slow? ``git bisect run``, with a gate of that one cell.

The bisection runs in a separate worktree, which is removed on every way out, so that the checkout stays as it is.
First the bad commit is gated against the good one: a slow-down must be proven. Then git asks commit after commit, and a
commit is slow if its time is nearer to the bad one's than to the good one's, by ratio. A commit that cannot be measured
is skipped. At last the commit that git names is gated against its parent.

Run as a program, this is the step that git calls: exit status 0 fast, 1 slow, 125 skip.

Tests: `tests/bench/cli/test_bisect.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.basics.errors import UsageError
from bench.cli import CHECK_FAILED, INTERRUPTED, SUCCESS, flags, messages

GATE = (sys.executable, "-P", "-m", "bench", "gate")
FAST, SLOW, SKIP, ABORT = 0, 1, 125, 255
FAREWELL_S = 20.0
STEPS = "steps.jsonl"
FIRST_BAD = re.compile(r"^([0-9a-f]{40,64}) is the first bad commit", re.MULTILINE)


@dataclass(frozen=True)
class Search:
    """What every step is told.

    Attributes:
        gate: the command of a gate of the one cell, without its sides.
        folder: in which it runs.
        good: the commit that is fast.
        edge: a ratio to it beyond which a commit is slow.
        steps: the file that keeps what each step saw.
    """

    gate: tuple[str, ...]
    folder: str
    good: str
    edge: float
    steps: str


@dataclass(frozen=True)
class Seen:
    """What a gate of one commit saw: the ratio of its time to that of the other side, 95 % interval and verdict.

    Without a ratio, ``reason`` says why there is none.
    """

    commit: str
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan
    verdict: str = ""
    reason: str = ""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare what may be asked."""
    group = parser.add_argument_group("which commit made it slow")
    group.add_argument("--bisect", metavar="CELL", help="name the first slow commit of a cell as printed here")
    group.add_argument("--good", metavar="REV", help="a commit that is fast (default: of the run before the last step)")
    group.add_argument("--bad", metavar="REV", help="one that is slow (default: the first after that step, else HEAD)")
    group.add_argument("--budget", type=flags.seconds, default=20.0, metavar="TIME", help="for each gate (20s)")


def run(args: argparse.Namespace, known: tuple[str, str] | None) -> int:
    """Search; return 0 if a commit was named, 1 if none was.

    Args:
        args: the flags.
        known: the commits before and after the last step of the cell in the stored runs, if there is one.
    """
    from bench.measure import contenders, repository
    from bench.measure.base_code import package_of
    from bench.verdicts import cell_name

    cell = cell_name.read(args.bisect)
    contenders.named([cell.backend], [cell.dtype], ["cpu"])
    top = repository.top_of(package_of([cell.backend])[1])
    if not (args.good or known):
        raise UsageError("no stored step of this cell, so say which commit was fast: --good REV")
    good = repository.revision(args.good or (known or ("", ""))[0], top, "--good")
    bad = repository.revision(args.bad or (known[1] if known and not args.good else "HEAD"), top, "--bad")
    if not repository.is_ancestor(good, bad, top):
        raise UsageError(f"--good {good[:9]} does not come before --bad {bad[:9]}; is it the other way round?")
    gate = [*GATE, "--backends", cell.backend, "--networks", cell.network, "--batches", str(cell.rows)]
    gate += ["--phases", cell.phase, "--dtypes", cell.dtype, "--threads", str(cell.threads)]
    gate += ["--budget", f"{args.budget:g}s", "--margin", f"{args.margin:g}", "--json"]
    try:
        with tempfile.TemporaryDirectory(prefix="backprop-bench-bisect-") as folder:
            search = Search((*gate, "--results", f"{folder}/runs"), os.getcwd(), good, math.nan, f"{folder}/{STEPS}")
            return _searched(args, search, bad, top, Path(folder))
    except KeyboardInterrupt:
        messages.note("interrupted; the worktree of the bisection is removed, and nothing else was changed")
        return INTERRUPTED


def _searched(args: argparse.Namespace, search: Search, bad: str, top: Path, folder: Path) -> int:
    """Prove the slow-down, bisect, and say what was found."""
    from bench.measure import repository

    whole = gated(search, bad, search.good)
    _tell(args, f"{bad[:9]} against {search.good[:9]}: {_words(whole)}")
    if whole.verdict != "slower":
        _tell(args, f"A slow-down of more than {100 * args.margin:.3g} % is not proven, so there is nothing to find.")
        return _ended(args, None, whole, None, [], CHECK_FAILED)
    search = Search(search.gate, search.folder, search.good, math.sqrt(whole.ratio), search.steps)
    with repository.worktree(top, bad, folder / "tree") as tree:
        printed = _bisect(search, bad, tree, folder)
    steps = [Seen(**json.loads(line)) for line in Path(search.steps).read_text().splitlines()]
    for step in steps:
        _tell(args, f"  {step.commit[:9]} {'skipped: ' + step.reason if step.reason else _words(step)}")
    named = FIRST_BAD.search(printed)
    if named is None:
        _tell(args, f"No commit is named: {_last_line(printed)}")
        return _ended(args, None, whole, None, steps, CHECK_FAILED)
    first = named[1]
    against_parent = gated(search, first, f"{first}~1")
    _tell(args, f"First slow commit: {_subject(top, first)}")
    _tell(args, f"Against its parent: {_words(against_parent)}")
    return _ended(args, first, whole, against_parent, steps, SUCCESS)


def gated(search: Search, commit: str, against: str) -> Seen:
    """Return what a gate says of a commit, held against another."""
    done = _run([*search.gate, "--against", against, "--change", commit], search.folder)
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        if done.returncode == INTERRUPTED:
            raise KeyboardInterrupt from None
        return Seen(commit, reason=_last_line(done.stderr) or f"the gate ended with status {done.returncode}")
    if not document["cells"]:
        return Seen(commit, reason=next(iter(document["lost"]), "nothing was timed"))
    row = document["cells"][0]
    return Seen(commit, row["ratio"], row["low"], row["high"], row["verdict"])


def step(path: str) -> int:
    """Gate the commit that git has put into the current folder; return what ``git bisect run`` is to be told."""
    given = json.loads(Path(path).read_text(encoding="utf-8"))
    search = Search(**{**given, "gate": tuple(given["gate"])})
    commit = _run(["git", "rev-parse", "HEAD"]).stdout.strip()
    try:
        seen = gated(search, commit, search.good)
    except KeyboardInterrupt:
        return ABORT
    with open(search.steps, "a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(seen)) + "\n")
    if seen.reason:
        return SKIP
    return SLOW if seen.ratio > search.edge else FAST


def _bisect(search: Search, bad: str, tree: Path, folder: Path) -> str:
    """Let git ask commit after commit; return what it printed."""
    told = folder / "search.json"
    told.write_text(json.dumps(asdict(search)), encoding="utf-8")
    Path(search.steps).touch()
    started = _run(["git", "bisect", "start", bad, search.good], tree)
    if started.returncode:
        raise UsageError(f"git bisect start failed: {_last_line(started.stderr)}")
    if FIRST_BAD.search(started.stdout):  # the good commit is its parent
        return started.stdout
    return _run(["git", "bisect", "run", sys.executable, "-P", "-m", "bench.cli.bisect", str(told)], tree).stdout


def _run(command: Sequence[str], folder: str | Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; on an interrupt it and what it started get time to tidy up.

    It has its own session: Ctrl-C reaches this process, which then asks the program to end.
    """
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(dict.fromkeys([here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]))
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate()
        except BaseException:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=FAREWELL_S)
                    break
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _ended(
    args: argparse.Namespace, first: str | None, whole: Seen, parent: Seen | None, steps: list[Seen], status: int
) -> int:
    """Say everything as JSON, if asked for; return the exit status."""
    if args.json:
        from bench.cli import document

        seen = {"whole": asdict(whole), "against_parent": asdict(parent) if parent else None}
        document.show({"first_slow": first, **seen, "steps": [asdict(step) for step in steps]})
    return status


def _tell(args: argparse.Namespace, line: str) -> None:
    if not args.json:
        print(line, flush=True)


def _words(seen: Seen) -> str:
    """Return a ratio with its interval and verdict."""
    if seen.reason:
        return f"not measured: {seen.reason}"
    return f"{seen.ratio:.3f} times, 95 % {seen.low:.3f} to {seen.high:.3f}, {seen.verdict}"


def _subject(top: Path, commit: str) -> str:
    """Return a commit as ``abcdef123 2026-11-27 its first line``."""
    from bench.basics.formats import printable
    from bench.measure import repository

    return printable(repository.git(top, "show", "-s", "--format=%h %cs %s", commit).strip())


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


if __name__ == "__main__":
    from bench.cli import interrupts

    try:
        with interrupts.ended_like_ctrl_c():
            sys.exit(step(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(ABORT)
