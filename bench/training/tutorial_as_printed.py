"""The tutorial's own iteration, line by line, to show what its sign does. A counterexample: nothing else uses it.

Tests: `tests/bench/training/test_tutorial.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from bench.training.tutorial import INPUTS, PARAMS, TARGETS, TUTORIAL_RATE


def mean_squared_errors(after: Sequence[int], sign: Literal[1, -1]) -> dict[int, float]:
    """Return the mean squared error after each of some numbers of iterations.

    Args:
        after: numbers of iterations.
        sign: 1 as printed, where ``error = y - predicted`` is subtracted and the error climbs; -1 mends it.
    """
    (hidden_weights, hidden_biases), (output_weights, output_biases) = (
        (weights.copy(), biases.copy()) for weights, biases in PARAMS
    )
    errors = {}
    for iteration in range(max(after) + 1):
        hidden_output = np.tanh(np.dot(INPUTS, hidden_weights.T) + hidden_biases)
        predicted = np.dot(hidden_output, output_weights.T) + output_biases
        if iteration in after:
            errors[iteration] = float(np.mean((TARGETS - predicted) ** 2))
        delta_output = sign * (TARGETS - predicted)
        delta_hidden = delta_output * output_weights * (1 - hidden_output**2)
        output_weights -= delta_output.T.dot(hidden_output) * TUTORIAL_RATE
        output_biases -= delta_output.sum(axis=0) * TUTORIAL_RATE
        hidden_weights -= delta_hidden.T.dot(INPUTS) * TUTORIAL_RATE
        hidden_biases -= delta_hidden.sum(axis=0) * TUTORIAL_RATE
    return errors
