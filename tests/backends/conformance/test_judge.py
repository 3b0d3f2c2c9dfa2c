"""Judging one array: what is right, what is wrong, and what nothing can be claimed of."""

import math

import numpy as np
import pytest

from backends.conformance.bounds import Ball, Precision
from backends.conformance.judge import Tally, ratios
from backends.conformance.oracle import EXTENDED
from backends.conformance.report import Finding, worst_of

P = Precision("float32", 2.0**-24, EXTENDED, 1e-45, float(np.finfo(np.float32).max))
BIG = 1e39  # beyond the largest float32


@pytest.mark.parametrize(
    ("got", "exact", "radius", "expected"),
    [
        (1.5, 1.0, 1.0, 0.5),
        (1.0, 1.0, 0.0, 0.0),
        (1.5, 1.0, 0.0, math.inf),
        (1.5, 1.0, -0.0, math.inf),
        (math.nan, 1.0, 1.0, math.inf),
        (math.inf, 1.0, 1.0, math.inf),
        (math.inf, BIG, 1.0, 0.0),
        (math.nan, 1.0, BIG, 0.0),
        (1.0, math.nan, 1.0, math.inf),
        (math.nan, math.nan, 1.0, 0.0),
        (math.inf, math.inf, math.nan, 0.0),
        (-math.inf, math.inf, math.nan, math.inf),
        (1.0, math.inf, math.inf, math.inf),
        (1.0, 2.0, math.inf, 0.0),
    ],
)
def test_ratio_of_one_entry(got: float, exact: float, radius: float, expected: float) -> None:
    """Finite, NaN and infinite results against finite, NaN, infinite and overflowing exact values."""
    (found,) = ratios(np.array([got]), Ball(EXTENDED.array([exact]), np.array([radius])), P)
    assert found == pytest.approx(expected, rel=1e-5)


def test_nan_stands_for_an_infinity_in_derivatives_alone() -> None:
    """Inf - Inf on the way to a derivative is no fault; in an output it is. The wrong infinity always is."""
    ball = Ball(EXTENDED.array([math.inf]), np.array([math.nan]))
    for claim, got, status in (
        ("outputs", math.nan, "fail"),
        ("weights gradients", math.nan, "pass"),
        ("weights gradients", -math.inf, "fail"),
        ("weights gradients", 1.0, "fail"),
    ):
        tally = Tally("case", P, "float32")
        tally.judge(claim, "array", np.array([got]), ball)
        assert tally.findings[0].status == status


def test_tally_keeps_the_worst_entry_and_says_where() -> None:
    """The finding names the entry with the largest ratio, counted from the first row of the batch."""
    tally = Tally("case", P, "float32")
    ball = Ball(EXTENDED.array([[1.0], [1.0]]), np.ones((2, 1)))
    tally.judge("outputs", "output", np.array([[1.5], [1.75]]), ball, first_row=10)
    tally.judge("outputs", "output", np.array([[1.25], [1.0]]), ball, first_row=20)
    (finding,) = tally.findings
    assert (finding.ratio, finding.where) == (pytest.approx(0.75, rel=1e-5), "output[11, 0]")


def test_quality_tier_warns_and_does_not_fail() -> None:
    """Within the proven bound and beyond the quality tier is a warning."""
    tally = Tally("case", P, "float32")
    exact = EXTENDED.array([1.0])
    tally.judge("outputs", "output", np.array([1.5]), Ball(exact, np.array([1.0])), Ball(exact, np.array([0.25])))
    assert tally.findings[0].status == "warn"


def test_tally_keeps_a_failure_that_is_not_a_number() -> None:
    """A ratio of NaN is a failure that no later pass replaces, and no warning hides."""
    tally = Tally("case", P, "float32")
    for radius in (math.nan, 1.0):
        tally.judge("outputs", "output", np.array([1.5]), Ball(EXTENDED.array([1.0]), np.array([radius])))
    assert [finding.status for finding in tally.findings] == ["fail"]
    passed, unknown = Finding("outputs", "case", 0.5), Finding("outputs", "case", math.nan)
    assert worst_of([passed, unknown, passed]) is worst_of([unknown, passed]) is unknown


@pytest.mark.parametrize(
    "got",
    [np.ones((2, 3), np.float32), np.ones((2, 2), np.float64), [[1.0, 1.0]] * 2, np.ones((2, 2), np.float32, "F")],
)
def test_arrays_of_another_shape_dtype_type_or_order_are_failures(got: object) -> None:
    """What comes back must be a row-major numpy array of the backend's dtype and the right shape."""
    tally = Tally("case", P, "float32")
    assert not tally.require("outputs", "output", got, (2, 2))
    assert tally.findings[0].status == "fail"
