"""What `bench.advice.validate` found, as text.

Tests: `tests/bench/cli/test_decision_commands.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bench.advice import held_out_transfer, validate
from bench.basics.formats import format_count, format_percent, format_seconds
from bench.terminal.terminal import Column, table

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table


def account(cases: pd.DataFrame, good: bool) -> Iterator[Table | str]:
    """Yield the share of good recommendations, then every case, the worst first."""
    share = validate.share_good(cases)
    yield (
        f"{'passed' if good else 'FAILED'}: {format_percent(share)} of {len(cases)} recommendations within "
        f"{100 * validate.MOST_REGRET:.0f} % of the best (wanted: {100 * validate.LEAST_SHARE:.0f} %)."
    )
    error = float(np.expm1(cases["step_error"].median()))
    yield (
        f"Regret: mean {format_percent(cases['regret'].mean())}, worst {format_percent(cases['regret'].max())}. "
        f"Step time predicted to {format_percent(error)} (median)."
    )
    yield ""
    yield _every_case(cases, "regret")


def transferred(cases: pd.DataFrame, good: bool) -> Iterator[Table | str]:
    """Yield the share of good answers that were carried over, then every case, the worst first."""
    share, before = (held_out_transfer.share_good(cases, column) for column in ("loss", "as_it_was"))
    most = 100 * held_out_transfer.MOST_LOSS
    yield (
        f"{'passed' if good else 'FAILED'}: {format_percent(share)} of {len(cases)} answers are within "
        f"{most:.0f} % of the best (wanted: {100 * held_out_transfer.LEAST_SHARE:.0f} %)."
    )
    yield f"With the times as they were measured there, not carried over: {format_percent(before)}."
    yield ""
    yield _every_case(cases, "loss")


def _every_case(cases: pd.DataFrame, lost: str) -> Table:
    """Return a row for each case, the worst first.

    Args:
        cases: job, recommended and best backend, with the true total of each.
        lost: the column that says by how much the recommended one is slower.
    """
    columns: list[Column] = ["network", ("batch", "right"), ("steps", "right"), "recommended", "best", (lost, "right")]
    worst_first = cases.sort_values(lost, ascending=False)
    rows = [
        (
            row.network,
            format_count(row.batch),
            format_count(row.steps),
            f"{row.recommended} {format_seconds(row.true_s)}",
            "the same" if row.recommended == row.best else f"{row.best} {format_seconds(row.best_s)}",
            format_percent(share),
        )
        for row, share in zip(worst_first.itertuples(), worst_first[lost], strict=True)
    ]
    return table(columns, rows)
