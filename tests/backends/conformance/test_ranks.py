"""Claims about ranks, on ranks that are started."""

from __future__ import annotations

import pytest

from backends import available
from backends.conformance.launched import CLAIMS, check_on_ranks
from backends.conformance.mutants.ranks import MUTANTS
from backends.conformance.ranks import CLAIMS as JUDGED
from backends.conformance.ranks import deals

ALL = available("best")
LAUNCHES = {
    ("mpi", 2): [(name, "float32") for name in ALL] + [("numba", "float64")],
    ("mpi", 3): [("numpy", "float64")],
    ("torch", 2): [("torch", "float64")],
    ("jax", 2): [("jax", "float64")],
}
"""Backends and dtypes on ranks of an engine. `backends/ranks/test_join.py` tries the sums of every engine on three."""


@pytest.mark.parametrize(("engine", "size"), LAUNCHES)
def test_ranks_train_as_one_process(engine: str, size: int) -> None:
    """Every backend in both dtypes, and numpy on three ranks, is within bounds, with equal bits."""
    reports = check_on_ranks([(*task, "cpu") for task in LAUNCHES[engine, size]], size, engine)
    assert [
        (r.backend, r.dtype, c.name, c.case, c.where) for r in reports for c in r.claims if c.status == "fail"
    ] == []
    assert [claim.name for claim in reports[0].claims if claim.status == "pass"] == list(CLAIMS)


def test_each_fault_of_ranks_is_rejected() -> None:
    """Each fault of sharing fails the claim that it belongs to first, in float32, whose bounds are widest."""
    dealt = [f"{mutant.__module__}:{mutant.__qualname__}" for mutant in MUTANTS]
    reports = check_on_ranks([("numpy", "float32", "cpu")] * len(dealt), 2, "mpi", dealt=dealt)
    failed = [[claim.name for claim in report.failures][:1] for report in reports]
    assert dict(zip(MUTANTS, failed, strict=True)) == {mutant: [claim] for mutant, claim in MUTANTS.items()}


def test_rows_are_dealt_out_whole() -> None:
    """Every deal has all rows; among them are one row, none for a rank, and all for the last."""
    for size in (2, 3, 5):
        dealt = deals(9, size)
        assert {sum(deal) for deal in dealt} == {9}
        assert any(deal[0] == 1 for deal in dealt)
        assert (*(0,) * (size - 1), 9) in dealt


def test_claims_are_listed_without_a_framework() -> None:
    """What the starting process lists is what each rank judges."""
    assert tuple(JUDGED) == CLAIMS
