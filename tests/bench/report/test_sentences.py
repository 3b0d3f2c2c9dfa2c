"""The answer in words: every change with its interval, whole rows and steps, and how much of it is proven."""

import math
from dataclasses import replace

from bench.advice.crossover import Change
from bench.report.answers import Cell, Conditions, Total
from bench.report.outlook import Outlook
from bench.report.sentences import sentence


def outlook(batch_changes=(), step_changes=(), verdicts=("fastest", "tie", "undecided"), batches=(1, 256, 65_536)):
    """Return an outlook of three batches at 1,000 steps, in which numba is ahead."""
    totals = (Total("numba", 0.1, 0.09, 0.11), Total("numpy", 0.2, 0.19, 0.21))
    cells = tuple(
        Cell(batch, 1_000, verdict, ("numba",), totals) for batch, verdict in zip(batches, verdicts, strict=True)
    )
    changes = {batch: tuple(step_changes) for batch in batches}
    return Outlook(Conditions("run", "3-2-1", "float32", "cpu", 2, "warm"), cells, (), tuple(batch_changes), changes)


def test_sentence_names_changes_with_intervals():
    """Crossovers and break-even points stand with their intervals, three digits, open ends in words."""
    said = sentence(
        outlook(
            [Change("numpy", "numba", 1_034.6, 693.8, 1_996.2), Change("numba", "torch", 42.94, 0.0, math.inf)],
            [Change("numpy", "numba", 18_812.0, 18_203.0, 19_544.0)],
        )
    )
    assert said == (
        "For 1,000 steps, the best is numpy up to 1,030 [694 to 2,000] rows, numba up to 43 [below to beyond], then "
        "torch. At 256 rows, numba overtakes numpy after 18,800 [18,200 to 19,500] steps. "
        "3 answers on the map: 1 proven fastest, 1 proven equal, 1 undecided."
    )


def test_sentence_without_changes_is_no_stronger_than_the_proof():
    """One backend ahead everywhere *is fastest* only where every answer is proven; otherwise it leads."""
    assert sentence(outlook()).startswith("For 1,000 steps, numba leads at every batch from 1 to 65,536 rows.")
    proven = sentence(outlook(verdicts=("fastest",) * 3))
    assert proven == (
        "For 1,000 steps, numba is fastest at every batch from 1 to 65,536 rows. All 3 answers on the map are proven."
    )
    assert "numba is fastest at 256 rows." in sentence(outlook(verdicts=("fastest",), batches=(256,)))


def test_sentence_names_no_leader_that_the_map_contradicts():
    """Where another backend is ahead in a cell, though within the margin, the first one does not lead everywhere."""
    one = outlook()
    other = replace(one.cells[2], totals=one.cells[2].totals[::-1])
    assert sentence(one._replace(cells=(*one.cells[:2], other))).startswith(
        "For 1,000 steps, numba leads or is within the margin of the leader at every batch from 1 to 65,536 rows."
    )
