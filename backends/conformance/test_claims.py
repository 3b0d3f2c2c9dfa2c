"""One test a claim: run by ``pytest --pyargs backends.conformance --conformance-backend NAME``."""

from __future__ import annotations

import pytest

from backends.conformance.checks import RULES, check_claim, plan_of
from backends.conformance.plugin import properties, subjects
from backends.conformance.subject import Subject


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each backend, dtype and claim."""
    judged = [(subject, claim) for subject in subjects(metafunc.config) for claim in RULES]
    names = [f"{subject.name}-{subject.dtype}-{claim.replace(' ', '_')}" for subject, claim in judged]
    metafunc.parametrize(("subject", "claim"), judged, ids=names)


def test_backend_stays_within_its_bounds(subject: Subject, claim: str, request: pytest.FixtureRequest) -> None:
    """The claim holds on every case of the stated set: no error exceeds its proven bound."""
    ((_, cases),) = plan_of(subject, claims=(claim,))
    judged = check_claim(claim, subject, cases)
    request.node.user_properties += properties(subject, judged, by_name=not RULES[claim].own_cases)
    if judged.status == "skip":
        pytest.skip(judged.where)
    if judged.status == "fail":
        pytest.fail(f"error / bound is {judged.ratio:.3g} on {judged.case}: {judged.where}", pytrace=False)
