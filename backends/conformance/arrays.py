"""Claims on host arrays: every memory layout, and values that are not finite.

Each is the whole of the stage-by-stage judgement, on arrays laid out or filled in one way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from backends.base import Array, Backend, Layer
from backends.conformance.cases import VALUES_SHAPE, Case
from backends.conformance.composed import balls_of_steps
from backends.conformance.report import Finding, worst_of
from backends.conformance.stages import judge_stages, judge_step
from backends.conformance.subject import Problem, Subject, precision_of

LAID_OUT = f"{VALUES_SHAPE}/dyadic/seed=1"
FILLED = f"{VALUES_SHAPE}/normal"


def check_layouts(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge every layout: normalised, or refused by a `ValueError` or `TypeError`, and left as it was to the byte."""
    case = Case.parse(LAID_OUT)
    backend = subject.on(case.network)
    problem = case.problem(subject.dtype)
    # Hidden layers of zeros would hide a mix-up: integers in every layer, small enough for float16.
    rng = np.random.default_rng(1)
    params = tuple(Layer(*(rng.integers(-2, 3, a.shape).astype(a.dtype) for a in layer)) for layer in problem.params)
    for label, lay in LAYOUTS.items():
        laid = Problem(
            f"{VALUES_SHAPE}, {label}",
            tuple(Layer(lay(w), lay(b)) for w, b in params),
            lay(problem.inputs),
            lay(problem.targets),
            problem.learning_rate,
        )
        yield judge_layout(backend, laid, label)


def judge_layout(backend: Backend, laid: Problem, label: str) -> Finding:
    """Return the worst ratio of all stages, or infinity where memory was written to."""
    arrays = [laid.inputs, laid.targets, *(array for layer in laid.params for array in layer)]
    before = [array.tobytes() for array in arrays]
    try:
        findings = judge_stages(backend, laid).findings
    except (ValueError, TypeError) as refusal:
        findings = [Finding("layouts", laid.name, 0.0, f"refused: {refusal}")]
    if any(array.tobytes() != bytes_before for array, bytes_before in zip(arrays, before, strict=True)):
        return Finding("layouts", laid.name, np.inf, f"{label}: the caller's memory was written to")
    worst = worst_of(findings)
    return Finding("layouts", laid.name, worst.ratio, f"{worst.claim}: {worst.where}")


def check_values(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge NaN and infinities in one entry of each array: they reach what depends on them, and nothing else."""
    case = Case.parse(FILLED)
    backend = subject.on(case.network)
    problem = case.problem(subject.dtype)
    for label, value in (("NaN", np.nan), ("+Inf", np.inf), ("-Inf", -np.inf)):
        for place in ("inputs", "targets", "weights of layer 1", "weights of layer 2", "biases of layer 1"):
            filled = _filled(problem, place, value, f"{VALUES_SHAPE}/normal, {label} in {place}")
            p = precision_of(backend, filled.work)
            with np.errstate(all="ignore"):
                findings = judge_stages(backend, filled).findings
                findings += judge_step(backend, filled, balls_of_steps(filled, 1, p)).findings
            worst = worst_of(findings)
            yield Finding("values", filled.name, worst.ratio, f"{worst.claim}: {worst.where}")


def _filled(problem: Problem, place: str, value: float, name: str) -> Problem:
    """Return the problem with one entry replaced."""
    x, y = problem.inputs.copy(), problem.targets.copy()
    params = [Layer(w.copy(), b.copy()) for w, b in problem.params]
    {
        "inputs": x,
        "targets": y,
        "weights of layer 1": params[0].weights,
        "weights of layer 2": params[1].weights,
        "biases of layer 1": params[0].biases[:, None],
    }[place][-1, 0] = value
    return replace(problem, name=name, params=tuple(params), inputs=x, targets=y)


def _strided(array: Array) -> Array:
    """Return a view of every second element along each axis."""
    wide = np.zeros(tuple(2 * size for size in array.shape), array.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def _reversed(array: Array) -> Array:
    """Return a view that walks backwards through memory along each axis."""
    backwards = tuple(slice(None, None, -1) for _ in array.shape)
    return array[backwards].copy()[backwards]


def _broadcast(array: Array) -> Array:
    """Return the first row, repeated by a stride of zero."""
    return np.broadcast_to(array[:1], array.shape)


def _unaligned(array: Array) -> Array:
    buffer = np.zeros(array.nbytes + 1, np.uint8)
    view = buffer[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def _read_only(array: Array) -> Array:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "row-major": np.ascontiguousarray,
    "column-major": np.asfortranarray,
    "a transposed view": lambda array: array.T.copy().T,
    "every second element": _strided,
    "negative strides": _reversed,
    "broadcast rows": _broadcast,
    "unaligned": _unaligned,
    "read-only": _read_only,
    "byte-swapped": lambda array: array.astype(array.dtype.newbyteorder()),
    "int64": lambda array: array.astype(np.int64),
    "float16": lambda array: array.astype(np.float16),
    "the other dtype": lambda array: array.astype(np.float64 if array.dtype == np.float32 else np.float32),
}
