"""Faults of an optimiser's state: whose it is, how it is placed, counted, fetched and carried on.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from backends.base import Array, Layer, Params, State
from backends.conformance.complete import Complete
from backends.conformance.plain import Batch, Plain


class StateOfInstance(Complete):
    """One state an instance: all its params share it."""

    def update(self, params: Any, gradients: Params, learning_rate: float) -> Any:
        """Take the moments of the last update."""
        latest = self.__dict__.get("latest", params)
        new = super().update(params._replace(moments=latest.moments), gradients, learning_rate)
        self.__dict__["latest"] = new
        return new


class StateOfClass(Complete):
    """One state for all instances of a network and an optimiser."""

    kept: ClassVar[dict[Any, tuple[Params, ...]]] = {}

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Start anew for all."""
        placed = super().place_params(params, state)
        self.kept[self.network, self.optimizer, self.dtype] = placed.moments
        return placed

    def update(self, params: Any, gradients: Params, learning_rate: float) -> Any:
        """Take the moments of the last update of any instance."""
        key = self.network, self.optimizer, self.dtype
        new = super().update(params._replace(moments=self.kept[key]), gradients, learning_rate)
        self.kept[key] = new.moments
        return new


class NotReset(Complete):
    """Params placed without a state go on with the last one."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Keep the state."""
        placed = super().place_params(params, state)
        latest = self.__dict__.get("latest")
        return placed if state is not None or latest is None else placed._replace(moments=latest.moments)

    def update(self, params: Any, gradients: Params, learning_rate: float) -> Any:
        """Remember."""
        new = super().update(params, gradients, learning_rate)
        self.__dict__["latest"] = new
        return new


class CountNotReset(NotReset):
    """The number of updates goes on when params are placed without a state."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Keep the count."""
        placed = Complete.place_params(self, params, state)
        latest = self.__dict__.get("latest")
        return placed if state is not None or latest is None else placed._replace(updates=latest.updates)


class CountNotPlaced(Complete):
    """A placed state begins to count at zero."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Drop the count."""
        return super().place_params(params, state)._replace(updates=0)


class CountNotUsed(Complete):
    """A placed state tells its count, and counts from zero."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Remember the count."""
        placed = super().place_params(params, state)
        self.__dict__["offset"] = placed.updates
        return placed

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        """Count from there."""
        return super().advance(w, g, moments, max(t - self.__dict__["offset"], 1), rate)


class CountsLayers(Complete):
    """Each layer counts as an update."""

    def update(self, params: Any, gradients: Params, learning_rate: float) -> Any:
        """Count them."""
        self.__dict__["arrays"] = 0
        new = super().update(params, gradients, learning_rate)
        more = (len(gradients) - 1) * self.optimizer.counts_updates
        return new._replace(updates=new.updates + more)

    def advance(self, w: Array, g: Array, moments: tuple[Array, ...], t: int, rate: Any) -> Any:
        """Count arrays, two a layer."""
        layer = self.__dict__["arrays"] // 2
        self.__dict__["arrays"] += 1
        return super().advance(w, g, moments, t + layer * self.optimizer.counts_updates, rate)


class CountsLayersUnseen(CountsLayers):
    """Each layer counts as an update within one, and the count that is told is right."""

    def update(self, params: Any, gradients: Params, learning_rate: float) -> Any:
        """Tell another count."""
        new = super().update(params, gradients, learning_rate)
        return new._replace(updates=params.updates + self.optimizer.counts_updates)


class MomentsNotPlaced(Complete):
    """A placed state keeps its count, and its moments begin at zero."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Drop the moments."""
        fresh = super().place_params(params)
        return fresh if state is None else fresh._replace(updates=state.updates)


class KeepsCallersMoments(Complete):
    """A placed state is the caller's memory."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Keep the arrays."""
        placed = super().place_params(params, state)
        return placed if state is None else placed._replace(moments=tuple(state.moments.values()))


class FetchesViews(Complete):
    """A fetched state is the memory of the params."""

    def fetch_state(self, params: Any) -> State:
        """Return the arrays."""
        return State(params.updates, dict(zip(self.optimizer.moments, params.moments, strict=True)))


class StepForgetsState(Complete):
    """`step` moves the parameters, and leaves the state as it was."""

    def step(self, params: Any, batch: Batch, learning_rate: float) -> tuple[Any, Any]:
        """Keep the old state."""
        new, loss = super().step(params, batch, learning_rate)
        return new._replace(moments=params.moments, updates=params.updates), loss


class TrainBeginsAfresh(Complete):
    """`train` begins with moments of zero."""

    def train(self, params: Any, batch: Any, *arguments: Any, **named: Any) -> Any:
        """Forget the state."""
        fresh = super().place_params(params.layers)
        return super().train(fresh, batch, *arguments, **named)


class TrainCountsAfresh(Complete):
    """`train` begins to count at zero, and tells the right count in the end."""

    def train(self, params: Any, batch: Any, learning_rate: float, steps: int, rows_per_step: int | None = None) -> Any:
        """Forget the count, and put it back."""
        new, losses = super().train(params._replace(updates=0), batch, learning_rate, steps, rows_per_step)
        return new._replace(updates=params.updates + steps * self.optimizer.counts_updates), losses


MUTANTS: dict[type[Plain], str] = dict.fromkeys(
    (
        StateOfInstance,
        StateOfClass,
        NotReset,
        CountNotReset,
        CountNotPlaced,
        CountNotUsed,
        CountsLayers,
        CountsLayersUnseen,
        MomentsNotPlaced,
        KeepsCallersMoments,
        FetchesViews,
        StepForgetsState,
        TrainBeginsAfresh,
        TrainCountsAfresh,
    ),
    "optimizers",
)
"""Each fault, and the claim that must reject it."""
