"""Divide the prepared rows among ranks: each rank has read the whole table and places its own part.

Split, standardisation and first parameters come from the whole table and one seed, so they are the same on every rank.

Tests: `tests/bench/training/test_over_ranks.py`.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from backends import load
from backends.ranks import Ranks
from bench.training.over_ranks import Divided
from bench.training.prepare import Prepared


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


def _digest(*arrays: np.ndarray) -> str:
    hashed = hashlib.blake2b(digest_size=8)
    for array in arrays:
        hashed.update(np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()
