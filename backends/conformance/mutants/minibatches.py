"""Faults of mini-batches: which rows a step takes, in which order, and what becomes of the rest.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backends.base import Array
from backends.conformance.complete import Complete
from backends.conformance.plain import Batch, Plain


class Parts(Complete):
    """Trains on parts of the batch; a mutant may choose them, the order they are taken in, or what a step does."""

    def parts(self, batch: Batch, rows: int) -> list[Batch]:
        """Return the batches of one pass."""
        return self.split(batch, rows)

    def at(self, k: int, parts: list[Batch]) -> Batch:
        """Return the batch of step ``k``."""
        return parts[k % len(parts)]

    def step_of(self, k: int, params: Any, parts: list[Batch], batch: Batch, learning_rate: float) -> tuple[Any, Any]:
        """Make step ``k`` on the parts of a batch."""
        return self.step(params, self.at(k, parts), learning_rate)

    def train(
        self, params: Any, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Train on them."""
        if rows_per_step is None:
            return super().train(params, batch, learning_rate, steps)
        parts = self.parts(batch, self.checked_rows(rows_per_step, len(batch[0])))
        losses = np.empty(self.checked_steps(steps), self.dtype)
        for k in range(steps):
            params, losses[k] = self.step_of(k, params, parts, batch, learning_rate)
        return self.trained(params, losses, learning_rate)


def taken(batch: Batch, rows: Any) -> Batch:
    """Return some rows of a batch, by number or slice."""
    return batch[0][rows], batch[1][rows]


