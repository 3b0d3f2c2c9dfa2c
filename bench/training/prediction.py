"""Predictions of a trained network in original units, and how well they fit.

Tests: `tests/bench/training/test_training.py`, `tests/bench/training/test_classes.py`,
`tests/bench/cli/test_predict.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends import Backend, Params
from bench.basics.errors import UsageError
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
    blocks = (x[start : start + BLOCK_ROWS] for start in range(0, len(x), BLOCK_ROWS))
    return np.concatenate(list(predict_blocks(backend, params, inputs, targets, blocks)))


def predict_blocks(
    backend: Backend, params: Params, inputs: Standardisation, targets: Standardisation, blocks: Iterable[Floats]
) -> Iterator[Floats]:
    """Yield predictions in original units for each block of rows, as `predict` does."""
    placed = backend.place_params(params)
    for x in blocks:
        with np.errstate(over="ignore"):  # what overflows is refused
            scaled = inputs.apply(x)
        _check_range(scaled, inputs.columns, backend.dtype)
        yield targets.undo(_outputs(backend, placed, scaled))


def _check_range(scaled: Floats, columns: Sequence[str], dtype: str) -> None:
    """Refuse standardised inputs that the dtype does not hold: as infinities they would saturate a unit unseen."""
    far = np.argwhere(np.abs(scaled) > np.finfo(dtype).max)
    if len(far):
        row, column = far[0]
        raise UsageError(
            f"column {columns[column]!r} holds a value {scaled[row, column]:.3g} standard deviations from the mean "
            f"of the rows trained on, which {dtype} does not hold; correct the value"
        )


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
    sums = ScoreSums(targets)
    sums.add(predicted, observed)
    return sums.score()


class ScoreSums:
    """The score of predictions that come block by block.

    Args:
        targets: the standardisation of what is predicted.
    """

    def __init__(self, targets: Standardisation) -> None:
        self._targets = targets
        self.rows = 0
        columns = len(targets.columns)
        self._error, self._mean, self._spread = np.zeros((3, columns))
        self._low, self._high = np.full(columns, np.inf), np.full(columns, -np.inf)

    def add(self, predicted: Floats, observed: Floats) -> None:
        """Count some rows, ``[n, targets]`` both, in original units."""
        if not (count := len(observed)):
            return
        total, mean = self.rows + count, observed.mean(axis=0)
        apart = mean - self._mean
        self._error += ((predicted - observed) ** 2).sum(axis=0)
        self._spread += ((observed - mean) ** 2).sum(axis=0) + apart**2 * (self.rows * count / total)
        self._mean += apart * (count / total)
        self._low = np.minimum(self._low, observed.min(axis=0))
        self._high = np.maximum(self._high, observed.max(axis=0))
        self.rows = total

    def score(self) -> Score:
        """Return the score of all rows so far, one or more."""
        squared, spread = self._error / self.rows, self._spread / self.rows
        scales, names = np.array(self._targets.scales), self._targets.columns
        loss = float(np.mean(squared / np.where(scales == 0, 1, scales) ** 2))
        ends = zip(self._low, self._high, strict=True)
        r2 = [
            float("nan") if is_constant(np.array(column)) else 1 - s / v
            for s, v, column in zip(squared, spread, ends, strict=True)
        ]
        return Score(
            loss,
            {name: float(value) for name, value in zip(names, r2, strict=True)},
            {name: float(value) for name, value in zip(names, np.sqrt(squared), strict=True)},
        )


def joined(scores: Sequence[ClassScore]) -> ClassScore:
    """Return the score of the rows of several scores of the same classes."""
    rows = np.array([of_part.confusion.sum() for of_part in scores], float)
    share = rows / rows.sum()
    return ClassScore(
        float(share @ [of_part.loss for of_part in scores]),
        float(share @ [of_part.accuracy for of_part in scores]),
        scores[0].names,
        np.sum([of_part.confusion for of_part in scores], axis=0),
    )


def _outputs(backend: Backend, placed: Any, x: Floats) -> Floats:
    """Return standardised predictions; a batch needs targets, and forward does not look at them."""
    outputs = backend.network.outputs
    targets = np.full((len(x), outputs), 1 / outputs if backend.network.loss == "cross-entropy" else 0.0)
    batch = backend.place_batch(x, targets)
    return np.asarray(backend.outputs(backend.forward(placed, batch))[-1], np.float64)
