"""The t distribution and its kin, held against scipy's."""

import numpy as np
import pytest
from scipy import optimize, special, stats

from bench.advice.nnls import nnls
from bench.verdicts import student


def test_upper_tail_equals_scipy():
    """Tail probabilities agree with scipy's to ten digits, both sides, from 1 degree of freedom to many."""
    rng = np.random.default_rng(0)
    t, dof = rng.normal(size=500) * 6, rng.uniform(1, 80, 500)
    assert np.allclose(stats.t.sf(t, dof), student.upper_tail(t, dof), rtol=1e-10, atol=0)
    assert student.upper_tail([np.inf, -np.inf, 0.0], 3.0).tolist() == [0.0, 1.0, 0.5]
    assert np.isnan(student.upper_tail([np.nan, 1.0], [3.0, np.nan])).all()


@pytest.mark.parametrize("dof", [1.0, 2.0, 3.0, 4.5, 18.0, 1000.0])
@pytest.mark.parametrize("probability", [0.6, 0.975, 0.9995])
def test_quantile_equals_scipy(dof, probability):
    """Quantiles agree with scipy's to nine digits."""
    assert student.quantile(probability, dof) == pytest.approx(stats.t.ppf(probability, dof), rel=1e-9)


def test_quantile_of_the_unknown_is_unknown():
    """Where the degrees of freedom are not known, neither is the quantile."""
    assert np.isnan(student.quantile(0.975, [np.nan, 0.0])).all()


@pytest.mark.parametrize("x", [0.1, 0.5, 1.0, 2.5, 30.0])
def test_digamma_and_trigamma_equal_scipy(x):
    """Both agree with scipy's to ten digits, and the inverse of trigamma inverts it."""
    assert student.digamma(x) == pytest.approx(special.digamma(x), rel=1e-10)
    assert student.trigamma(x) == pytest.approx(special.polygamma(1, x), rel=1e-10)
    assert student.inverse_trigamma(student.trigamma(x)) == pytest.approx(x, rel=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_nnls_equals_scipy(seed):
    """Least squares without negative coefficients finds scipy's solution."""
    rng = np.random.default_rng(seed)
    a = rng.random((20, 7))
    b = a @ np.maximum(rng.normal(size=7), 0) + 0.1 * rng.normal(size=20)
    expected, _ = optimize.nnls(a, b)
    assert nnls(a, b) == pytest.approx(expected, abs=1e-9)
