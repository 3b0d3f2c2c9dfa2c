"""Faults of activations other than tanh.

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


MUTANTS: dict[type[Plain], str] = dict.fromkeys(
    (
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
    ),
    "activations",
)
"""Each fault, and the claim that must reject it."""
