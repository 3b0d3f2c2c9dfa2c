"""Faults of a new order of rows.

Tests: `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from backends.conformance.complete import Complete
from backends.conformance.mutants.minibatches import taken
from backends.conformance.plain import Batch, Plain


class ReorderDoesNothing(Complete):
    """`reorder` returns the batch as it was."""

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        """Check the order, and ignore it."""
        self.checked_order(order, len(batch[0]))
        return batch


class ReorderInverse(Complete):
    """`reorder` puts row ``k`` to place ``order[k]``."""

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        """Invert the order."""
        return super().reorder(batch, np.argsort(self.checked_order(order, len(batch[0]))))


class ReorderInputsAlone(Complete):
    """`reorder` leaves the targets where they were."""

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        """Keep the targets."""
        return super().reorder(batch, order)[0], batch[1]


class ReorderInPlace(Complete):
    """`reorder` writes to the batch that it is given."""

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        """Overwrite it."""
        new = super().reorder(batch, order)
        for array, values in zip(batch, new, strict=True):
            array[...] = values
        return new


class ReorderBlocks(Complete):
    """`reorder` orders rows within blocks of sixteen alone, if the order allows no less."""

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        """Sort each block's rows by the order."""
        rows = self.checked_order(order, len(batch[0]))
        within = np.concatenate([k + np.argsort(np.argsort(rows[k : k + 16])) for k in range(0, len(rows), 16)])
        return taken(batch, within)


class ReorderSharesMemory(Complete):
    """All reordered batches are one."""

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        """Write to the last reordered batch."""
        new = super().reorder(batch, order)
        room = self.__dict__.setdefault("rooms", {}).setdefault(len(new[0]), new)
        for array, values in zip(room, new, strict=True):
            array[...] = values
        return room[0], room[1]


class AcceptsAnyOrder(Complete):
    """An order that repeats rows is taken."""

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        """Take the rows."""
        return taken(batch, np.asarray(order) % len(batch[0]))


MUTANTS: dict[type[Plain], str] = dict.fromkeys(
    (
        ReorderDoesNothing,
        ReorderInverse,
        ReorderInputsAlone,
        ReorderInPlace,
        ReorderBlocks,
        ReorderSharesMemory,
        AcceptsAnyOrder,
    ),
    "mini-batches",
)
"""Each fault, and the claim that must reject it."""
