"""Predictions of a trained network in original units, and how well they fit. No training here.

Tested in `test_training` and `test_classes`.

Tests: `tests/bench/cli/test_train_and_predict.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends import Backend, Params
from bench.training.standardise import Floats, Standardisation, is_constant

BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class Score:
    """How well predictions fit.

    Attributes:
        loss: mean squared error in standardised units, comparable with the training loss.
        r2: share of each target's variance explained, NaN if that target does not vary; by column.
        rmse: root mean squared error in each target's own unit; by column.
    """

    loss: float
    r2: dict[str, float]
    rmse: dict[str, float]


@dataclass(frozen=True)
class ClassScore:
    """How well predicted classes fit.

    Attributes:
        loss: cross-entropy, comparable with the training loss.
        accuracy: share of rows whose likeliest class is the right one.
        names: of the classes.
        confusion: rows counted by right class, then by predicted class, ``[classes, classes]``.
    """

    loss: float
    accuracy: float
    names: tuple[str, ...]
    confusion: NDArray[np.intp]


def softmax(logits: Floats) -> Floats:
    """Return the probabilities of the classes, ``[n, classes]``, of what the network put out."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def score_classes(names: Sequence[str], logits: Floats, right: NDArray[np.intp]) -> ClassScore:
    """Return the score of outputs ``[n, classes]`` where ``right [n]`` are the numbers of the right classes."""
    guessed = logits.argmax(axis=1)
    confusion = np.zeros((len(names), len(names)), np.intp)
    np.add.at(confusion, (right, guessed), 1)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_likelihood = shifted[np.arange(len(right)), right] - np.log(np.exp(shifted).sum(axis=1))
    return ClassScore(-float(log_likelihood.mean()), float((guessed == right).mean()), tuple(names), confusion)


def predict(backend: Backend, params: Params, inputs: Standardisation, targets: Standardisation, x: Floats) -> Floats:
    """Return predictions ``[n, targets]`` in original units for ``x [n, inputs]`` in original units, block by block."""
    placed = backend.place_params(params)
    predicted = np.empty((len(x), backend.network.outputs))
    for start in range(0, len(x), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        predicted[block] = targets.undo(_outputs(backend, placed, inputs.apply(x[block])))
    return predicted


def score_standardised(
    backend: Backend, params: Params, targets: Standardisation, x: Floats, y: Floats
) -> Score | ClassScore:
    """Return the score of ``params`` on standardised ``x`` and ``y``; of classes where these are probabilities."""
    placed = backend.place_params(params)
    blocks = [_outputs(backend, placed, x[start : start + BLOCK_ROWS]) for start in range(0, len(x), BLOCK_ROWS)]
    outputs = np.concatenate(blocks)
    if backend.network.loss == "cross-entropy":
        return score_classes(targets.columns, outputs, y.argmax(axis=1))
    return score(targets, targets.undo(outputs), targets.undo(y))


def score(targets: Standardisation, predicted: Floats, observed: Floats) -> Score:
    """Return the score of predictions ``[n, targets]`` in original units."""
    error = predicted - observed
    squared = (error**2).mean(axis=0)
    spread = ((observed - observed.mean(axis=0)) ** 2).mean(axis=0)
    scales = np.array(targets.scales)
    loss = float(np.mean(squared / np.where(scales == 0, 1, scales) ** 2))
    r2 = [
        float("nan") if is_constant(column) else 1 - s / v
        for s, v, column in zip(squared, spread, observed.T, strict=True)
    ]
    return Score(
        loss,
        {name: float(value) for name, value in zip(targets.columns, r2, strict=True)},
        {name: float(value) for name, value in zip(targets.columns, np.sqrt(squared), strict=True)},
    )


def _outputs(backend: Backend, placed: Any, x: Floats) -> Floats:
    """Return standardised predictions; a batch needs targets, and forward does not look at them."""
    outputs = backend.network.outputs
    targets = np.full((len(x), outputs), 1 / outputs if backend.network.loss == "cross-entropy" else 0.0)
    batch = backend.place_batch(x, targets)
    return np.asarray(backend.outputs(backend.forward(placed, batch))[-1], np.float64)
