"""Claims on host arrays: every memory layout, every type of numbers to its extremes, and values that are not finite.

Each is the whole of the stage-by-stage judgement, on arrays laid out or filled in one way.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from backends.base import Array, Backend, Layer
from backends.conformance.cases import Case
from backends.conformance.report import Finding, worst_of
from backends.conformance.stages import judge_stages, judge_step
from backends.conformance.subject import Problem, Subject

SHAPE = "5-4-3/n=24"
FILLED = "17-9-7-2/n=33/normal"
QUICK_STRIDE = 4
"""Of rows, columns and biases that are filled if it has to be quick."""


def check_layouts(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge every layout and every type: normalised, rounded once to the dtype, or refused by a `ValueError` or
    `TypeError`; and left as it was to the byte.
    """
    case = Case.parse(f"{SHAPE}/normal")
    backend = subject.on(case.network)
    rng = np.random.default_rng(1)
    for label, lay in LAYOUTS.items():
        # Small integers, none of them zero: they fit every type, and no mix-up hides among them.
        yield judge_layout(backend, f"{SHAPE}, {label}", *(lay(_signed(rng, a)) for a in _shapes(backend)))
    for label, draw in TYPES.items():
        arrays = [draw(rng, a.shape) for a in _shapes(backend)]
        largest = max(1.0, float(np.abs(np.asarray(arrays[0], np.float64)).max()))
        weights = [(rng.standard_normal(a.shape) / largest).astype(backend.dtype) for a in _shapes(backend)[2:]]
        yield judge_layout(backend, f"{SHAPE}, {label} batch", *arrays[:2], *weights)
        batch = [rng.standard_normal(a.shape).astype(backend.dtype) for a in _shapes(backend)[:2]]
        yield judge_layout(backend, f"{SHAPE}, {label} params", *batch, *arrays[2:])


def judge_layout(backend: Backend, name: str, *arrays: Any) -> Finding:
    """Return the worst ratio of all stages, or infinity if memory was written to.

    Args:
        backend: on trial.
        name: of the problem.
        arrays: inputs, targets, then weights and biases of each layer, as a caller gives them.
    """
    laid = _problem(name, arrays)
    normalised = _problem(name, [np.array(np.asarray(array).astype(backend.dtype), order="C") for array in arrays])
    before = [np.asarray(array).tobytes() for array in arrays]
    try:
        findings = judge_stages(backend, normalised, laid).findings
    except (ValueError, TypeError) as refusal:
        findings = [Finding("layouts", name, 0.0, f"refused: {refusal}")]
    if any(np.asarray(array).tobytes() != bytes_before for array, bytes_before in zip(arrays, before, strict=True)):
        return Finding("layouts", name, np.inf, "the caller's memory was written to")
    worst = worst_of(findings)
    return Finding("layouts", name, worst.ratio, f"{worst.claim}: {worst.where}")


def check_values(subject: Subject, cases: tuple[Case, ...]) -> Iterator[Finding]:
    """Judge NaN and infinities in single entries: they reach what depends on them, and nothing else.

    NaN in every column of inputs and targets, in every row, in every bias, in every row and column of weights; the
    infinities in the first and the last entry of each array.
    """
    case = Case.parse(FILLED)
    backend, problem = subject.on(case.network), case.problem(subject.dtype)
    for label, value in (("NaN", np.nan), ("+Inf", np.inf), ("-Inf", -np.inf)):
        for which, array in enumerate(_arrays(problem)):
            places = _diagonal(array.shape) if label == "NaN" else [0, array.size - 1]
            for at in places[:: QUICK_STRIDE if subject.quick else 1]:
                arrays = [np.array(values) for values in _arrays(problem)]
                arrays[which].flat[at] = value
                place = ("inputs", "targets")[which] if which < 2 else f"{_part(which)} of layer {which // 2}"
                index = ", ".join(map(str, np.unravel_index(at, array.shape)))
                filled = _problem(f"{FILLED}, {label} in {place} [{index}]", arrays)
                with np.errstate(all="ignore"):
                    findings = judge_stages(backend, filled).findings + judge_step(backend, filled).findings
                worst = worst_of(findings)
                yield Finding("values", filled.name, worst.ratio, f"{worst.claim}: {worst.where}")


def _diagonal(shape: tuple[int, ...]) -> list[int]:
    """Return one entry for each row and each column."""
    rows, columns = shape[0], int(np.prod(shape[1:]))
    return [k % rows * columns + k % columns for k in range(max(rows, columns))]


def _part(which: int) -> str:
    return ("weights", "biases")[which % 2]


def _arrays(problem: Problem) -> list[Array]:
    return [problem.inputs, problem.targets, *(array for layer in problem.params for array in layer)]


def _problem(name: str, arrays: Sequence[Any]) -> Problem:
    layers = tuple(Layer(*pair) for pair in zip(arrays[2::2], arrays[3::2], strict=True))
    return Problem(name, layers, arrays[0], arrays[1], 0.25)


def _shapes(backend: Backend) -> list[Array]:
    """Return empty arrays of the shapes of inputs, targets, weights and biases."""
    case = Case.parse(f"{SHAPE}/normal")
    shapes: list[tuple[int, ...]] = [(case.rows, case.network.inputs), (case.rows, case.network.outputs)]
    for o, i in case.network.layer_shapes:
        shapes += [(o, i), (o,)]
    return [np.empty(shape, backend.dtype) for shape in shapes]


def _signed(rng: np.random.Generator, array: Array) -> Array:
    """Return integers of one to three, of either sign."""
    return np.asarray(rng.integers(1, 4, array.shape) * rng.choice([-1, 1], array.shape), array.dtype)


def _integers(kind: str, largest: int | None = None) -> Callable[[np.random.Generator, tuple[int, ...]], Array]:
    """Return how to draw integers of a type, its smallest and its largest among them."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        low, high = (-largest, largest) if largest else (np.iinfo(kind).min, np.iinfo(kind).max)
        values = rng.integers(low, high, shape, np.dtype(kind), endpoint=True)
        values.flat[0], values.flat[-1] = low, high
        values.flat[values.size // 2] = 0
        return values

    return draw


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


LAYOUTS: dict[str, Callable[[Array], Any]] = {
    "row-major": np.ascontiguousarray,
    "column-major": np.asfortranarray,
    "a transposed view": lambda array: array.T.copy().T,
    "every second element": _strided,
    "negative strides": _reversed,
    "broadcast rows": _broadcast,
    "unaligned": _unaligned,
    "read-only": _read_only,
    "byte-swapped": lambda array: array.astype(array.dtype.newbyteorder()),
    "every second column": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "lists": lambda array: array.tolist(),
}

TYPES: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Any]] = {
    **{kind: _integers(kind) for kind in ("uint8", "int8", "int16", "uint16", "int32", "uint32")},
    "int64": _integers("int64", 2**52),
    "bool": lambda rng, shape: rng.random(shape) < 0.5,
    "float16": lambda rng, shape: rng.standard_normal(shape).astype(np.float16),
    "float32": lambda rng, shape: rng.standard_normal(shape).astype(np.float32),
    "float64": lambda rng, shape: rng.standard_normal(shape),
    "longdouble": lambda rng, shape: rng.standard_normal(shape).astype(np.longdouble) / 3,
}
