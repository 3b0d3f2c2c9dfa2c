"""The oracle itself: against the tutorial's own numbers, a derivative without backpropagation, other arithmetics."""

import time

import numpy as np
import pytest

from backends import Layer
from backends.conformance import check, oracle
from backends.conformance.cases import Case
from backends.conformance.plain import Plain

PLAIN = f"{Plain.__module__}:{Plain.__qualname__}"
TUTORIAL = Case.parse("3-2-1/n=3/tutorial").problem("float64")
EXACT_TO_A_DOUBLE = {"rtol": 2.0**-51, "atol": 0.0}


def test_oracle_predicts_what_the_tutorial_prints() -> None:
    """The three predictions are the golden ones."""
    predicted = oracle.forward(TUTORIAL.params, TUTORIAL.inputs)[1][-1].astype(float)
    expected = [[2.983674632623356], [2.9800957844617377], [2.9757414669753963]]
    np.testing.assert_allclose(predicted, expected, **EXACT_TO_A_DOUBLE)


def test_oracle_loss_is_the_tutorials() -> None:
    """The mean squared error is the golden one."""
    loss = float(oracle.loss(TUTORIAL.params, TUTORIAL.inputs, TUTORIAL.targets))
    np.testing.assert_allclose(loss, 238.12000783695962, **EXACT_TO_A_DOUBLE)


def test_oracle_gradient_is_the_tutorials_update_turned_and_scaled() -> None:
    """The tutorial's `output_weights_update` is the negative of the gradient, times 3/2."""
    gradient = oracle.backward(TUTORIAL.params, TUTORIAL.inputs, TUTORIAL.targets)[-1].weights.astype(float)
    np.testing.assert_allclose(-gradient * 3 / 2, [[33.06046194942191, 32.379876941097336]], **EXACT_TO_A_DOUBLE)


def test_oracle_descends_to_the_corrected_golden_loss() -> None:
    """With the right sign and the tutorial's own step, the loss after one step is 235.89963611658342."""
    gradients = oracle.backward(TUTORIAL.params, TUTORIAL.inputs, TUTORIAL.targets)
    params = oracle.update(TUTORIAL.params, gradients, 0.001 * 3 / 2)
    loss = float(oracle.loss(params, TUTORIAL.inputs, TUTORIAL.targets))
    np.testing.assert_allclose(loss, 235.89963611658342, **EXACT_TO_A_DOUBLE)


@pytest.mark.parametrize(
    "name", ["3-2-1/n=3/tutorial", "2-3-1/n=7/normal", "3-2-2-2/n=8/saturated", "1-3-3-2-1/n=9/visible"]
)
def test_oracle_gradients_are_the_complex_step_derivative(name: str) -> None:
    """Backpropagation and the complex step of the loss agree to double precision, relative to the largest entry."""
    problem = Case.parse(name).problem("float64")
    gradients = oracle.backward(problem.params, problem.inputs, problem.targets)
    derivative = oracle.complex_step(problem.params, problem.inputs, problem.targets)
    for layer, expected in zip(gradients, derivative, strict=True):
        for array, by_step in zip(layer, expected, strict=True):
            np.testing.assert_allclose(array.astype(float), by_step, rtol=1e-12, atol=1e-13 * np.abs(by_step).max())


def test_oracle_slope_keeps_its_digits_far_out() -> None:
    """At z = 19 tanh' is 4 e^-38, of which ``1 - tanh^2`` in doubles has nothing left."""
    z = np.array([19.0])
    assert 1 - np.tanh(z) ** 2 == 0
    np.testing.assert_allclose(oracle.DOUBLE.slope(z), 4 * np.exp(-38.0), rtol=1e-13)


def test_oracle_in_multiprecision_agrees_with_extended_precision() -> None:
    """The fallback for platforms whose long double is a double computes the same values, to extended precision."""
    problem = Case.parse("3-2-2/n=7/saturated").problem("float64")
    exact = oracle.backward(problem.params, problem.inputs, problem.targets, oracle.multiprecision())
    extended = oracle.backward(problem.params, problem.inputs, problem.targets)
    unit = oracle.EXTENDED.unit
    for one, other in zip(exact, extended, strict=True):
        for mp, ld in zip(one, other, strict=True):
            assert np.abs((mp - ld).astype(float)).max() <= 200 * unit * np.abs(mp).max()


def test_oracle_falls_back_where_long_double_is_double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then float64 is judged in multiprecision, float32 in doubles, and large work in doubles with their own error."""
    monkeypatch.setattr(oracle, "EXTENDED", oracle.Arithmetic("double in disguise", 2.0**-53, np.float64))
    assert oracle.arithmetic_for(10, "float64").dtype is object
    assert oracle.arithmetic_for(10, "float32") is oracle.DOUBLE
    assert oracle.arithmetic_for(oracle.SMALLEST_WORK + 1, "float64") is oracle.DOUBLE


def test_judging_without_extended_precision_takes_little_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where long double is a double, the stated set takes at most two seconds more, and the verdict is the same."""
    begun_s = time.process_time()
    assert check(PLAIN, dtype="float64", claims=("outputs", "train"), draws=0).passed
    usual_s = time.process_time() - begun_s
    monkeypatch.setattr(oracle, "EXTENDED", oracle.DOUBLE)
    begun_s = time.process_time()
    assert check(PLAIN, dtype="float64", claims=("outputs", "train"), draws=0).passed
    assert time.process_time() - begun_s <= usual_s + 2


def test_oracle_propagates_nan_and_infinity() -> None:
    """A NaN among the inputs reaches every gradient of the first layer, and the loss."""
    inputs = TUTORIAL.inputs.copy()
    inputs[0, 0] = np.nan
    with np.errstate(invalid="ignore"):
        gradients = oracle.backward(TUTORIAL.params, inputs, TUTORIAL.targets)
        assert np.isnan(oracle.loss(TUTORIAL.params, inputs, TUTORIAL.targets))
    assert np.isnan(Layer(*gradients[0]).weights).all()
