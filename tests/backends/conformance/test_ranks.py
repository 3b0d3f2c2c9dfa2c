"""Claims about ranks, on ranks that are started."""

from __future__ import annotations

import pytest

from backends import available
from backends.conformance.launched import CLAIMS, check_on_ranks
from backends.conformance.mutants import ranks as mutants
from backends.conformance.ranks import CLAIMS as JUDGED
from backends.conformance.ranks import Dealt, deals

ALL = [(name, dtype, "cpu") for name in available("best") for dtype in ("float32", "float64")]


@pytest.mark.parametrize(
    ("engine", "size"), [("mpi", 2), ("mpi", 3), ("torch", 2), ("torch", 3), ("jax", 2), ("jax", 3)]
)
def test_ranks_train_as_one_process(engine: str, size: int) -> None:
    """Every backend trains on two and three ranks, by every engine, within the bounds and with the same bits on all."""
    if engine == "mpi":
        tasks = [task for task in ALL if size == 2 or task[1] == "float32"]
    else:  # in float64, whose bounds see every fault; on three ranks the engine's own backend alone
        names = ("numpy", engine) if size == 2 else (engine,)
        tasks = [(name, "float64", "cpu") for name in names]
    reports = check_on_ranks(tasks, size, engine)
    assert [
        (r.backend, r.dtype, c.name, c.case, c.where) for r in reports for c in r.claims if c.status == "fail"
    ] == []
    assert [claim.name for claim in reports[0].claims if claim.status == "pass"] == list(CLAIMS)


@pytest.mark.parametrize(("mutant", "claim"), mutants.MUTANTS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_of_ranks_is_rejected(mutant: type[Dealt], claim: str) -> None:
    """Each fault of sharing fails the claim that it belongs to, in float32, whose bounds are widest."""
    (report,) = check_on_ranks(
        [("numpy", "float32", "cpu")], 2, "mpi", dealt=f"{mutant.__module__}:{mutant.__qualname__}"
    )
    assert [failed.name for failed in report.failures][:1] == [claim], report


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
