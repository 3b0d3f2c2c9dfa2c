"""The claim on training: right backends whose `train` differs in its bits from their single steps."""

from typing import Any

import numpy as np
import pytest

from backends.base import Array, Capabilities
from backends.conformance import check
from backends.conformance.plain import Plain


class OtherOrder(Plain):
    """`train` of some steps or more sums in the opposite order, as another kernel may."""

    name = "other-order"
    otherwise_from = 1
    backwards = False

    def product(self, a: Array, b: Array) -> Array:
        return np.asarray(a[:, ::-1] @ b[::-1]) if self.backwards else super().product(a, b)

    def train(self, params: Any, batch: Any, learning_rate: float, steps: int, rows_per_step: Any = None) -> Any:
        self.backwards = steps >= self.otherwise_from
        try:
            return super().train(params, batch, learning_rate, steps)
        finally:
            self.backwards = False


class Unrolled(OtherOrder):
    """Two steps or more are one kernel."""

    otherwise_from = 2


class Captured(OtherOrder):
    """Fifty steps or more are one kernel, and the backend says so."""

    otherwise_from = 50
    captured_steps = 50


class CapturedUnsaid(OtherOrder):
    """Fifty steps or more are one kernel, and the backend does not say so."""

    otherwise_from = 50


class NoPromise(OtherOrder):
    """Promises nothing."""

    capabilities = Capabilities(deterministic=frozenset())


@pytest.mark.parametrize(
    ("kind", "right"),
    [(OtherOrder, True), (Unrolled, True), (Captured, True), (NoPromise, True), (CapturedUnsaid, False)],
)
def test_training_in_another_order_of_sums_is_right_if_it_is_said_or_seen(
    kind: type[Plain], right: bool, dtype: str
) -> None:
    """Other bits than single steps give are judged by bounds; only a hidden change of kernel is refused."""
    report = check(f"{__name__}:{kind.__name__}", dtype=dtype, claims=("train",), quick=True)
    assert report.passed is right, report.worst
