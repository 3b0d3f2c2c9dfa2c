"""The claim on refusals: what cannot be computed is refused with the documented exception, never computed wrong.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from backends.base import Backend, Layer
from backends.conformance.cases import VALUES_SHAPE, Case
from backends.conformance.report import Finding
from backends.conformance.subject import Problem, Subject


def check_refusals(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge each input that must be refused."""
    case = Case.parse(f"{VALUES_SHAPE}/normal")
    backend, problem = subject.on(case.network), case.problem(subject.dtype)
    for label, (exception, call) in REFUSED.items():
        yield Finding("refusals", f"{VALUES_SHAPE}, {label}", *_judged(exception, call, backend, problem))
    for label, arguments in (("dtype int8", ("int8", subject.device)), ("device abacus", (subject.dtype, "abacus"))):
        yield Finding("refusals", label, *_judged(ValueError, subject.kind, case.network, *arguments))


def _judged(exception: type[Exception], call: Callable[..., Any], *arguments: Any) -> tuple[float, str]:
    try:
        call(*arguments)
    except exception:
        return 0.0, ""
    except Exception as error:  # any other is a finding, not a failure of the kit
        return math.inf, f"raised {type(error).__name__}, expected {exception.__name__}: {error}"
    return math.inf, f"was accepted, expected {exception.__name__}"


def _place(change: Callable[[Problem], tuple[Any, Any]]) -> Callable[[Backend, Problem], Any]:
    return lambda backend, problem: backend.place_batch(*change(problem))


def _place_first(change: Callable[[Layer], tuple[Any, Any]]) -> Callable[[Backend, Problem], Any]:
    """Place params of which the first layer is changed."""
    return lambda backend, problem: backend.place_params((Layer(*change(problem.params[0])), *problem.params[1:]))


def _train_backwards(backend: Backend, problem: Problem) -> Any:
    batch = backend.place_batch(problem.inputs, problem.targets)
    return backend.train(backend.place_params(problem.params), batch, 0.01, -1)


REFUSED: dict[str, tuple[type[Exception], Callable[[Backend, Problem], Any]]] = {
    "no rows": (ValueError, _place(lambda p: (p.inputs[:0], p.targets[:0]))),
    "fewer targets than inputs": (ValueError, _place(lambda p: (p.inputs, p.targets[:-1]))),
    "one target row for all": (ValueError, _place(lambda p: (p.inputs, p.targets[:1]))),
    "a feature too few": (ValueError, _place(lambda p: (p.inputs[:, :-1], p.targets))),
    "targets without columns": (ValueError, _place(lambda p: (p.inputs, p.targets[:, 0]))),
    "inputs of three dimensions": (ValueError, _place(lambda p: (p.inputs[None], p.targets))),
    "complex inputs": (TypeError, _place(lambda p: (p.inputs.astype(complex), p.targets))),
    "complex targets": (TypeError, _place(lambda p: (p.inputs, p.targets.astype(complex)))),
    "text": (TypeError, _place(lambda p: (p.inputs.astype(str), p.targets))),
    "Python objects": (TypeError, _place(lambda p: (p.inputs.astype(object), p.targets))),
    "a layer too few": (ValueError, lambda backend, problem: backend.place_params(problem.params[:-1])),
    "transposed weights": (ValueError, _place_first(lambda layer: (layer.weights.T, layer.biases))),
    "biases of two dimensions": (ValueError, _place_first(lambda layer: (layer.weights, layer.biases[:, None]))),
    "complex weights": (TypeError, _place_first(lambda layer: (layer.weights.astype(complex), layer.biases))),
    "a negative number of steps": (ValueError, _train_backwards),
}
