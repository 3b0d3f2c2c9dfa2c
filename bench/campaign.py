"""Carry out a plan: one block after the other, every record on disk before the next, from wherever it was left.

What a block is stands in `bench.plan`; how it is run, in `bench.process`. Nothing is printed here: `Progress` tells the
caller how far things are.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from filelock import FileLock, Timeout

from bench import machine
from bench.budget import block_s
from bench.compile_cache import CompileCache
from bench.errors import UsageError
from bench.journal import Journal, read
from bench.manifest import check_resumable, create, earlier_pace, stored_plan, write_manifest
from bench.plan import Block, Cell, Group
from bench.process import run_block
from bench.results import ROWS, Run

__all__ = ["Outcome", "Progress", "carry_out", "check_resumable", "create", "earlier_pace", "stored_plan"]

LOCK, CACHES = ".lock", ".caches"


@dataclass(frozen=True)
class Progress:
    """How far a campaign is: a fraction of its expected time, seconds left, and what is being done."""

    fraction: float
    left_s: float
    text: str


@dataclass
class Outcome:
    """What a campaign came to.

    Attributes:
        run: where it is kept.
        blocks: blocks that ended, of all that were planned.
        failures: one line for each cell or block that failed and its reason, without repetition.
        stopped: why it ended before all blocks were run; '' where it did not.
        seconds: what it took, this time.
    """

    run: Run
    blocks: int = 0
    failures: list[str] = field(default_factory=list)
    stopped: str = ""
    seconds: float = 0.0


def carry_out(run: Run, report: Callable[[Progress], None] = lambda _: None) -> Outcome:
    """Run every block of a run that has not ended yet; return what it came to.

    A block that was begun and did not end is run again; its new rows replace the old.

    Raises:
        UsageError: another process is measuring this run.
        JournalFull: the disk is full; what was measured is kept.
        KeyboardInterrupt: likewise.
    """
    lock = FileLock(run.path / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UsageError(
            f"run {run.id} is being measured by another process; start another: python -m bench run"
        ) from None
    with lock, Journal(run.path / ROWS) as journal:
        return _Campaign(run, journal, report).carry_out()


class _Campaign:
    """One run while it is measured."""

    def __init__(self, run: Run, journal: Journal, report: Callable[[Progress], None]) -> None:
        self.run, self.journal, self.report = run, journal, report
        self.plan = stored_plan(run)
        self.outcome = Outcome(run)
        self.attempts: dict[int, int] = {}
        self.ended: dict[int, str] = {}
        self.steps: dict[str, dict[str, int]] = {}
        self.lost: dict[str, dict[Group, str]] = {}
        self.begun_s = time.monotonic()
        self.blocks = [block for round_ in self.plan.rounds() for block in round_]
        pace = run.manifest.get("pace", {})
        self.expected_s = {
            block.order: block_s(self.plan, block.backend, block.block == 0, pace) for block in self.blocks
        }
        for _, record in read(run.path / ROWS):
            self._learn(record)

    def carry_out(self) -> Outcome:
        for round_ in self.plan.rounds():
            left = [block for block in round_ if block.order not in self.ended]
            if left and (why := self._must_stop(round_)):
                self.outcome.stopped = why
                break
            for block in left:
                self._measure(block)
        if not self.outcome.stopped:
            shutil.rmtree(self.run.path / CACHES, ignore_errors=True)
        self.outcome.blocks = len(self.ended)
        self.outcome.failures = self._failures()
        self.outcome.seconds = time.monotonic() - self.begun_s
        self.run.manifest.update(complete=True, stopped=self.outcome.stopped)
        write_manifest(self.run.path, self.run.manifest)
        return self.outcome

    def _learn(self, record: dict[str, Any]) -> None:
        """Take from a stored record what the blocks to come need to know."""
        order = record.get("order", -1)
        self.attempts[order] = max(self.attempts.get(order, 0), record.get("attempt", 0))
        if record.get("record") == "block":
            self.ended[order] = record["status"]
            if record.get("group"):
                lost = self.lost.setdefault(record["backend"], {})
                lost[Group(*record["group"])] = record["status"]
        elif record.get("phase") == "train" and record.get("status") == "ok":
            group = Group(record["network"], record["batch"], record["dtype"], record["device"])
            self.steps.setdefault(record["backend"], {}).setdefault(str(group), record["steps"])

    def _must_stop(self, round_: Sequence[Block]) -> str:
        """Return why the next round should not begin: it would not fit in the budget, and enough are done."""
        budget_s, done = self.plan.budget_s, round_[0].block
        if budget_s is None or done < 2:
            return ""
        spent_s, next_s = time.monotonic() - self.begun_s, sum(self._left_s(block) for block in round_)
        if spent_s + next_s <= 1.05 * budget_s:
            return ""
        return f"the budget of {budget_s:g} s holds {done} of {self.plan.blocks} blocks of each backend"

    def _measure(self, block: Block) -> None:
        """Run one block and keep what it gives."""
        attempt = self.attempts[block.order] + 1 if block.order in self.attempts else 0
        base = {"order": block.order, "attempt": attempt, "block": block.block, "backend": block.backend}
        base |= {"arm": block.arm, "threads": block.threads}
        avoided = self.lost.get(block.backend, {})
        cells = [cell for cell in self.plan.cells if cell.group not in avoided]
        cache = self._cache(block)
        begun_s, done, current = time.monotonic(), set[Cell](), None
        last: dict[str, Any] = {"event": "end"}
        for cell in self.plan.cells:
            if cell.group in avoided:
                why = f"left out: an earlier block of {block.backend} was lost here"
                self._keep({"record": "cell", **base, **cell._asdict(), "status": avoided[cell.group], "reason": why})
        for event in self._events(block, base, cells, cache) if cells else ():
            last = event
            if event["event"] == "begin":
                current = Cell(**event["cell"])
                self._tell(block, str(current), len(done) / len(cells))
            elif event["event"] == "row":
                self._keep({"record": "cell", **base, **event["row"]})
                done.add(Cell(*(event["row"][name] for name in Cell._fields)))
        cache.add(str(cell.group) for cell in done)
        status = last.get("status", "ok")
        if last["event"] == "lost":
            self._bury([cell for cell in cells if cell not in done], current, base, last)
        group = list(current.group) if last["event"] == "lost" and current else None
        end = {"record": "block", **base, "status": status, "reason": last.get("reason", ""), "group": group}
        self._keep({**end, "seconds": time.monotonic() - begun_s, "spent_s": last.get("spent_s", {})})
        self.expected_s[block.order] = time.monotonic() - begun_s

    def _cache(self, block: Block) -> CompileCache:
        """Return the compile cache of a block's arm: this run's own, or the one kept between runs."""
        root = self.run.path if self.plan.own_cache else self.run.path.parent
        name = f"{block.backend}{block.arm}-{block.threads}".replace("/", "").replace(":", ".")
        return CompileCache((root / CACHES / name).resolve())

    def _events(
        self, block: Block, base: dict[str, Any], cells: list[Cell], cache: CompileCache
    ) -> Iterator[dict[str, Any]]:
        """Yield the events of a block's process."""
        folder, name = self.run.path, f"{block.order:03d}-{block.backend.replace(':', '.')}{block.arm.replace('/', '')}"
        (folder / "logs").mkdir(exist_ok=True)
        spec = {
            **base,
            "machine": self.run.machine,
            "commit": self.run.manifest["commit"],
            "dirty": self.run.manifest["dirty"],
            "cells": [cell._asdict() for cell in cells],
            "cached": sorted(cache.groups),
            "cpus": list(machine.cpus_for(block.threads)),
            "effort": vars(self.plan.effort),
            "steps": self.steps.get(block.backend, {}),
            "benchmarks": str((folder / "benchmarks" / f"{name}.json").resolve()),
        }
        spec_path, log_path = folder / "logs" / f"{name}.spec.json", folder / "logs" / f"{name}.txt"
        yield from run_block(spec, spec_path, log_path, cache.path, self.plan.timeout_s)

    def _bury(self, cells: Sequence[Cell], at: Cell | None, base: dict[str, Any], lost: dict[str, Any]) -> None:
        """Record the cells that a lost block did not reach."""
        for cell in cells:
            where = "" if cell == at or at is None else f"not reached, lost at {at}: "
            row = {"record": "cell", **base, **cell._asdict(), "status": lost["status"]}
            self._keep({**row, "reason": where + lost["reason"]})

    def _keep(self, record: dict[str, Any]) -> None:
        self.journal.append(record)
        self._learn(record)

    def _left_s(self, block: Block) -> float:
        """Return what a block should take, by its backend's blocks that have ended, or by the estimate."""
        alike = [other for other in self.blocks if other[2:] == block[2:] and other.order in self.ended]
        if alike:
            return self.expected_s[alike[-1].order]
        return self.expected_s[block.order]

    def _tell(self, block: Block, text: str, part: float) -> None:
        left = [other for other in self.blocks if other.order not in self.ended]
        left_s = sum(self._left_s(other) for other in left) - part * self._left_s(block)
        spent_s = time.monotonic() - self.begun_s
        name = f"{block.backend}{' ' + block.arm if block.arm else ''}"
        self.report(Progress(spent_s / max(spent_s + left_s, 1e-9), left_s, f"{name}: {text}"))

    def _failures(self) -> list[str]:
        """Return a line for each way in which a backend failed: how, why, where first and in how many cells."""
        cells: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
        for _, record in read(self.run.path / ROWS):
            derived = record.get("reason", "").startswith(("left out", "not reached"))
            if record["record"] == "cell" and record["status"] != "ok" and not derived:
                cell = Cell(*(record[name] for name in Cell._fields))
                name = f"{record['backend']}{' ' + record['arm'] if record['arm'] else ''}"
                reason = record.get("reason", "")
                alike = re.sub(r"[\d.e+-]+", "", reason)
                cells.setdefault((name, record["status"], alike), []).append((str(cell), reason))
        return [
            f"{name}, {found[0][0]}{f' and {len(found) - 1} more' if len(found) > 1 else ''}: {status}: {found[0][1]}"
            for (name, status, _), found in cells.items()
        ]
