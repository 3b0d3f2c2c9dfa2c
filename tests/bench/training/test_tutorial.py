"""The tutorial's job: golden values, every backend beside them, the erratum, and the hidden function recovered."""

from __future__ import annotations

import json

import numpy as np
import pytest

import backends
from backends.conformance import oracle
from bench import cli
from bench.training import tutorial
from bench.training.tutorial import GOLDEN, INPUTS, PARAMS, TARGETS, TUTORIAL_STEP_RATE
from bench.training.tutorial_as_printed import mean_squared_errors

# How far a float64 of this network may be from a golden value, relative to the largest in its group: the bounds of
# conformance are finer, and the walk checks them; this is for reading the numbers shown.
SHOWN = 1e-13


@pytest.fixture(scope="module")
def document() -> dict[str, object]:
    """What ``tutorial --json`` prints, run once; its exit status is 0."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert cli.main(["tutorial", "--json"]) == cli.SUCCESS
    loaded: dict[str, object] = json.loads(out.getvalue())
    return loaded


def test_golden_values_are_those_of_extended_precision() -> None:
    """Each golden value is the oracle's, rounded to float64."""
    exact = oracle.multiprecision()
    hs = oracle.forward(PARAMS, INPUTS, exact)[1]
    gradients = oracle.backward(PARAMS, INPUTS, TARGETS, exact)
    updated = oracle.update(PARAMS, gradients, TUTORIAL_STEP_RATE, exact)
    loss = oracle.loss(PARAMS, INPUTS, TARGETS, exact)
    expected = (np.ravel(hs[0]), np.ravel(hs[1]), [loss], tutorial._in_order(gradients), tutorial._in_order(updated))
    for (group, golden), numbers in zip(GOLDEN.items(), expected, strict=True):
        assert list(golden.values()) == [float(number) for number in numbers], group


def test_golden_values_are_those_that_the_tutorial_prints() -> None:
    """Predictions, mean squared error and output_weights_update are the tutorial's own."""
    assert list(GOLDEN["predicted"].values()) == [2.983674632623356, 2.9800957844617377, 2.9757414669753963]
    assert GOLDEN["loss"]["mean squared error"] == 238.12000783695962
    update = [-1.5 * GOLDEN["gradients"][f"output, hidden {unit}"] for unit in (1, 2)]
    np.testing.assert_allclose(update, [33.06046194942191, 32.379876941097336], rtol=1e-15)


def test_every_available_backend_shows_golden_values(document: dict) -> None:
    """No available backend is left out, each number is the golden one, and each stays within its proven bound."""
    shown = document["backends"]
    assert set(shown) | set(document["unavailable"]) >= set(backends.available())
    assert "numpy" in shown
    for name, found in shown.items():
        assert found["error_per_bound"] <= 1, (name, found["worst_claim"])
        for group, golden in GOLDEN.items():
            assert found["values"][group].keys() == golden.keys()
            got, expected = np.array(list(found["values"][group].values())), np.array(list(golden.values()))
            assert np.abs(got - expected).max() <= SHOWN * np.abs(expected).max(), (name, group)


def test_erratum_shows_the_climb_and_the_descent(document: dict) -> None:
    """As printed the error climbs to 1e157; with the sign mended it falls, by the tutorial's own step."""
    erratum = document["erratum"]
    printed = dict(zip(erratum["iterations"], erratum["as_printed"], strict=True))
    mended = dict(zip(erratum["iterations"], erratum["sign_mended"], strict=True))
    assert printed[0] == pytest.approx(238.12000783695962, rel=1e-14)
    assert printed[1] == pytest.approx(240.36922474158962, rel=1e-14)
    assert 1e157 < printed[20_000] < 1e158
    assert mended[1] == pytest.approx(235.89963611658342, rel=1e-14)
    assert mended[1000] == pytest.approx(2.936, abs=5e-4)


def test_mended_iteration_is_one_step_of_the_backends() -> None:
    """With its sign mended the tutorial's iteration is a step at 0.0015 of the true gradient."""
    backend = backends.load("numpy", tutorial.NETWORK, "float64")
    batch = backend.place_batch(INPUTS, TARGETS)
    _, losses = backend.train(backend.place_params(PARAMS), batch, TUTORIAL_STEP_RATE, 6)
    mended = mean_squared_errors(range(6), -1)
    np.testing.assert_allclose(losses, list(mended.values()), rtol=1e-13)


def test_hidden_function_is_recovered_on_the_samples(document: dict) -> None:
    """Training says its rate and steps, and ends with a loss below 1e-6 and the samples' targets."""
    training = document["training"]
    assert (training["learning_rate"], training["steps"]) == (5e-4, 20_000)
    assert training["last_loss"] < 1e-6
    assert training["losses"][0] == pytest.approx(238.12, rel=1e-4)
    assert len(training["losses"]) == training["steps"] / training["losses_every"]
    step = training["recovered_after_steps"]
    every = training["losses_every"]
    assert training["losses"][step // every] >= 1e-6 > training["losses"][step // every + 1]
    np.testing.assert_allclose(training["predicted"], training["targets"], atol=1e-3)


def test_walk_reads_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """The text fits, is plain in a pipe, and says what the tutorial got wrong."""
    assert cli.main(["tutorial"]) == cli.SUCCESS
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "238.120" in text
    assert "walks uphill" in text
    assert "below 1.00e-6 after 14,0" in text
    for name in backends.available():
        assert name in text


def test_walk_on_a_wrong_backend_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A backend off by a millionth of a millionth is called wrong, and the command fails, though it learns."""

    class Imprecise(backends.find("numpy")):  # type: ignore[misc]
        def outputs(self, tape: object) -> object:
            return tuple(h * (1 + 1e-12) for h in super().outputs(tape))

    monkeypatch.setattr(backends, "load", lambda name, *arguments: Imprecise(*arguments))
    assert cli.main(["tutorial", "--backend", "numpy"]) == cli.CHECK_FAILED
    text = capsys.readouterr().out
    assert "WRONG" in text
    assert "below 1.00e-6" in text


def test_tutorial_on_an_unknown_backend_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt backend ends with status 2 and the nearest name."""
    assert cli.main(["tutorial", "--backend", "nunpy"]) == cli.WRONG_USAGE
    assert "did you mean 'numpy'" in capsys.readouterr().err
