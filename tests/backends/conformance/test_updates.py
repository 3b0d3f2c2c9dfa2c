"""The bounds of updates hold for right optimisers in every style, and claim as much as can be claimed."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from backends.base import Adam, Momentum, Network
from backends.conformance.bounds import Ball, Precision
from backends.conformance.complete import Complete
from backends.conformance.oracle import DOUBLE, EXTENDED, multiprecision
from backends.conformance.subject import precision_of
from backends.conformance.updates import OPTIMIZERS, BallState, correction_error, updated
from tests.backends.conformance.styles.updating import STYLES, judge_drawn_updates, missing


def precision(dtype: str) -> Precision:
    """Return the precision of plain numpy."""
    return replace(precision_of(Complete(Network((1, 1, 1)), dtype), 1), arithmetic=EXTENDED)


def advanced(rule: Any, w: Ball, g: Ball, moments: tuple[Ball, ...], t: int, rate: float, p: Precision) -> Any:
    """Return the balls of one update."""
    with np.errstate(all="ignore"):
        return OPTIMIZERS[rule.name](rule, w, g, moments, t, rate, p)


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.__name__)
def test_right_optimizer_of_any_style_stays_within_its_bounds(style: Any, dtype: str) -> None:
    """Updates and steps of drawn settings, shapes, values and states are accepted, however they are written."""
    if reason := missing(style):
        pytest.skip(reason)
    findings = [found for case in judge_drawn_updates(style, dtype, 5, style.draws) for found in case]
    assert [found for found in findings if found.status == "fail"] == []
    assert len(findings) == 2 * style.draws


@pytest.mark.parametrize("rule", [Momentum(0.5), Adam(), Adam(0.3, 0.6, 1e-2, 0.25)], ids=str)
@pytest.mark.parametrize("t", [1, 2, 40])
def test_ball_of_an_update_holds_the_update_of_every_point(rule: Any, t: int) -> None:
    """Parameters, gradients and moments anywhere in their balls lead into the balls of what comes out."""
    rng = np.random.default_rng(t)
    p = precision("float64")
    n = 400
    centres = [rng.standard_normal(n) * 10.0 ** rng.integers(-4, 2, n) for _ in range(2 + len(rule.moments))]
    if rule.name == "adam":
        centres[3] = centres[3] ** 2
    radii = [abs(centre) * 10.0 ** rng.integers(-6, 1, n) for centre in centres]
    balls = [Ball(EXTENDED.array(centre), radius) for centre, radius in zip(centres, radii, strict=True)]
    w, moments = advanced(rule, balls[0], balls[1], tuple(balls[2:]), t, 0.125, p)
    for _ in range(50):
        at = [
            EXTENDED.array(c + r * rng.choice([-1, 1, 0, rng.uniform(-1, 1)], n))
            for c, r in zip(centres, radii, strict=True)
        ]
        new, kept = rule.advance(at[0], at[1], tuple(at[2:]), t, EXTENDED.array(0.125))
        for got, ball in ((new, w), *zip(kept, moments, strict=True)):
            assert np.all(abs(got - ball.exact).astype(float) <= ball.radius)


def test_direction_that_is_open_is_bounded_by_what_any_gradient_gives() -> None:
    """At first an uncertain gradient moves Adam by the rate at most, to either side; a certain one far more closely."""
    p, rate = precision("float32"), 0.5
    g = Ball(EXTENDED.array([1e-9, 1e-9, 2.0]), np.array([1e-8, 1e-18, 1e-6]))
    zero = Ball(EXTENDED.array(np.zeros(3)))
    w, _ = advanced(Adam(), Ball(EXTENDED.array(np.zeros(3))), g, (zero, zero), 1, rate, p)
    assert 1 < w.radius[0] / rate < 2.01
    assert w.radius[1] / rate < 1e-3
    assert w.radius[2] / rate < 1e-3


def test_gradients_of_zero_leave_parameters_where_they_are() -> None:
    """Without a moment there is no direction: the one right answer is the parameter itself."""
    p = precision("float32")
    w, zero = Ball(EXTENDED.array([0.75])), Ball(EXTENDED.array([0.0]))
    new, _ = advanced(Adam(), w, zero, (zero, zero), 1, 0.5, p)
    assert float(new.exact[0]) == 0.75
    assert new.radius[0] <= 2.0**-24


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("t", [1, 2, 10, 1000])
def test_correction_error_is_that_of_a_subtraction(dtype: str, t: int) -> None:
    """``1 - beta^t`` in the dtype itself is no further off than is allowed, and at first nearly as far."""
    p, real = precision(dtype), np.dtype(dtype).type
    for beta in (0.9, 0.999, 0.5, 0.9999):
        exact = 1 - np.longdouble(beta) ** t
        got = real(1) - real(beta) ** real(t)
        assert abs(got - exact) / exact <= correction_error(beta, t, p)
    assert correction_error(0.999, 1, p) < 5000 * p.whole_unit


def test_updates_are_the_same_in_every_arithmetic() -> None:
    """Doubles, extended precision and mpmath give balls that hold each other's centres."""
    rng = np.random.default_rng(3)
    values = [rng.standard_normal((2, 3)) for _ in range(4)]
    values[3] = values[3] ** 2
    for rule in (Momentum(), Adam(weight_decay=0.1)):
        news = []
        for arithmetic in (DOUBLE, EXTENDED, multiprecision()):
            p = replace(precision("float64"), arithmetic=arithmetic)
            w, g, *moments = (Ball(arithmetic.array(value)) for value in values)
            state = BallState([(w, w)], tuple([(m, m)] for m in moments[: len(rule.moments)]), 4)
            news.append(updated(rule, state, [(g, g)], 0.25, p).params[0][0])
        for one in news:
            for other in news:
                apart = abs(np.asarray(one.exact - np.asarray(other.exact), np.float64))
                assert np.all(apart <= one.radius + other.radius)
