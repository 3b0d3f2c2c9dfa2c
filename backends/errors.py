"""The errors of this package that callers catch by name.

Tests: `tests/backends/test_contract.py`.
"""

from __future__ import annotations

from typing import Any

from backends.network import Array


class BackendUnavailable(RuntimeError):
    """A backend's framework or device is not on this machine; the message says why and which command helps."""


class TrainingDiverged(ArithmeticError):
    """Training left the finite numbers.

    Attributes:
        step: index of the first step whose loss is not finite; the number of steps if only the last update overflowed.
        last_finite_loss: the loss before that step, ``None`` if there was none.
        losses: host array ``[steps]`` of every loss, finite or not.
        params: the backend's own parameters after the last step, as ``train`` would have returned them.
    """

    def __init__(self, step: int, losses: Array, params: Any, learning_rate: float) -> None:
        self.step = step
        self.losses = losses
        self.params = params
        self.last_finite_loss = float(losses[step - 1]) if step > 0 else None
        if self.last_finite_loss is None:
            cause = "the first loss is not finite; look for NaN, infinite or very large inputs, targets or parameters"
        else:
            cause = (
                f"last finite loss {self.last_finite_loss:.6g}; lower the learning rate (got {learning_rate:g}) "
                "or scale the data"
            )
        super().__init__(f"training diverged at step {step} of {len(losses)}: {cause}")


class RanksError(RuntimeError):
    """Ranks could not join, or cannot go on together; the message says which rank, in what, and what to do."""
