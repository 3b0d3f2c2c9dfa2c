"""The picture of a run that compares numbers of ranks."""

from __future__ import annotations

import pandas as pd

from backends import Network
from bench.measure.cell import Group
from bench.ranks.arms import arms_of
from bench.ranks.launches import rows_of
from bench.report import over_ranks
from bench.report.page import page
from bench.results import table


def frame(ranks: tuple[int, ...]) -> pd.DataFrame:
    """Return rows of one backend on numbers of ranks, in two laps."""
    group, rows = Group(Network((3, 2, 1)), 4096, "float32", "cpu"), []
    for lap in range(2):
        for k, arm in enumerate(arms_of(4096, ranks, 2, "mpi")):
            steps = [(1 + 0.01 * step + 0.001 * lap) / arm.ranks for step in range(4)]
            told = {"train": steps, "steps": 10, "all-reduce": steps, "sums": 9, "first_call_s": 3.0}
            told |= {"import_s": 0.1, "place_s": 0.1, "ratio": 0.5, "claim": "step", "proven_rows": 9}
            told |= {"peak_bytes": 1, "load_average": 0.0, "threads": arm.threads}
            made = rows_of(group, 10 * lap + k, lap, "numpy", arm, str(arm) if k else "", told)
            rows += [{"run": "r", "machine": "m", "created": "2026-01-01T00:00:00+00:00", **row} for row in made]
    return table(rows)


def test_the_page_has_a_picture_of_ranks() -> None:
    """A run with several ranks has the picture, of its whole batch, with each way to share it; another run has none."""
    ids = [exhibit.id for part in page(frame((1, 2)), {}, {"r": ""}).parts for exhibit in part.exhibits]
    assert "over-ranks" in ids
    rows = over_ranks.rows(frame((1, 2)))
    assert list(rows["ways"]) == ["1 x 1", "1 x 2", "2 x 1"]
    assert set(rows["batch"]) == {4096}
    assert not len(over_ranks.rows(frame((1,))))
