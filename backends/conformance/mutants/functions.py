"""Faults of activations other than tanh, and of the cross-entropy.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backends.base import Array, Params
from backends.conformance.complete import Complete
from backends.conformance.plain import Batch, Plain


class ActivationFault(Complete):
    """One activation is wrong, others are right."""

    activation = "relu"

    def wrong(self, z: Array) -> Array:
        """Return the faulty activation."""
        return super().tanh(z)

    def wrong_slope(self, h: Array) -> Array:
        """Return the faulty slope."""
        return super().slope(h)

    def tanh(self, z: Array) -> Array:
        """Be wrong of one."""
        with np.errstate(all="ignore"):
            return np.asarray(self.wrong(z) if self.network.activation == self.activation else super().tanh(z), z.dtype)

    def slope(self, h: Array) -> Array:
        """Be wrong of one."""
        wrong = self.network.activation == self.activation
        return np.asarray(self.wrong_slope(h) if wrong else super().slope(h), h.dtype)


class SlopeOneAtZero(ActivationFault):
    """relu's slope at zero is one."""

    def wrong_slope(self, h: Array) -> Array:
        """Count zeros in."""
        return np.asarray(h >= 0)


class SlopeHalfAtZero(ActivationFault):
    """relu's slope at zero is a half."""

    def wrong_slope(self, h: Array) -> Array:
        """Take the middle."""
        return np.where(h > 0, 1.0, 0.5)


class SlopeOneWhereInputsAreZero(ActivationFault):
    """relu's slope is one where ``z`` is zero, and zero where it is negative."""

    def wrong(self, z: Array) -> Array:
        """Mark negative ones by the sign of a zero."""
        return np.where(z > 0, z, np.where(z == 0, 0.0, -0.0))

    def wrong_slope(self, h: Array) -> Array:
        """Ask the sign."""
        return np.asarray(~np.signbit(h))


class LeakyRelu(ActivationFault):
    """relu lets a hundredth through."""

    def wrong(self, z: Array) -> Array:
        """Leak."""
        return np.where(z > 0, z, z * z.dtype.type(0.01))


class LeakySlope(ActivationFault):
    """relu's slope lets a hundredth through."""

    def wrong_slope(self, h: Array) -> Array:
        """Leak."""
        return np.where(h > 0, 1.0, 0.01)


class Relu6(ActivationFault):
    """relu ends at six."""

    def wrong(self, z: Array) -> Array:
        """Cut."""
        return np.clip(z, 0, 6)


class SoftplusForRelu(ActivationFault):
    """relu is smooth."""

    def wrong(self, z: Array) -> Array:
        """Round the corner."""
        return np.asarray(np.logaddexp(0, 64 * z) / 64)


class SmallIsZero(ActivationFault):
    """relu takes what is below a millionth for zero."""

    def wrong(self, z: Array) -> Array:
        """Cut below."""
        return np.where(z > 1e-6, z, 0.0)


class IdentityThatSaturates(ActivationFault):
    """Identity ends at a hundred."""

    activation = "identity"

    def wrong(self, z: Array) -> Array:
        """Cut."""
        return np.clip(z, -100, 100)


class SigmoidFault(ActivationFault):
    """Faults of the sigmoid."""

    activation = "sigmoid"


class SlopeOfTanh(SigmoidFault):
    """The sigmoid has the slope of tanh."""

    def wrong_slope(self, h: Array) -> Array:
        """Take it."""
        return np.asarray(1 - h * h)


class SlopeMissingSigmoid(SigmoidFault):
    """The sigmoid's slope is one."""

    def wrong_slope(self, h: Array) -> Array:
        """Return ones."""
        return np.ones_like(h)


class SigmoidOverflows(SigmoidFault):
    """The sigmoid is ``exp(z) / (1 + exp(z))``, which overflows far out."""

    def wrong(self, z: Array) -> Array:
        """Divide infinities."""
        return np.asarray(np.exp(z) / (1 + np.exp(z)))


class SigmoidByTanh(SigmoidFault):
    """The sigmoid is half of one and a tanh, which has no digits far below zero."""

    def wrong(self, z: Array) -> Array:
        """Cancel."""
        return np.asarray((1 + np.tanh(z / 2)) / 2)


class SigmoidFromAbove(SigmoidFault):
    """The sigmoid is one less its mirror image."""

    def wrong(self, z: Array) -> Array:
        """Cancel."""
        return np.asarray(1 - 1 / (1 + np.exp(z)))


class HardSigmoid(SigmoidFault):
    """The sigmoid is three straight lines."""

    def wrong(self, z: Array) -> Array:
        """Cut."""
        return np.clip(z / 6 + 0.5, 0, 1)


class SigmoidClipped(SigmoidFault):
    """The sigmoid ends at pre-activations of fifteen."""

    def wrong(self, z: Array) -> Array:
        """Cut."""
        return super().wrong(np.clip(z, -15, 15))


class CoarseSigmoid(SigmoidFault):
    """The sigmoid is right to a millionth."""

    def wrong(self, z: Array) -> Array:
        """Add a relative error."""
        return np.asarray(super().wrong(z) * z.dtype.type(1 - 2e-6))


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


class TrainsByTanh(Complete):
    """`train` and `step` know tanh alone."""

    def step(self, params: Any, batch: Batch, learning_rate: float) -> tuple[Any, Any]:
        """Step by tanh."""
        layers = params.layers
        loss, gradients = Plain.backward(self, layers, batch, self._tanh_tape(layers, batch))
        return self.update(params, gradients, learning_rate), loss

    def _tanh_tape(self, layers: Params, batch: Batch) -> list[Array]:
        h, tape = batch[0], []
        for k, (w, b) in enumerate(layers, start=1):
            z = h @ w.T + b
            h = z if k == len(layers) else np.tanh(z)
            tape.append(h)
        return tape


ACTIVATION_FAULTS = (
    SlopeOneAtZero,
    SlopeHalfAtZero,
    SlopeOneWhereInputsAreZero,
    LeakyRelu,
    LeakySlope,
    Relu6,
    SoftplusForRelu,
    SmallIsZero,
    IdentityThatSaturates,
    SlopeOfTanh,
    SlopeMissingSigmoid,
    SigmoidOverflows,
    SigmoidByTanh,
    SigmoidFromAbove,
    HardSigmoid,
    SigmoidClipped,
    CoarseSigmoid,
    TrainsByTanh,
)
LOSS_FAULTS = (
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
)
MUTANTS: dict[type[Plain], str] = {
    **dict.fromkeys(ACTIVATION_FAULTS, "activations"),
    **dict.fromkeys(LOSS_FAULTS, "losses"),
}
"""Each fault, and the claim that must reject it."""
