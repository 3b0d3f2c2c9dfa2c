"""Negative controls: a kit that cannot fail proves nothing."""

import pytest

from backends.conformance import check
from backends.conformance.mutants import MUTANTS
from backends.conformance.plain import Plain


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_rejected_by_the_claim_that_names_its_fault(mutant: type[Plain], dtype: str) -> None:
    """Each single fault fails the claim it belongs to, on float32 and float64."""
    claim = MUTANTS[mutant]
    report = check(f"{mutant.__module__}:{mutant.__qualname__}", dtype=dtype, claims=(claim,), draws=0)
    assert [failed.name for failed in report.failures] == [claim]


def test_plain_backend_that_mutants_derive_from_passes_every_claim(dtype: str) -> None:
    """Without a fault nothing is rejected."""
    report = check(f"{Plain.__module__}:{Plain.__qualname__}", dtype=dtype, seed=1)
    assert [(claim.name, claim.where) for claim in report.claims if claim.status != "pass"] == []
