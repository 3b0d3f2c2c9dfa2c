"""What `bench.verdicts.certify` found, as text.

Tests: `tests/bench/cli/test_decision_commands.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.basics.formats import format_count, format_percent
from bench.terminal.terminal import Column, table
from bench.verdicts import certify, estimates

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


def certificate(
    tried: pd.DataFrame, rule: pd.Series[float], estimate: str, kept: bool, margin: float, needed: int | None
) -> Iterator[Table | str]:
    """Yield the verdict on the process estimate in use, then the rates of each, and how many processes would do.

    Args:
        tried: as `bench.verdicts.certify.certify` returns it.
        rule: as `bench.verdicts.certify.certify_rule` returns it.
        estimate: in use.
        kept: whether the promises are.
        margin: of equivalence.
        needed: processes that would do, if these do not.
    """
    used = tried[tried["estimate"] == estimate].iloc[0]
    yield (
        f"{'passed' if kept else 'FAILED'}: {format_count(int(used['comparisons']))} comparisons of "
        f"{int(used['processes'])} processes with {int(used['processes'])}, process estimate {_name(estimate)}."
    )
    yield ""
    columns: list[Column] = ["process estimate", ("A/A false", "right"), ("95 % holds truth", "right")]
    columns += [("10 % found", "right"), ("found, Holm", "right"), ("+-", "right")]
    rows = [
        (_name(str(row["estimate"])) + (" *" if row["estimate"] == estimate else ""), *_rates(row))
        for _, row in tried.iterrows()
    ]
    rows.append((f"until decided, {rule['laps']:.1f} laps *", *_rates(rule)))
    targets = (f"<= {100 * certify.MOST_FALSE:.0f} %", f">= {100 * certify.LEAST_COVERED:.0f} %")
    rows.append(("wanted", *targets, f">= {100 * certify.LEAST_FOUND:.0f} %", "", ""))
    yield table(columns, rows, caption="* in use; +-: half an interval, median")
    if used["found"] < certify.LEAST_FOUND:
        do = f"{needed} processes find it" if needed else "more laps than were recorded are needed to find it"
        yield (
            f"Noise as recorded hides a slow-down of 10 % beyond the margin of {100 * margin:.3g} %:\n"
            f"{do} in nine cases of ten; a quieter machine needs fewer."
        )


def _rates(row: pd.Series[float]) -> tuple[str, ...]:
    """Return the rates of one row as text."""
    names = ("false_positives", "covered", "found", "found_together", "half_width")
    return tuple(format_percent(row[name]) for name in names)


def _name(estimate: str) -> str:
    return "turn by turn" if estimate == estimates.TURNS else estimate.removesuffix("_s").replace("_", " ")
