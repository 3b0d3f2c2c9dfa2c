"""The claims on activations and losses other than tanh and the mean squared error, which all other claims are about.

Every stage, a fused step and some steps of training, on values that each of them is sensitive to: pre-activations of
exactly zero, near zero and far from it for activations; outputs of hundreds and thousands, rows far apart, class
numbers, certain and even probabilities for cross-entropy. relu and identity are exact: exact sums and spikes hold for
them too.

Tests: `tests/backends/conformance/test_workload_claims.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from backends.base import ACTIVATIONS, LOSSES, Array, Backend, Layer, Network
from backends.conformance.cases import Case
from backends.conformance.chains import judge_chain
from backends.conformance.exact import judge_exact
from backends.conformance.judge import Tally
from backends.conformance.report import Finding
from backends.conformance.spikes import judge_spikes
from backends.conformance.stages import judge_stages, judge_step
from backends.conformance.subject import Problem, Subject, precision_of

ACTIVATION_CLAIM, LOSS_CLAIM = "activations", "losses"
SIZES, COMPILED_SIZES = ((3, 2, 2), (5, 9, 7, 3)), ((5, 4, 3),)
ROWS = 48
KINDS = ("normal", "tanh", "saturated", "zeros", "dyadic", "wide", "subnormal")
FAR = (
    0.0,
    1e-4,
    0.5,
    2.0,
    5.0,
    16.6,
    17.4,
    36.0,
    37.5,
    80.0,
    87.0,
    88.0,
    89.0,
    90.0,
    104.0,
    708.0,
    710.0,
    746.0,
    2000.0,
)
STEPS, COMPILED_STEPS = (0, 1, 2, 3, 9), (1, 2)
SHAPED = (64, 4099)
"""Rows of exact sums and spikes."""
OUTPUTS = (0.0, 1.0, 30.0, 87.0, 90.0, 120.0, 700.0, 712.0, 1000.0, 10_000.0)
NEARLY_ONE = 1 + 2.0**-11
"""A sum of probabilities that is accepted, and divided by, which is exact."""
PARTS_OF_ONE = 64
"""Probabilities are multiples of one over it: their sum is one in any order."""


def check_activations(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge every other activation that the backend offers, up to the first failure."""
    for name in ACTIVATIONS:
        if name != "tanh" and name in subject.kind.capabilities.activations:
            for sizes in _sizes(subject):
                for tally in _activation(subject, Network(sizes, name)):
                    yield from tally.findings
                    if any(finding.status == "fail" for finding in tally.findings):
                        return


