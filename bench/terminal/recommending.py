"""A recommendation as text: the answer first, then the ledger, where it changes, and what it rests on.

Tests: `tests/bench/cli/test_decision_commands.py`.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from backends import Network
from bench.advice.compiling import LEAST_COMPILE_S
from bench.advice.crossover import Change
from bench.advice.time_model import CARRIED
from bench.basics.formats import counted, format_count, format_number, format_seconds, interval_beside, interval_s
from bench.terminal.terminal import Cell, Column, named, table

if TYPE_CHECKING:
    from rich.table import Table

    from bench.advice.recommendation import Recommendation

WIDTH = 80

P99 = "over rounds of half a millisecond or of one longer pass, without rounds that other work on the machine spoiled."


def answer(advice: Recommendation, measured: bool = False) -> Iterator[Table | str]:
    """Yield the parts of the answer, the backend in the first line."""
    yield headline(advice)
    yield ""
    yield ledger_table(advice)
    if (advice.fresh or advice.phase == "forward") and advice.rows["p99_s"].notna().any():
        yield _lines("p99: ", P99)
    yield ""
    steps = _passes(advice.steps) if advice.phase == "forward" else _steps(advice.steps)
    yield _lines(f"By batch, at {steps}: ", along(advice.batch_changes, advice.backend, "rows"))
    where = f"batch {format_count(advice.batch)}"
    unit = "passes" if advice.phase == "forward" else "steps"
    yield _lines(f"By {unit}, at {where}: ", along(advice.step_changes, advice.backend, unit))
    yield ""
    yield _lines("Rests on: ", rests_on(advice))
    for note in advice.notes:
        yield _lines("Note: ", note)
    if advice.elsewhere:
        yield "To carry these times over to this machine, add --probe (under 20 s)."
    if not measured:
        yield "To time exactly this case, add --measure (under 30 s)."


def headline(advice: Recommendation) -> str:
    """Return the answer in a few lines: the backend, the job, and the call that loads it."""
    total = f"{format_seconds(advice.total_s)} ({interval_s(advice.low_s, advice.high_s)})"
    chosen = " ".join([advice.backend, *chosen_conditions(advice)])
    others, beyond = ", ".join(advice.candidates[1:]), f"over {100 * advice.margin:.3g} %"
    said = {
        "fastest": f"Use {chosen}: {total} in all, every other is slower.",
        "tie": f"Use {chosen}: {total} in all; a tie with {others}.",
        "none faster": f"Use {chosen}: {total} in all; no other is {beyond} faster (near: {others}).",
        "undecided": f"Use {chosen}, probably: {total} in all; not decided against {others}.",
    }[advice.outcome]
    if len(advice.rows) == 1:
        said = f"Use {chosen}: {total} in all; nothing else was measured."
    where = f"{advice.dtype}, {advice.device}, threads {advice.threads}"
    lines = [textwrap.fill(said, WIDTH), textwrap.fill(f"{_job(advice)}, {where}", WIDTH)]
    lines.append(textwrap.fill(f"Set it: {_load(advice)}", WIDTH, subsequent_indent="  "))
    return "\n".join(lines)


def _load(advice: Recommendation) -> str:
    """Return the call that loads the answer."""
    network = Network.parse(advice.network)
    words = [f"Network({network.sizes}"]
    words += [f"activation={network.activation!r}"] if network.activation != "tanh" else []
    words += [f"loss={network.loss!r}"] if network.loss != "mse" else []
    options = [f"dtype={advice.dtype!r}"] if advice.dtype != "float32" else []
    options += [f"device={advice.device!r}"] if advice.device != "cpu" else []
    if advice.optimizer != "descent":
        options.append(f"optimizer=parse_optimizer({advice.optimizer!r})")
    options += [f"threads={advice.threads}"] if advice.device == "cpu" else []
    return f"backends.load({', '.join([repr(advice.backend), ', '.join(words) + ')', *options])})"


def chosen_conditions(advice: Recommendation) -> Iterator[str]:
    """Yield the device and the number of threads of the answer, each if it was a choice."""
    if len(advice.searched_devices) > 1:
        yield f"on {advice.device}"
    if len(advice.searched_threads) > 1 and advice.device == "cpu":
        yield f"with {counted(advice.threads, 'thread')}"


def _job(advice: Recommendation) -> str:
    """Return the job in words."""
    rows = counted(advice.batch, "row")
    if advice.phase == "forward":
        return f"{advice.network}, {rows}, {_passes(advice.steps)} with fresh inputs"
    fresh = " with a new batch each" if advice.fresh else ""
    how = "" if advice.optimizer == "descent" else f", {advice.optimizer}"
    some = f" of {counted(advice.rows_per_step, 'row')}" if advice.rows_per_step else ""
    return f"{advice.network}{how}, {rows}, {_steps(advice.steps)}{some}{fresh}"


def ledger_table(advice: Recommendation) -> Table:
    """Return what each backend costs, part by part; the 99th percentile if each step has a new batch."""
    places = advice.fresh or advice.phase == "forward"
    threads = advice.rows["threads"].nunique() > 1
    devices = len(advice.searched_devices) > 1
    columns: list[Column] = ["backend"]
    columns += ["on"] if devices else []
    columns += [("threads", "right")] if threads else []
    columns += [("total", "right"), ("95 %", "right"), ("import", "right"), ("compile", "right")]
    columns += (
        [("a pass" if advice.phase == "forward" else "a step", "right"), ("p99", "right")]
        if places
        else [
            ("place", "right"),
            ("a step", "right"),
        ]
    )
    columns += ["verdict"]
    cells = []
    for row in advice.rows.itertuples():
        cell: list[Cell] = [named(row.backend)]
        cell += [row.device] if devices else []
        cell += [str(row.threads)] if threads else []
        cell += [format_seconds(row.total_s), interval_beside(row.total_s, row.low_s, row.high_s)]
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


def rests_on(advice: Recommendation) -> str:
    """Return what the prediction was made from."""
    bases: dict[str, list[str]] = {}
    for row in advice.rows.itertuples():
        bases.setdefault(row.basis, []).append(row.backend)
    if advice.carried_from:  # interpolated or not, all come from there
        bases = {f"{CARRIED} from {advice.carried_from}": list(advice.rows["backend"])}
    several = len(bases) > 1
    kinds = "; ".join(basis + (f" ({', '.join(names)})" if several else "") for basis, names in bases.items())
    runs = f"run{'s' if len(advice.runs) > 1 else ''} {', '.join(advice.runs)}"
    what = "a pass forward" if advice.phase == "forward" else "a step"
    otherwise = advice.rows[(advice.rows["cache"] != advice.cache) & (advice.rows["compile_s"] > LEAST_COMPILE_S)]
    other = "cold" if advice.cache == "warm" else "warm"
    but = f", but {other} for {', '.join(otherwise['backend'])}" if len(otherwise) else ""
    return f"times of {what} {kinds}; {runs}; compile cache {advice.cache}{but}."


def _lines(label: str, text: str) -> str:
    return textwrap.fill(label + text, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _range(change: Change) -> str:
    if change.low <= 1 and math.isinf(change.high):
        return "anywhere"
    if change.low <= 1:
        return f"at most {_count(change.high)}"
    if math.isinf(change.high):
        return f"at least {_count(change.low)}"
    return f"{_count(change.low)}..{_count(change.high)}"


def _count(value: float) -> str:
    """Return rows or steps with three significant digits, thousands separated."""
    if value >= 1e7:
        return format_number(value)
    digits = max(0, math.floor(math.log10(max(value, 1.0))) - 2)
    return format_count(round(value / 10**digits) * 10**digits)


def _short(seconds: float) -> str:
    return "-" if seconds <= 0 else format_seconds(seconds)


def _steps(steps: int) -> str:
    return counted(steps, "step")


def _passes(steps: int) -> str:
    return f"{format_count(steps)} {'pass' if steps == 1 else 'passes'}"
