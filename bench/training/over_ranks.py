"""Train on a table with several ranks: each reads it, and places its own part of the rows.

Split, standardisation and first parameters come from the whole table and one seed, so they are the same on every rank.
What a rank decides by the clock or by a keypress, rank 0 decides for all.

Tests: `tests/bench/training/test_over_ranks.py`.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from backends import Backend, Shares, load
from backends.ranks import Ranks, launched
from backends.shares import SharedBatch
from bench.machine import unbound

if TYPE_CHECKING:
    from bench.training.prepare import Prepared


class Divided(Shares):
    """A backend that is given whole batches on every rank, and places this rank's part of the rows."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike, of: int | None = None) -> SharedBatch:
        """Place the rows of this rank; the first ranks have one more if they do not divide evenly."""
        n = len(np.asarray(inputs))
        first, last = (n * rank // self.ranks.size for rank in (self.ranks.rank, self.ranks.rank + 1))
        return super().place_batch(np.asarray(inputs)[first:last], np.asarray(targets)[first:last], of)


def divided(prepared: Prepared, ranks: Ranks) -> Prepared:
    """Return what is prepared on this rank as all ranks train it, on the backend that rank 0 has chosen.

    Raises:
        RanksError: ranks have read different tables, or were asked for different things.
    """
    parts = prepared.parts
    ranks.agree("the table", _digest(parts.x, parts.y, parts.held_x, parts.held_y))
    ranks.agree("steps or learning rate", f"{prepared.steps} steps at a rate of {prepared.learning_rate!r}")
    old = prepared.backend
    name = ranks.gather(old.name)[0]
    return replace(prepared, backend=Divided(load(name, old.network, old.dtype, old.device, old.optimizer), ranks))


def as_whole_machine() -> AbstractContextManager[None]:
    """Return a block in which one of several ranks finds what was measured on all of this machine."""
    return unbound() if launched().size > 1 else nullcontext()


def said_by_first(backend: Backend, value: float) -> float:
    """Return rank 0's value on every rank; of one rank alone its own."""
    if isinstance(backend, Divided) and backend.ranks.size > 1:
        return float(backend.ranks.gather(repr(float(value)))[0])
    return float(value)


def alone(backend: Backend) -> Backend:
    """Return the backend without its ranks, which scores any rows on one rank."""
    return backend.inner if isinstance(backend, Divided) else backend


def _digest(*arrays: np.ndarray) -> str:
    hashed = hashlib.blake2b(digest_size=8)
    for array in arrays:
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()