def check_losses(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge every other loss that the backend offers, with tanh and another activation, up to the first failure."""
    hidden = [name for name in ("tanh", "relu") if name in subject.kind.capabilities.activations]
    for name in LOSSES:
        if name != "mse" and name in subject.kind.capabilities.losses:
            for sizes, activation in zip(_sizes(subject), hidden, strict=False):
                for tally in _loss(subject, Network(sizes, activation, name)):
                    yield from tally.findings
                    if any(finding.status == "fail" for finding in tally.findings):
                        return


def _sizes(subject: Subject) -> tuple[tuple[int, ...], ...]:
    return COMPILED_SIZES if subject.few else SIZES


def _activation(subject: Subject, network: Network) -> Iterator[Tally]:
    backend = subject.on(network)
    for problem in activation_problems(network, subject.dtype):
        yield judge_all(backend, problem, ACTIVATION_CLAIM)
    usual = Case(network, ROWS, "normal").problem(subject.dtype)
    yield judge_chain(backend, usual, COMPILED_STEPS if subject.few else STEPS, ACTIVATION_CLAIM)
    for rows in (ROWS,) if subject.few else SHAPED:
        for judge in (judge_exact, judge_spikes):
            yield renamed(judge(backend, rows, f"{network}/n={rows}/normal"), ACTIVATION_CLAIM)


def activation_problems(network: Network, dtype: str) -> Iterator[Problem]:
    """Yield problems of one number of rows: of the usual kinds, and of pre-activations near and far, of either sign."""
    for kind in KINDS:
        problem = Case(network, ROWS, kind).problem(dtype)
        if kind == "tanh":
            points = np.concatenate([FAR, np.negative(FAR)]).astype(dtype)
            order = np.random.default_rng(1).permutation(problem.inputs.size)
            problem = replace(
                problem, inputs=np.resize(points, problem.inputs.size)[order].reshape(problem.inputs.shape)
            )
        yield problem


def _loss(subject: Subject, network: Network) -> Iterator[Tally]:
    backend = subject.on(network)
    for problem, given in loss_problems(network, subject.dtype):
        yield judge_all(backend, problem, LOSS_CLAIM, given)
    usual, _ = next(loss_problems(network, subject.dtype))
    yield judge_chain(backend, usual, COMPILED_STEPS if subject.few else STEPS, LOSS_CLAIM)


def loss_problems(network: Network, dtype: str) -> Iterator[tuple[Problem, Problem]]:
    """Yield problems of cross-entropy, and the same as they are given: class numbers in place of probabilities."""
    usual = Case(network, ROWS, "normal").problem(dtype)
    rng = np.random.default_rng(network.parameter_count)
    soft = probabilities(rng, ROWS, network.outputs)
    classes = rng.integers(0, network.outputs, ROWS)
    certain = np.eye(network.outputs)[classes]
    for label, targets in (("soft", soft), ("certain", certain)):
        problem = replace(usual, name=f"{usual.name}, {label}", targets=targets.astype(dtype))
        yield problem, problem
    nearly = replace(usual, name=f"{usual.name}, sums of nearly one", targets=soft.astype(dtype))
    yield nearly, replace(nearly, targets=(soft * NEARLY_ONE).astype(dtype))
    numbered = replace(usual, name=f"{usual.name}, class numbers", targets=certain.astype(dtype))
    yield numbered, replace(numbered, targets=classes)
    yield numbered, replace(numbered, targets=classes.astype(np.uint8)[:, None])
    for label, targets in (("soft", soft), ("certain", certain)):
        far = far_outputs(replace(usual, targets=targets.astype(dtype)), rng)
        yield replace(far, name=f"{usual.name}, outputs far apart, {label}"), far


def probabilities(rng: np.random.Generator, rows: int, classes: int) -> Array:
    """Return probabilities ``[rows, classes]`` whose sums are one without rounding; some are zero."""
    return np.asarray(rng.multinomial(PARTS_OF_ONE, rng.dirichlet(np.full(classes, 0.7), rows)) / PARTS_OF_ONE)


def far_outputs(problem: Problem, rng: np.random.Generator) -> Problem:
    """Return the problem with outputs of all magnitudes: each row its own, for all classes and between them.

    The first input chooses the row's magnitude and the first hidden unit carries it on, through tanh at no more than
    its slope of one.
    """
    params = [Layer(w.copy(), b.copy()) for w, b in problem.params]
    scale = 2.0**-24  # tanh of it is itself
    for w, b in params[:-1]:
        w[0], b[0] = 0, 0
        w[0, 0] = 1
    w, b = params[-1]
    w[:, 0] = rng.choice([1.0, 1.0, -1.0, 0.25, 1.0 - 2.0**-6], len(w)) / scale
    x = problem.inputs.copy()
    x[:, 0] = np.resize([*OUTPUTS, *np.negative(OUTPUTS[1:])], len(x)) * scale
    return replace(problem, params=tuple(params), inputs=x)


def judge_all(backend: Backend, problem: Problem, claim: str, given: Problem | None = None) -> Tally:
    """Judge every stage and a fused step of a problem."""
    tally = Tally(problem.name, precision_of(backend, problem.work), backend.dtype)
    for judged in (judge_stages(backend, problem, given), judge_step(backend, problem)):
        for finding in renamed(judged, claim).findings:
            tally.keep(finding)
    return tally


def renamed(tally: Tally, claim: str) -> Tally:
    """Return what was found as findings of one claim, the name of the first in front of where."""
    new = Tally(tally.case, tally.precision, tally.dtype)
    for finding in tally.findings:
        new.keep(replace(finding, claim=claim, where=f"{finding.claim}: {finding.where}", sharp_ratio=0.0))
    return new
