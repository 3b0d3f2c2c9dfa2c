"""Place the params and batches of a walk: drawn values, in arrays of the caller that are filled anew once placed.

Tests: `tests/backends/conformance/test_stateful.py`.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np

from backends.base import Array, Layer
from backends.conformance.caller import Caller
from backends.conformance.composed import exact_state
from backends.conformance.held import HeldBatch, HeldParams, Owner
from backends.conformance.states import copied_state, drawn_state, moments_of
from backends.conformance.subject import Problem


class Placing:
    """All that a walk places.

    Args:
        caller: whose arrays are placed.
        choose: decides what is placed, and in which memory.
        seed: of the values.
    """

    def __init__(self, caller: Caller, choose: random.Random, seed: int) -> None:
        self._caller, self._choose = caller, choose
        self._rng = np.random.default_rng(seed)
        self._placed = 0

    def label(self, owner: Owner, what: str) -> str:
        """Return the name of what is placed next."""
        self._placed += 1
        return f"{owner.label}.{what}{self._placed}"

    def params(self, owner: Owner, label: str) -> HeldParams:
        """Place new values, in fresh arrays or in those placed before, and perhaps fill the arrays anew at once."""
        sizes = owner.backend.network.layer_shapes
        values = [
            array.astype(owner.backend.dtype)
            for o, i in sizes
            for array in (self._rng.standard_normal((o, i)) / math.sqrt(i), self._rng.standard_normal(o) / 4)
        ]
        arrays = self._caller.arrays(owner, "params", values)
        layers = tuple(Layer(*arrays[k : k + 2]) for k in range(0, len(arrays), 2))
        placed_values = tuple(Layer(*values[k : k + 2]) for k in range(0, len(values), 2))
        optimizer, dtype = owner.backend.optimizer, owner.backend.dtype
        kept = Problem(label, placed_values, np.zeros((1, sizes[0][1]), dtype), np.zeros(1), 0.0, optimizer=optimizer)
        if optimizer.moments and self._choose.random() < 0.5:
            kept = replace(kept, state=drawn_state(kept, self._choose.choice((1, 8, 300)), self._placed))
        given = replace(kept, params=layers, state=copied_state(kept.state))
        value = given.placed_on(owner.backend)
        self._caller.after_placing(arrays, values)
        for array in moments_of(given.state):
            array.fill(self._choose.choice((math.nan, 7.0)))
        state = exact_state(kept, owner.precision)
        return HeldParams(value, state.params, label, state=state)

    def batch(self, owner: Owner, label: str, rows: int) -> HeldBatch:
        """Place new rows, or those of a batch before with other targets, or with one entry changed."""
        network, dtype = owner.backend.network, owner.backend.dtype
        x = self._rng.standard_normal((rows, network.inputs)).astype(dtype)
        y = self._rng.standard_normal((rows, network.outputs)).astype(dtype)
        if owner.batches and self._choose.random() < 0.5:
            before = self._choose.choice(owner.batches)
            change = self._choose.choice(("targets", "inputs", "last input", "last target"))
            x, y = self._like(before, change, x, y)
        arrays = self._caller.arrays(owner, ("batch", len(x)), [x, y])
        value = owner.backend.place_batch(*arrays)
        self._caller.after_placing(arrays, [x, y])
        return HeldBatch(value, x, y, label)

    def _like(self, before: HeldBatch, change: str, x: Array, y: Array) -> tuple[Array, Array]:
        """Return rows that differ from those of a batch in one respect."""
        new_x, new_y = before.inputs.copy(), before.targets.copy()
        if change == "targets":
            new_y = self._rng.standard_normal(new_y.shape).astype(y.dtype)
        elif change == "inputs":
            new_x = self._rng.standard_normal(new_x.shape).astype(x.dtype)
        elif change == "last input":
            new_x[-1, -1] += 2
        else:
            new_y[-1, -1] += 2
        return new_x, new_y
