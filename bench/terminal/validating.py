"""What `bench.advice.validate` found, as text.

Tests: `tests/bench/cli/test_decision_commands.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bench.advice import validate
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
    columns: list[Column] = ["network", ("batch", "right"), ("steps", "right"), "recommended", "best"]
    columns += [("true", "right"), ("best", "right"), ("regret", "right")]
    rows = [
        (
            row.network,
            format_count(row.batch),
            format_count(row.steps),
            row.recommended,
            row.best,
            format_seconds(row.true_s),
            format_seconds(row.best_s),
            format_percent(row.regret),
        )
        for row in cases.sort_values("regret", ascending=False).itertuples()
    ]
    yield table(columns, rows)
