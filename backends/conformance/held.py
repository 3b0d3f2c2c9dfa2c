"""What a walk holds of a backend: params, gradients, batches, tapes and losses, each with the ball that it lies in.

Tests: `tests/backends/conformance/test_stateful.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from backends.base import Array, Backend
from backends.conformance.bounds import Ball, Precision
from backends.conformance.composed import BallLayer
from backends.conformance.updates import BallState


class Wrong(Exception):
    """A result is not what the calls before it make it; the message says which, and by how much."""

    def __init__(self, why: str, ratio: float = math.inf) -> None:
        super().__init__(why)
        self.ratio = ratio


@dataclass
class HeldParams:
    """Params or gradients of the backend, the balls that they lie in, and the bits that were fetched first.

    ``state`` is of params: the same balls, and those of the optimiser's state.
    """

    value: Any
    balls: list[BallLayer]
    label: str
    seen: list[Array] | None = None
    depth: int = 0
    state: BallState | None = None


@dataclass
class HeldBatch:
    """A placed batch, and private copies of its rows."""

    value: Any
    inputs: Array
    targets: Array
    label: str


@dataclass
class HeldTape:
    """A tape, and what it was computed from."""

    value: Any
    params: HeldParams
    batch: HeldBatch
    balls: list[Ball]
    label: str
    seen: list[Array] | None = None


@dataclass
class HeldLoss:
    """A loss, its ball, and the number that it was when first looked at."""

    value: Any
    ball: Ball
    label: str
    seen: float | None = None


@dataclass
class Owner:
    """One instance, what it returned that is still valid, and the caller's arrays that are placed again and again."""

    backend: Backend
    label: str
    precision: Precision
    reused: dict[Any, Array] = field(default_factory=dict)
    params: list[HeldParams] = field(default_factory=list)
    gradients: list[HeldParams] = field(default_factory=list)
    batches: list[HeldBatch] = field(default_factory=list)
    tapes: list[HeldTape] = field(default_factory=list)
    losses: list[HeldLoss] = field(default_factory=list)
