"""Faults of identity: results, caches and slopes that belong to another call, another instance or another time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from backends.base import Array, Layer, Network, Params, State
from backends.conformance.mutants.params import filled, mapped
from backends.conformance.plain import Batch, Plain


class Resumes(Plain):
    """Keeps the params of its last `train`, and the next call goes on with them instead of those it is given."""

    def train(
        self, params: Any, batch: Any, learning_rate: float, steps: int, rows_per_step: int | None = None
    ) -> tuple[Any, Array]:
        """Go on with what is kept."""
        params, losses = super().train(self.__dict__.get("kept", params), batch, learning_rate, steps, rows_per_step)
        self.kept = params
        return params, losses


class KeepsVelocity(Plain):
    """Descends with the velocity of the call before, whatever params it is given."""

    def step(self, params: Params, batch: Batch, learning_rate: float) -> tuple[Params, float]:
        """Add a tenth of the last gradients."""
        loss, gradients = self.backward(params, batch, self.forward(params, batch))
        before = self.__dict__.setdefault("before", gradients)
        mixed = mapped(lambda g, last: g + g.dtype.type(0.1) * (last - g), gradients, before)
        self.before = gradients
        return self.update(params, mixed, learning_rate), loss


class GradientsOfTheLastCall(Plain):
    """`update` takes the gradients of the last `backward`, not those it is given."""

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[float, Params]:
        """Remember the gradients."""
        loss, self.last = super().backward(params, batch, tape)
        return loss, self.last

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        """Update by what is remembered."""
        return super().update(params, self.last, learning_rate)


class SlopesOfTheLastForward(Plain):
    """The slopes are kept by the class, and belong to the last `forward` of any instance."""

    slopes: ClassVar[dict[tuple[int, ...], Array]] = {}

    def forward(self, params: Params, batch: Batch) -> list[Array]:
        """Keep each layer's slope by its shape."""
        tape = super().forward(params, batch)
        self.slopes.update({h.shape: super(SlopesOfTheLastForward, self).slope(h) for h in tape[:-1]})
        return tape

    def slope(self, h: Array) -> Array:
        """Return what is kept."""
        return self.slopes[h.shape]


class OneSetOfParams(Plain):
    """All instances of a network share one set of params."""

    shared: ClassVar[dict[tuple[Network, str], Params]] = {}

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Params:
        """Place into the memory of the class."""
        placed = super().place_params(params)
        return filled(self.shared.setdefault((self.network, self.dtype), placed), placed)


class BatchByIdentity(Plain):
    """Places a batch once for each pair of arrays of the caller, whatever they hold by now."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Return the batch that was placed from these very arrays."""
        known: dict[Any, Any] = self.__dict__.setdefault("known", {})
        placed = super().place_batch(inputs, targets)
        return known.setdefault((id(inputs), id(targets)), (inputs, targets, placed))[2]  # type: ignore[no-any-return]


class ParamsByIdentity(Plain):
    """Places params once for each first weights of the caller, whatever they hold by now."""

    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Params:
        """Return copies of what was placed from these very arrays."""
        known: dict[Any, Any] = self.__dict__.setdefault("known", {})
        kept = known.setdefault(id(params[0][0]), (params, super().place_params(params)))[1]
        return mapped(lambda w: w.copy(), kept)


class BatchByInputs(Plain):
    """Takes a batch whose inputs it has seen for the same batch, though its targets differ."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Look up the inputs' bytes."""
        known: dict[bytes, Batch] = self.__dict__.setdefault("known", {})
        placed = super().place_batch(inputs, targets)
        return known.setdefault(placed[0].tobytes(), placed)


class BatchByFirstRow(Plain):
    """Takes a batch whose shape and first rows it has seen for the same batch."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Look up the first row's bytes."""
        known: dict[Any, Batch] = self.__dict__.setdefault("known", {})
        x, y = super().place_batch(inputs, targets)
        return known.setdefault((len(x), x[0].tobytes(), y[0].tobytes()), (x, y))


