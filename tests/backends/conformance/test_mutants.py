"""Negative controls: a kit that cannot fail proves nothing."""

import numpy as np
import pytest

from backends.conformance import check
from backends.conformance.checks import RULES, plan_of
from backends.conformance.mutants import MUTANTS, shapes, width
from backends.conformance.mutants.shares import PlainShares
from backends.conformance.plain import Plain
from backends.conformance.subject import Subject

OTHERS = [mutant for mutant in MUTANTS if mutant not in {*shapes.MUTANTS, *width.MUTANTS}]
FIRST = list({(mutant.__module__, MUTANTS[mutant]): mutant for mutant in reversed(OTHERS)}.values())[::-1]
"""Of each family the first fault of each claim."""


def name_of(kind: type[Plain]) -> str:
    """Return what `check` takes."""
    return f"{kind.__module__}:{kind.__qualname__}"


@pytest.mark.parametrize(
    ("mutant", "dtype"),
    [*((mutant, "float32") for mutant in OTHERS), *((mutant, "float64") for mutant in FIRST)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_mutant_is_rejected_by_the_claim_that_names_its_fault(mutant: type[Plain], dtype: str) -> None:
    """Each single fault fails the claim it belongs to in float32, whose bounds are widest, and one of each kind in
    float64; one finding that fails is enough.
    """
    subject = Subject(name_of(mutant), dtype, "cpu", draws=0)
    ((claim, cases),) = plan_of(subject, claims=(MUTANTS[mutant],))
    with np.errstate(all="ignore"):
        assert any(finding.status == "fail" for finding in RULES[claim].judge(subject, cases))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("mutant", shapes.MUTANTS, ids=lambda mutant: mutant.__name__)
def test_fault_of_some_shapes_is_rejected_whatever_is_drawn(mutant: type[shapes.WrongShape], seed: int) -> None:
    """Among the cases of one check are some of the shape, and one of them fails the claim."""
    ((claim, planned),) = plan_of(Subject(name_of(mutant), "float32", "cpu", seed=seed), claims=(MUTANTS[mutant],))
    met = [case for case in planned if mutant(case.network, "float32").affects(case.rows)]
    cases = tuple(sorted(met, key=lambda case: case.rows * case.network.parameter_count)[:2])
    report = check(name_of(mutant), cases=cases, claims=(claim,))
    assert [failed.name for failed in report.failures] == [claim]


@pytest.mark.parametrize("mutant", width.MUTANTS, ids=lambda mutant: mutant.__name__)
def test_fault_within_the_width_of_a_bound_is_rejected(mutant: type[Plain]) -> None:
    """One case of the claim shows what the bound of a usual batch would hide, in float32, whose bounds are widest."""
    claim, case = width.MUTANTS[mutant], width.SHOWN_BY[mutant]
    ((_, planned),) = plan_of(Subject(name_of(mutant), "float32", "cpu", draws=0), claims=(claim,))
    assert case in map(str, planned)
    report = check(name_of(mutant), cases=tuple(c for c in planned if str(c) == case), claims=(claim,))
    assert [failed.name for failed in report.failures] == [claim]


def test_plain_backend_that_mutants_derive_from_passes_every_claim(dtype: str) -> None:
    """Without a fault nothing is rejected, and only claims on what it does not offer are skipped."""
    report = check(name_of(Plain), dtype=dtype, draws=2, seed=1)
    not_passed = {claim.name: claim.status for claim in report.claims if claim.status != "pass"}
    assert not_passed == dict.fromkeys(("activations", "losses", "optimizers", "mini-batches"), "skip")


def test_plain_backend_that_places_shares_passes_the_claim_on_them(dtype: str) -> None:
    """Without a fault no share is rejected."""
    assert check(name_of(PlainShares), dtype=dtype, claims=("shares",)).passed
