"""`check` and `check_cell`, as others call them."""

import json

import numpy as np
import pytest

import backends
from backends import Layer, Network
from backends.conformance import check, check_cell
from backends.conformance.checks import RULES, STAGES
from backends.conformance.mutants import Ascent
from backends.conformance.plain import Plain

NETWORK = Network((3, 2, 1))
JUDGED = {
    "float32": (*STAGES, "step", "spikes", "exact sums", "train", "activations", "losses", "sign", "rates"),
    "float64": ("optimizers", "mini-batches", "layouts", "values", "shares", "state", "laws", "refusals"),
}
"""Claims that are judged of a backend in a dtype. The session `parity` judges all, of all backends in both."""
COMPILED_LONG = {"train", "activations", "losses", "optimizers", "mini-batches"}
"""Claims that take long of a backend that compiles each shape."""
PLAIN, ASCENT = (f"{kind.__module__}:{kind.__qualname__}" for kind in (Plain, Ascent))


def problem(rows: int) -> tuple[tuple[Layer, ...], np.ndarray, np.ndarray]:
    """Return host params, inputs and targets of 3-2-1."""
    rng = np.random.default_rng(7)
    params = tuple(Layer(rng.standard_normal((o, i)), rng.standard_normal(o)) for o, i in NETWORK.layer_shapes)
    return params, rng.standard_normal((rows, 3)), rng.standard_normal((rows, 1))


def test_check_judges_every_claim_of_every_backend(backend_name: str, dtype: str) -> None:
    """Each backend here passes each claim in one dtype, quickly judged; if it compiles, those that compile soon."""
    left_out = COMPILED_LONG if backends.find(backend_name).capabilities.compiles else set()
    asked = [claim for claim in JUDGED[dtype] if claim not in left_out]
    report = check(backend_name, dtype=dtype, quick=True, claims=tuple(asked))
    assert [(claim.name, claim.case, claim.where) for claim in report.failures] == []
    assert [claim.name for claim in report.claims] == asked


def test_every_claim_is_judged_of_the_backends_here() -> None:
    """In one dtype or the other; determinism takes other processes, and is the session `parity`'s."""
    assert {*JUDGED["float32"], *JUDGED["float64"]} == {claim for claim in RULES if claim != "determinism"}


def test_check_reports_the_worst_claim_and_is_json() -> None:
    """The worst claim of ascent has an infinite ratio, names its case, and the whole is a JSON document."""
    report = check(ASCENT, quick=True)
    assert not report.passed
    assert report.worst.ratio == np.inf
    assert "3-2-1" in report.worst.case
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["passed"] is False


def test_check_of_one_network_judges_that_network() -> None:
    """The numeric claims come from the network asked for."""
    report = check(PLAIN, Network((4, 5, 2)), quick=True)
    assert report.passed
    assert all(claim.case.startswith("4-5-2/") for claim in report.claims if not RULES[claim.name].own_cases)


@pytest.mark.parametrize("text", ["4-3-2/relu", "4-3-2/sigmoid/cross-entropy"])
def test_check_of_one_network_judges_its_activation_and_loss(text: str) -> None:
    """Cases are named after the whole network, and a right backend passes; the sign is judged of tanh alone."""
    claims = (*STAGES, "step", "train", "sign")
    report = check("numpy", Network.parse(text), quick=True, claims=claims)
    assert {claim.name: claim.status for claim in report.claims if claim.status != "pass"} == {"sign": "skip"}
    assert all(claim.case.startswith(f"{text}/n=") for claim in report.claims if claim.status != "skip")


def test_check_turns_an_exception_into_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that raises on one case fails the claims that met it, with the message; the rest is judged."""
    right = Plain.backward

    def backward(self: Plain, params: object, batch: tuple, tape: object) -> object:
        if len(batch[0]) == 257:
            raise ZeroDivisionError("as asked")
        return right(self, params, batch, tape)

    monkeypatch.setattr(Plain, "backward", backward)
    report = check(PLAIN, quick=True)
    assert {claim.name for claim in report.failures} == {*STAGES, "step", "spikes", "exact sums", "train"}
    (loss,) = (claim for claim in report.claims if claim.name == "loss")
    assert loss.where == "raised ZeroDivisionError: as asked"
    assert loss.case == "8-32-1/n=257/normal"
    assert loss.cases == 14


def test_check_of_an_unknown_backend_says_so() -> None:
    """The registry's own error comes through."""
    with pytest.raises(ValueError, match=r"no backend 'nothing'\. Known: numpy"):
        check("nothing")


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_cell_passes_on_every_backend(backend_name: str, dtype: str, rows: int) -> None:
    """One problem on a loaded backend: nine claims, all within their bounds."""
    report = check_cell(backends.load(backend_name, NETWORK, dtype), *problem(rows), 0.05)
    assert [(claim.name, claim.where) for claim in report.failures] == []
    assert len(report.claims) == 9


def test_cell_judges_many_rows_in_blocks_and_rejects_ascent(dtype: str) -> None:
    """100,000 rows, more than extended precision is spent on: the right passes, ascent fails from the gradients on."""
    cell = problem(100_000)
    assert check_cell(Plain(NETWORK, dtype), *cell, 0.05).passed
    failed = [claim.name for claim in check_cell(Ascent(NETWORK, dtype), *cell, 0.05).failures]
    assert failed == ["weights gradients", "biases gradients", "step", "train", "spikes", "exact sums"]


def test_cell_sees_one_wrong_row_among_many() -> None:
    """A single wrong entry in 100,000 rows is found, and its row named."""

    class OneWrong(Plain):
        def forward(self, params: object, batch: object) -> list:
            tape = super().forward(params, batch)
            if len(tape[1]) > 77_777:
                tape[1][77_777, 0] *= 1.001
            return tape

    report = check_cell(OneWrong(NETWORK, "float32"), *problem(100_000), 0.05)
    (outputs, *_) = report.failures
    assert (outputs.name, outputs.where) == ("outputs", "output of layer 2[77777, 0]")


def test_cell_leaves_the_callers_arrays_alone() -> None:
    """What is passed in is read only."""
    params, inputs, targets = problem(8)
    before = inputs.tobytes(), targets.tobytes(), params[0].weights.tobytes()
    check_cell(Plain(NETWORK, "float64"), params, inputs, targets, 0.05)
    assert (inputs.tobytes(), targets.tobytes(), params[0].weights.tobytes()) == before
