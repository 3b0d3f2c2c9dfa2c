"""The claim on state: what it accepts, and what it says."""

import pytest

from backends.base import Capabilities
from backends.conformance import check, state
from backends.conformance.mutants.mathematics import Bf16
from backends.conformance.mutants.promises import Random


class Undeclared(Random):
    """Adds up in a new order each time, and promises nothing else."""

    name = "undeclared"
    capabilities = Capabilities(deterministic=frozenset())


class Declared(Bf16):
    """Rounds the factors of its products, and says so."""

    name = "declared"
    capabilities = Capabilities(products="bf16")


def test_state_accepts_a_backend_that_does_not_promise_equal_bits(dtype: str) -> None:
    """Two computations of one result are judged by their bounds, not bit for bit."""
    report = check(f"{__name__}:Undeclared", dtype=dtype, claims=("state", "laws"))
    assert [(claim.name, claim.where) for claim in report.failures] == []


def test_report_names_the_precision_that_a_backend_declares() -> None:
    """Coarse products that are declared are part of the report, in float32, where they widen the bounds."""
    name, dtypes = f"{__name__}:Declared", ("float32", "float64")
    found = {dtype: check(name, dtype=dtype, claims=("outputs",), quick=True) for dtype in dtypes}
    assert {dtype: report.products for dtype, report in found.items()} == {"float32": "bf16", "float64": "ieee"}
    assert found["float32"].passed


def test_deep_check_makes_more_walks_from_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deep check makes more walks on each ground, the first of the seed given."""
    monkeypatch.setattr(state, "DEEP_WALKS", 1)
    plain = "backends.conformance.plain:Plain"
    few, more = (check(plain, claims=("state",), draws=0, seed=12, deep=deep).claims[0] for deep in (False, True))
    assert more.cases == few.cases + len(state.GROUNDS)
    assert more.status == "pass"