class _LateLoss:
    def __init__(self, room: Array) -> None:
        self._room = room

    def __float__(self) -> float:
        return float(self._room[0])


class LossIsReadLate(Plain):
    """A loss is read from a shared place when it is asked for."""

    def backward(self, params: Params, batch: Batch, tape: list[Array]) -> tuple[Any, Params]:
        """Return a loss that looks up the last one."""
        loss, gradients = super().backward(params, batch, tape)
        room: Array = self.__dict__.setdefault("room", np.zeros(1))
        room[0] = loss
        return _LateLoss(room), gradients


class FetchRemembers(Plain):
    """Fetches each set of params once, though an update changes it in place."""

    def fetch(self, params: Params) -> Params:
        """Look up what was fetched."""
        known: dict[Any, Any] = self.__dict__.setdefault("known", {})
        kept = known.setdefault(id(params), (params, super().fetch(params)))[1]
        return mapped(lambda w: w.copy(), kept)

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        """Update in place."""
        return filled(params, super().update(params, gradients, learning_rate))


class PoisonedByDivergence(Plain):
    """Once training has diverged, halves every rate."""

    factor = 1.0

    def trained(self, params: Any, losses: Array, learning_rate: float) -> tuple[Any, Array]:
        """Remember the divergence."""
        if not np.isfinite(losses).all():
            self.factor = 0.5
        return super().trained(params, losses, learning_rate)

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        """Update at a rate that depends on the past."""
        return super().update(params, gradients, learning_rate * self.factor)


class PoisonedByRefusal(Plain):
    """Keeps what it began to place when it refused the rest, and places that next."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        """Take the targets of the refused batch if they fit."""
        before = self.__dict__.pop("begun", None)
        self.begun = np.array(targets, self.dtype)
        x, y = super().place_batch(inputs, targets)
        del self.begun
        return x, before if before is not None and before.shape == y.shape else y


class TiresAfterManyCalls(Plain):
    """After its thirtieth step it no longer moves the biases."""

    count = 0

    def step(self, params: Params, batch: Batch, learning_rate: float) -> tuple[Params, float]:
        """Count, then step."""
        self.count += 1
        new, loss = super().step(params, batch, learning_rate)
        return (
            (new, loss)
            if self.count < 30
            else (tuple(Layer(w, b) for (w, _), (_, b) in zip(new, params, strict=True)), loss)
        )


class SharedWithOtherSizes(Plain):
    """Buffers of the class that instances of other networks cut up anew."""

    room: ClassVar[dict[str, Array]] = {}

    def forward(self, params: Params, batch: Batch) -> list[Array]:
        """Put every layer's output into one piece of memory."""
        tape = super().forward(params, batch)
        room = self.room.setdefault(self.dtype, np.zeros(1 << 20, self.dtype))
        at, views = 0, []
        for h in tape:
            view = room[at : at + h.size].reshape(h.shape)
            view[...] = h
            views.append(view)
            at += h.size
        return views


class KeepsFirstRate(Plain):
    """Keeps the learning rate of its first call, as a compiled constant."""

    def update(self, params: Params, gradients: Params, learning_rate: float) -> Params:
        """Update at the first rate."""
        return super().update(params, gradients, self.__dict__.setdefault("rate", learning_rate))


MUTANTS: dict[type[Plain], str] = dict.fromkeys(
    (
        Resumes,
        KeepsVelocity,
        GradientsOfTheLastCall,
        SlopesOfTheLastForward,
        OneSetOfParams,
        BatchByIdentity,
        ParamsByIdentity,
        BatchByInputs,
        BatchByFirstRow,
        LossIsReadLate,
        FetchRemembers,
        PoisonedByDivergence,
        PoisonedByRefusal,
        TiresAfterManyCalls,
        SharedWithOtherSizes,
        KeepsFirstRate,
    ),
    "state",
)
"""Each fault, and the claim that must reject it."""
