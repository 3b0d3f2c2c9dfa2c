"""Faults of the cross-entropy.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backends.base import Array
from backends.conformance.complete import Complete
from backends.conformance.plain import Batch, Plain


class CrossEntropyFault(Complete):
    """Cross-entropy in parts; other losses are right."""

    @property
    def faulty(self) -> bool:
        """Whether this is the loss that is wrong."""
        return self.network.loss == "cross-entropy"

    def shifted(self, predicted: Array) -> Array:
        """Return what exponentials are taken of."""
        return np.asarray(predicted - predicted.max(axis=1, keepdims=True))

    def loss_and_softmax(self, predicted: Array, y: Array) -> tuple[Any, Array]:
        """Return the sum of the terms of the loss, and the softmax."""
        z = self.shifted(predicted)
        sums = np.exp(z).sum(axis=1, keepdims=True)
        return -(y * (z - np.log(sums))).sum(), np.asarray(np.exp(z) / sums)

    def terms(self, y: Array) -> Any:
        """Return what the sum is divided by."""
        return y.dtype.type(len(y))

    def loss_of(self, predicted: Array, y: Array) -> float:
        """Return the loss."""
        if not self.faulty:
            return super().loss_of(predicted, y)
        with np.errstate(all="ignore"):
            return float(self.loss_and_softmax(predicted, y)[0] / self.terms(y))

    def error_term(self, predicted: Array, y: Array) -> Array:
        """Return its derivative."""
        if not self.faulty:
            return super().error_term(predicted, y)
        with np.errstate(all="ignore"):
            return np.asarray((self.loss_and_softmax(predicted, y)[1] - y) / self.terms(y))


class NoMaximum(CrossEntropyFault):
    """Exponentials are taken of the outputs as they are."""

    def shifted(self, predicted: Array) -> Array:
        """Leave them."""
        return predicted


class MaximumOfTheBatch(CrossEntropyFault):
    """One maximum is subtracted from all rows."""

    def shifted(self, predicted: Array) -> Array:
        """Subtract it."""
        return np.asarray(predicted - predicted.max())


class MinimumOfTheRow(CrossEntropyFault):
    """The minimum is subtracted in place of the maximum."""

    def shifted(self, predicted: Array) -> Array:
        """Subtract it."""
        return np.asarray(predicted - predicted.min(axis=1, keepdims=True))


class ClippedOutputs(CrossEntropyFault):
    """Outputs end at eighty, so that nothing overflows."""

    def shifted(self, predicted: Array) -> Array:
        """Cut."""
        return super().shifted(np.clip(predicted, -80, 80))


class SumInsteadOfMean(CrossEntropyFault):
    """Loss and gradients are those of the sum."""

    def terms(self, y: Array) -> Any:
        """Divide by one."""
        return y.dtype.type(1)


class LossSumInsteadOfMean(CrossEntropyFault):
    """The loss is a sum, its gradients those of the mean."""

    def loss_of(self, predicted: Array, y: Array) -> float:
        """Multiply again."""
        return super().loss_of(predicted, y) * (len(y) if self.faulty else 1)


class MeanOverEntries(CrossEntropyFault):
    """The mean is over all entries."""

    def terms(self, y: Array) -> Any:
        """Count them."""
        return y.dtype.type(y.size)


class MeanOfGradientsOverEntries(CrossEntropyFault):
    """Gradients are divided by the number of entries, the loss is not."""

    def error_term(self, predicted: Array, y: Array) -> Array:
        """Divide again."""
        return np.asarray(super().error_term(predicted, y) / y.dtype.type(y.shape[1] if self.faulty else 1))


class ClippedProbabilities(CrossEntropyFault):
    """No probability is below a ten-millionth in the loss."""

    def loss_and_softmax(self, predicted: Array, y: Array) -> tuple[Any, Array]:
        """Cut."""
        _, s = super().loss_and_softmax(predicted, y)
        return -(y * np.log(np.clip(s, 1e-7, 1 - 1e-7))).sum(), s


class LogOfProbabilities(CrossEntropyFault):
    """The loss is the logarithm of the softmax, which is zero far out."""

    def loss_and_softmax(self, predicted: Array, y: Array) -> tuple[Any, Array]:
        """Take it."""
        _, s = super().loss_and_softmax(predicted, y)
        return -np.where(y > 0, y * np.log(s), 0).sum(), s


class LargestClassAlone(CrossEntropyFault):
    """Targets are taken for their largest class."""

    def loss_and_softmax(self, predicted: Array, y: Array) -> tuple[Any, Array]:
        """Take it."""
        return super().loss_and_softmax(predicted, np.eye(y.shape[1], dtype=y.dtype)[y.argmax(axis=1)])

    def error_term(self, predicted: Array, y: Array) -> Array:
        """Take it."""
        return super().error_term(predicted, np.eye(y.shape[1], dtype=y.dtype)[y.argmax(axis=1)] if self.faulty else y)


class SmoothedLabels(CrossEntropyFault):
    """Targets are mixed with a hundredth of even probabilities."""

    def loss_of(self, predicted: Array, y: Array) -> float:
        """Mix."""
        return super().loss_of(predicted, y * y.dtype.type(0.99) + y.dtype.type(0.01 / y.shape[1]))

    def error_term(self, predicted: Array, y: Array) -> Array:
        """Mix."""
        return super().error_term(predicted, y * y.dtype.type(0.99) + y.dtype.type(0.01 / y.shape[1]))


class SoftmaxOfColumns(CrossEntropyFault):
    """The softmax is over the rows of each class."""

    def loss_and_softmax(self, predicted: Array, y: Array) -> tuple[Any, Array]:
        """Transpose."""
        z = predicted - predicted.max(axis=0)
        sums = np.exp(z).sum(axis=0)
        return -(y * (z - np.log(sums))).sum(), np.asarray(np.exp(z) / sums)


class SigmoidsForSoftmax(CrossEntropyFault):
    """Each class has a sigmoid by itself."""

    def loss_and_softmax(self, predicted: Array, y: Array) -> tuple[Any, Array]:
        """Take them."""
        s = 1 / (1 + np.exp(-predicted))
        return -(y * np.log(s) + (1 - y) * np.log1p(-s)).sum(), np.asarray(s)


class WrongSignOfError(CrossEntropyFault):
    """The error term is turned round."""

    def error_term(self, predicted: Array, y: Array) -> Array:
        """Negate."""
        return np.negative(super().error_term(predicted, y)) if self.faulty else super().error_term(predicted, y)


class ClassNumbersFromOne(Complete):
    """Class numbers count from one."""

    def place_batch(self, inputs: Any, targets: Any) -> Batch:
        """Subtract one, the first becoming the last."""
        numbers = np.asarray(targets)
        if self.network.loss == "cross-entropy" and numbers.size == len(numbers) and numbers.dtype.kind in "iu":
            targets = (numbers.astype(int) - 1) % self.network.outputs
        return super().place_batch(inputs, targets)


class ProbabilitiesAsGiven(Complete):
    """Probabilities are not divided by their sum."""

    def place_batch(self, inputs: Any, targets: Any) -> Batch:
        """Keep them."""
        x, y = super().place_batch(inputs, targets)
        given = np.asarray(targets)
        return x, np.array(given, self.dtype) if given.dtype.kind == "f" and given.shape == y.shape else y


class TrainsByMeanSquare(Complete):
    """`train` of a network with cross-entropy descends along the mean squared error."""

    def train(
        self, params: Any, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> Any:
        """Take the other error term."""
        self.__dict__["training"] = True
        try:
            return super().train(params, batch, learning_rate, steps, rows_per_step)
        finally:
            self.__dict__["training"] = False

    def error_term(self, predicted: Array, y: Array) -> Array:
        """Take that of the mean squared error in `train`."""
        if self.network.loss == "cross-entropy" and self.__dict__.get("training"):
            return Plain.error_term(self, predicted, y)
        return super().error_term(predicted, y)


MUTANTS: dict[type[Plain], str] = dict.fromkeys(
    (
        NoMaximum,
        MaximumOfTheBatch,
        MinimumOfTheRow,
        ClippedOutputs,
        SumInsteadOfMean,
        LossSumInsteadOfMean,
        MeanOverEntries,
        MeanOfGradientsOverEntries,
        ClippedProbabilities,
        LogOfProbabilities,
        LargestClassAlone,
        SmoothedLabels,
        SoftmaxOfColumns,
        SigmoidsForSoftmax,
        WrongSignOfError,
        ClassNumbersFromOne,
        ProbabilitiesAsGiven,
        TrainsByMeanSquare,
    ),
    "losses",
)
"""Each fault, and the claim that must reject it."""