class DropsLastRows(Parts):
    """A pass ends before the rows that do not fill a step."""

    def parts(self, batch: Batch, rows: int) -> list[Batch]:
        """Keep full parts."""
        return self.split(batch, rows)[: len(batch[0]) // rows]


class SplitDropsLastRows(Parts):
    """`split` leaves out the rows that do not fill a part; `train` does not."""

    def split(self, batch: Batch, rows_per_step: int) -> list[Batch]:
        """Keep full parts."""
        return super().split(batch, rows_per_step)[: len(batch[0]) // rows_per_step]

    def parts(self, batch: Batch, rows: int) -> list[Batch]:
        """Train on all parts."""
        return super().split(batch, rows)


class LastRowsFilledUp(Parts):
    """The last step of a pass is filled up with first rows."""

    def parts(self, batch: Batch, rows: int) -> list[Batch]:
        """Wrap around."""
        n = len(batch[0])
        return [taken(batch, np.arange(k, k + rows) % n) for k in range(0, n, rows)]


class LastRowsJoined(Parts):
    """The rows that do not fill a step join the step before."""

    def parts(self, batch: Batch, rows: int) -> list[Batch]:
        """Make the last part longer."""
        n = len(batch[0])
        return [taken(batch, rows_of) for rows_of in np.array_split(np.arange(n), max(1, n // rows))]


class PassesRunOn(Parts):
    """The next pass begins where the last step's full number of rows would end."""

    def train(
        self, params: Any, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Never stop at the end of a pass."""
        if rows_per_step is None:
            return super().train(params, batch, learning_rate, steps)
        n, losses = len(batch[0]), np.empty(self.checked_steps(steps), self.dtype)
        for k in range(steps):
            start = k * self.checked_rows(rows_per_step, n)
            params, losses[k] = self.step(
                params, taken(batch, np.arange(start, start + rows_per_step) % n), learning_rate
            )
        return self.trained(params, losses, learning_rate)


class EveryOther(Parts):
    """Steps take rows with a stride."""

    def parts(self, batch: Batch, rows: int) -> list[Batch]:
        """Deal the rows out."""
        steps = -(-len(batch[0]) // rows)
        return [taken(batch, slice(k, None, steps)) for k in range(steps)]


class Backwards(Parts):
    """A pass begins with the last rows."""

    def parts(self, batch: Batch, rows: int) -> list[Batch]:
        """Reverse them."""
        return self.split(batch, rows)[::-1]


class Shuffled(Parts):
    """Rows are shuffled before they are taken."""

    def parts(self, batch: Batch, rows: int) -> list[Batch]:
        """Shuffle."""
        return self.split(taken(batch, np.random.default_rng(0).permutation(len(batch[0]))), rows)


class SecondPassBackwards(Parts):
    """Every other pass goes backwards."""

    def at(self, k: int, parts: list[Batch]) -> Batch:
        """Turn round."""
        turn, place = divmod(k, len(parts))
        return parts[place] if turn % 2 == 0 else parts[-1 - place]


class FirstRowsAlone(Parts):
    """Every step takes the first rows."""

    def at(self, k: int, parts: list[Batch]) -> Batch:
        """Return the first."""
        return parts[0]


class AllRows(Parts):
    """Every step takes all rows."""

    def parts(self, batch: Batch, rows: int) -> list[Batch]:
        """Return the whole."""
        return [batch]


class StaysAtTheEnd(Parts):
    """After one pass every step takes the last rows."""

    def at(self, k: int, parts: list[Batch]) -> Batch:
        """Stay."""
        return parts[min(k, len(parts) - 1)]


class GoesOnBetweenCalls(Parts):
    """A call begins where the last one ended."""

    def at(self, k: int, parts: list[Batch]) -> Batch:
        """Count over all calls."""
        count: int = self.__dict__.get("count", 0)
        self.__dict__["count"] = count + 1
        return parts[int(count) % len(parts)]


class RowOff(Parts):
    """Parts begin one row late, and the last takes the first row."""

    def parts(self, batch: Batch, rows: int) -> list[Batch]:
        """Shift by one."""
        return self.split(taken(batch, np.roll(np.arange(len(batch[0])), -1)), rows)


class TargetsStay(Parts):
    """Inputs are of the step, targets of the first rows."""

    def parts(self, batch: Batch, rows: int) -> list[Batch]:
        """Take first targets."""
        return [(x, batch[1][: len(x)]) for x, _ in self.split(batch, rows)]


class ShortStepOfAllRows(Parts):
    """The last, shorter step is averaged over as many rows as the others."""

    def step_of(self, k: int, params: Any, parts: list[Batch], batch: Batch, learning_rate: float) -> tuple[Any, Any]:
        """Scale the rate of short steps."""
        part = self.at(k, parts)
        return self.step(params, part, learning_rate * len(part[0]) / len(parts[0][0]))


class ClassesOverAllRows(Parts):
    """Cross-entropy of a mini-batch is divided by the rows of the whole batch."""

    def parts(self, batch: Batch, rows: int) -> list[Batch]:
        """Remember them."""
        self.__dict__["all"] = len(batch[0])
        return super().parts(batch, rows)

    def train(
        self, params: Any, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Forget them in the end."""
        try:
            return super().train(params, batch, learning_rate, steps, rows_per_step)
        finally:
            self.__dict__.pop("all", None)

    def error_term(self, predicted: Array, y: Array) -> Array:
        """Divide by them."""
        g = super().error_term(predicted, y)
        several = self.__dict__.get("all", len(y)) if self.network.loss == "cross-entropy" else len(y)
        return np.asarray(g * g.dtype.type(len(y) / several))


class LossesOfPasses(Complete):
    """Losses of mini-batches are means over the steps so far."""

    def train(
        self, params: Any, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Average them."""
        params, losses = super().train(params, batch, learning_rate, steps, rows_per_step)
        if rows_per_step is None:
            return params, np.asarray(losses)
        return params, np.asarray(np.cumsum(losses) / np.arange(1, steps + 1), self.dtype)


class LossesOfAllRows(Parts):
    """Losses of mini-batches are those of the whole batch."""

    def step_of(self, k: int, params: Any, parts: list[Batch], batch: Batch, learning_rate: float) -> tuple[Any, Any]:
        """Look at all rows."""
        loss, _ = self.backward(params, batch, self.forward(params, batch))
        return super().step_of(k, params, parts, batch, learning_rate)[0], loss


class SecondPassAfresh(Parts):
    """The optimiser starts afresh with every pass."""

    def step_of(self, k: int, params: Any, parts: list[Batch], batch: Batch, learning_rate: float) -> tuple[Any, Any]:
        """Forget the moments."""
        if k and k % len(parts) == 0 and len(parts) > 1:
            params = params._replace(moments=self.place_params(params.layers).moments)
        return super().step_of(k, params, parts, batch, learning_rate)


class GradientsOfSeveralSteps(Complete):
    """Parameters move at the end of a pass alone, by the sum of its gradients."""

    def train(
        self, params: Any, batch: Batch, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Take all gradients of a pass at the same parameters."""
        if rows_per_step is None:
            return super().train(params, batch, learning_rate, steps)
        parts = self.split(batch, rows_per_step)
        start, losses = params, np.empty(self.checked_steps(steps), self.dtype)
        for k in range(steps):
            part = parts[k % len(parts)]
            start = params if k % len(parts) == 0 else start
            losses[k], gradients = self.backward(start, part, self.forward(start, part))
            params = self.update(params, gradients, learning_rate)
        return self.trained(params, losses, learning_rate)


class AcceptsAnyRows(Complete):
    """A step of more rows than there are takes all of them."""

    def split(self, batch: Batch, rows_per_step: int) -> list[Batch]:
        """Cut the number down."""
        return super().split(batch, min(rows_per_step, len(batch[0])))


MUTANTS: dict[type[Plain], str] = dict.fromkeys(
    (
        DropsLastRows,
        SplitDropsLastRows,
        LastRowsFilledUp,
        LastRowsJoined,
        PassesRunOn,
        EveryOther,
        Backwards,
        Shuffled,
        SecondPassBackwards,
        FirstRowsAlone,
        AllRows,
        StaysAtTheEnd,
        GoesOnBetweenCalls,
        RowOff,
        TargetsStay,
        ShortStepOfAllRows,
        ClassesOverAllRows,
        LossesOfPasses,
        LossesOfAllRows,
        SecondPassAfresh,
        GradientsOfSeveralSteps,
        AcceptsAnyRows,
    ),
    "mini-batches",
)
"""Each fault, and the claim that must reject it."""
