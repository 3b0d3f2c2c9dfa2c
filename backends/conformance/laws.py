"""Claims of equality, bit for bit: scaling by powers of two, mirroring, and sums that are exact in any order.

Multiplying by a power of two or by minus one commutes with every rounding, short of overflow and underflow.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from backends.base import Array, Backend, Layer, Params
from backends.conformance import oracle
from backends.conformance.cases import VALUES_SHAPE, Case
from backends.conformance.report import Finding
from backends.conformance.subject import Problem, Subject

SCALED = f"{VALUES_SHAPE}/normal/seed=2"
EXACT = f"{VALUES_SHAPE}/dyadic"


@dataclass(frozen=True)
class Pass:
    """One forward and backward pass as host values."""

    outputs: tuple[Array, ...]
    loss: float
    gradients: Params


def run_pass(backend: Backend, problem: Problem) -> Pass:
    """Return what one forward and backward pass computes."""
    batch = backend.place_batch(problem.inputs, problem.targets)
    params = backend.place_params(problem.params)
    tape = backend.forward(params, batch)
    loss, gradients = backend.backward(params, batch, tape)
    return Pass(backend.outputs(tape), float(loss), backend.fetch(gradients))


def check_laws(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge the exact laws on one hidden layer, and exact sums."""
    case = Case.parse(SCALED)
    backend = subject.on(case.network)
    if "process" in backend.capabilities.deterministic:
        problem = case.problem(subject.dtype)
        base = run_pass(backend, problem)
        for law in (scale_inputs, scale_targets, mirror):
            changed, expected = law(problem, base)
            yield _compare(changed.name, run_pass(backend, changed), expected)
    exact = Case.parse(EXACT).problem(subject.dtype)
    yield _compare(exact.name, run_pass(backend, exact), exact_pass(exact))


def scale_inputs(problem: Problem, base: Pass) -> tuple[Problem, Pass]:
    """``X * 4`` with ``W1 / 4`` changes nothing but ``dW1``, which becomes four times as large."""
    (w1, b1), last = problem.params
    (dw1, db1), gradients = base.gradients
    changed = replace(
        problem, name=f"{VALUES_SHAPE}, X * 4 with W1 / 4", inputs=problem.inputs * 4, params=(Layer(w1 / 4, b1), last)
    )
    return changed, replace(base, gradients=(Layer(dw1 * 4, db1), gradients))


def scale_targets(problem: Problem, base: Pass) -> tuple[Problem, Pass]:
    """``(Y, W2, b2) * 2`` doubles the predictions and their gradients, and quadruples the rest."""
    first, (w2, b2) = problem.params
    (dw1, db1), (dw2, db2) = base.gradients
    changed = replace(
        problem,
        name=f"{VALUES_SHAPE}, (Y, W2, b2) * 2",
        targets=problem.targets * 2,
        params=(first, Layer(w2 * 2, b2 * 2)),
    )
    gradients = (Layer(dw1 * 4, db1 * 4), Layer(dw2 * 2, db2 * 2))
    return changed, Pass((base.outputs[0], base.outputs[1] * 2), base.loss * 4, gradients)


def mirror(problem: Problem, base: Pass) -> tuple[Problem, Pass]:
    """Negating ``(W1, b1, W2)`` negates the hidden layer and ``dW2``, and leaves predictions, loss and ``db2``.

    It negates ``dW1`` and ``db1`` too, but not to the bit: a correct derivative may be ``(g + g h) (1 - h)``, which
    rounds differently at ``-h``. NaN marks what is not compared.
    """
    (w1, b1), (w2, b2) = problem.params
    dw2, db2 = base.gradients[1]
    changed = replace(problem, name=f"{VALUES_SHAPE}, (W1, b1, W2) negated", params=(Layer(-w1, -b1), Layer(-w2, b2)))
    unknown = Layer(np.full_like(w1, math.nan), np.full_like(b1, math.nan))
    return changed, Pass((-base.outputs[0], base.outputs[1]), base.loss, (unknown, Layer(-dw2, db2)))


def exact_pass(problem: Problem) -> Pass:
    """Return the pass that has no rounding at all: the exact one."""
    _, hs = oracle.forward(problem.params, problem.inputs)
    gradients = oracle.backward(problem.params, problem.inputs, problem.targets)
    dtype = problem.inputs.dtype
    return Pass(
        tuple(h.astype(dtype) for h in hs),
        float(oracle.loss(problem.params, problem.inputs, problem.targets)),
        tuple(Layer(dw.astype(dtype), db.astype(dtype)) for dw, db in gradients),
    )


def _compare(name: str, got: Pass, expected: Pass) -> Finding:
    """Return ratio 0 where all values are equal, zeros of either sign included, else infinity."""
    differing = [
        f"output of layer {k}"
        for k, (got_output, expected_output) in enumerate(zip(got.outputs, expected.outputs, strict=True), start=1)
        if not np.array_equal(got_output, expected_output)
    ]
    differing += [
        f"{part} gradient of layer {k}"
        for k, layers in enumerate(zip(got.gradients, expected.gradients, strict=True), start=1)
        for part, got_array, expected_array in zip(("weights", "biases"), *layers, strict=True)
        if not np.array_equal(got_array, expected_array) and not np.isnan(expected_array).all()
    ]
    if got.loss != expected.loss:
        differing.append("loss")
    return Finding("laws", name, math.inf if differing else 0.0, ", ".join(differing))
