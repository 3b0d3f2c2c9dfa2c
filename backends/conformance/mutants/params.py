"""What faults do with all arrays of some params at once.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from typing import Any

from backends.base import Array, Layer, Params


def filled(room: Params, values: Params) -> Params:
    """Return the params of the first, which hold the values of the second."""
    for old, new in zip(flat(room), flat(values), strict=True):
        old[...] = new
    return room


def flat(params: Params) -> list[Array]:
    """Return weights and biases of each layer, in order."""
    return [array for layer in params for array in layer]


def mapped(function: Any, *params: Params) -> Params:
    """Return params made by a function of each array, or of the arrays of several params."""
    return tuple(
        Layer(function(*(layer.weights for layer in layers)), function(*(layer.biases for layer in layers)))
        for layers in zip(*params, strict=True)
    )
