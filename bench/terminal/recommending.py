"""A recommendation as text: the answer first, then the ledger, where it changes, and what it rests on.

Tests: `tests/bench/cli/test_decision_commands.py`.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench.advice.crossover import Change
from bench.advice.time_model import CARRIED
from bench.basics.formats import TIME_UNITS, counted, format_count, format_number, format_seconds, interval_s
from bench.terminal.terminal import Cell, Column, named, table

if TYPE_CHECKING:
    from rich.table import Table

    from bench.advice.recommendation import Recommendation

WIDTH = 80


def answer(found: Recommendation, measured: bool = False) -> Iterator[Table | str]:
    """Yield the parts of the answer, the backend in the first line."""
    yield headline(found)
    yield ""
    yield ledger_table(found)
    yield ""
    steps = _passes(found.steps) if found.phase == "forward" else _steps(found.steps)
    yield _lines(f"By batch, at {steps}: ", along(found.batch_changes, found.backend, "rows"))
    where = f"batch {format_count(found.batch)}"
    unit = "passes" if found.phase == "forward" else "steps"
    yield _lines(f"By {unit}, at {where}: ", along(found.step_changes, found.backend, unit))
    yield ""
    yield _lines("Rests on: ", rests_on(found))
    for note in found.notes:
        yield _lines("Note: ", note)
    if found.elsewhere:
        yield "To carry these times over to this machine, add --probe (under 20 s)."
    if not measured:
        yield "To time exactly this case, add --measure (under 30 s)."


def headline(found: Recommendation) -> str:
    """Return the answer in a few lines: the backend, the job, and how to set the threads if they were searched."""
    total = f"{format_seconds(found.total_s)} ({interval_s(found.low_s, found.high_s)})"
    chosen = " ".join([found.backend, *chosen_conditions(found)])
    others = ", ".join(name for name in found.candidates[1:])
    said = {
        "fastest": f"Use {chosen}: {total} in all, every other is slower.",
        "tie": f"Use {chosen}: {total} in all; a tie with {others}.",
        "undecided": f"Use {chosen}, probably: {total} in all; not decided against {others}.",
    }[found.outcome]
    if len(found.rows) == 1:
        said = f"Use {chosen}: {total} in all; nothing else was measured."
    where = f"{found.dtype}, {found.device}, threads {found.threads}"
    lines = [textwrap.fill(said, WIDTH), textwrap.fill(f"{_job(found)}, {where}", WIDTH)]
    if len(found.searched_threads) > 1:
        network = f"Network({tuple(map(int, found.network.split('-')))})" if "-" in found.network else "network"
        lines.append(f"Set it: backends.load({found.backend!r}, {network}, threads={found.threads})")
    return "\n".join(lines)


def chosen_conditions(found: Recommendation) -> Iterator[str]:
    """Yield the device and the number of threads of the answer, each if it was a choice."""
    if len(found.searched_devices) > 1:
        yield f"on {found.device}"
    if len(found.searched_threads) > 1 and found.device == "cpu":
        yield f"with {counted(found.threads, 'thread')}"


def _job(found: Recommendation) -> str:
    """Return the job in words."""
    rows = counted(found.batch, "row")
    if found.phase == "forward":
        return f"{found.network}, {rows}, {_passes(found.steps)} with fresh inputs"
    fresh = " with a new batch each" if found.fresh else ""
    return f"{found.network}, {rows}, {_steps(found.steps)}{fresh}"


def ledger_table(found: Recommendation) -> Table:
    """Return what each backend costs, part by part; the 99th percentile if each step has a new batch."""
    places = found.fresh or found.phase == "forward"
    threads = len(found.searched_threads) > 1
    devices = len(found.searched_devices) > 1
    columns: list[Column] = ["backend"]
    columns += ["on"] if devices else []
    columns += [("threads", "right")] if threads else []
    columns += [("total", "right"), ("95 %", "right"), ("import", "right"), ("compile", "right")]
    columns += (
        [("a pass" if found.phase == "forward" else "a step", "right"), ("p99", "right")]
        if places
        else [
            ("place", "right"),
            ("a step", "right"),
        ]
    )
    columns += ["verdict"]
    cells = []
    for row in found.rows.itertuples():
        cell: list[Cell] = [named(row.backend)]
        cell += [row.device] if devices else []
        cell += [str(row.threads)] if threads else []
        cell += [format_seconds(row.total_s), _alike(row.low_s, row.high_s, row.total_s)]
        cell += [_short(row.import_s), _short(row.compile_s)]
        step = format_seconds(row.step_s)
        cell += [step, format_seconds(row.p99_s)] if places else [_short(row.place_s + row.call_s), step]
        cells.append((*cell, row.verdict))
    return table(columns, cells)


def along(changes: Sequence[Change], alone: str, unit: str) -> str:
    """Return in words which backend is the best along the batch or the steps, with the intervals of the changes."""
    if not changes:
        return f"{alone} all the way."
    words = [changes[0].before]
    for change in changes:
        words.append(f" up to {_count(change.at)} {unit} ({_range(change)}), then {change.after}")
    return "".join(words) + "."


def rests_on(found: Recommendation) -> str:
    """Return what the prediction was made from."""
    bases: dict[str, list[str]] = {}
    for row in found.rows.itertuples():
        bases.setdefault(row.basis, []).append(row.backend)
    if found.carried_from:  # interpolated or not, all come from there
        bases = {f"{CARRIED} from {found.carried_from}": list(found.rows["backend"])}
    several = len(bases) > 1
    kinds = "; ".join(basis + (f" ({', '.join(names)})" if several else "") for basis, names in bases.items())
    runs = f"run{'s' if len(found.runs) > 1 else ''} {', '.join(found.runs)}"
    what = "a pass forward" if found.phase == "forward" else "a step"
    return f"times of {what} {kinds}; {runs}; compile cache {found.cache}."


def _lines(label: str, text: str) -> str:
    return textwrap.fill(label + text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _range(change: Change) -> str:
    if change.low <= 1 and math.isinf(change.high):
        return "anywhere"
    if change.low <= 1:
        return f"below {_count(change.high)}"
    if math.isinf(change.high):
        return f"above {_count(change.low)}"
    return f"{_count(change.low)}..{_count(change.high)}"


def _count(value: float) -> str:
    """Return rows or steps with three significant digits, thousands separated."""
    if value >= 1e7:
        return format_number(value)
    digits = max(0, math.floor(math.log10(max(value, 1.0))) - 2)
    return format_count(round(value / 10**digits) * 10**digits)


def _alike(low_s: float, high_s: float, total_s: float) -> str:
    """Return an interval in the unit in which its total is shown, without saying it again."""
    shown = format_seconds(total_s).split(" ")[1]
    unit_s = next(scale for scale, unit in TIME_UNITS if unit == shown)
    return f"{format_number(low_s / unit_s)}..{format_number(high_s / unit_s)}"


def _short(seconds: float) -> str:
    return "-" if seconds <= 0 else format_seconds(seconds)


def _steps(steps: int) -> str:
    return counted(steps, "step")


def _passes(steps: int) -> str:
    return f"{format_count(steps)} {'pass' if steps == 1 else 'passes'}"
