"""A backend that places one rank's part of a table's rows, and decisions that rank 0 makes for all.

Rank 0 decides whatever depends on the clock or on a keypress, so that all ranks do the same.

Tests: `tests/bench/training/test_over_ranks.py`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import ArrayLike

from backends import Backend, Shares
from backends.ranks import launched
from backends.ranks.cores import unbound
from backends.shares import SharedBatch


class Divided(Shares):
    """A backend that is given whole batches on every rank, and places this rank's part of the rows."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> SharedBatch:
        """Place the rows of this rank; the first ranks have one more if they do not divide evenly."""
        n = len(np.asarray(inputs))
        first, last = (n * rank // self.ranks.size for rank in (self.ranks.rank, self.ranks.rank + 1))
        return super().place_batch(np.asarray(inputs)[first:last], np.asarray(targets)[first:last], of)


def as_whole_machine() -> AbstractContextManager[None]:
    """Return a context in which a rank, which is bound to a part of the machine, finds runs of the whole machine."""
    return unbound() if launched().size > 1 else nullcontext()


def said_by_first(backend: Backend, value: float) -> float:
    """Return rank 0's value on every rank; of one rank alone its own."""
    if isinstance(backend, Divided) and backend.ranks.size > 1:
        return float(backend.ranks.gather(repr(float(value)))[0])
    return float(value)


def alone(backend: Backend) -> Backend:
    """Return the backend without its ranks, which scores any rows on one rank."""
    return backend.inner if isinstance(backend, Divided) else backend
