"""Early stopping: the held-out loss is watched while training goes on, and the best parameters are kept.

Tests: `tests/bench/cli/test_train_workloads.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backends import Backend, Params
from backends.functions import LOSSES
from bench.training.standardise import Floats

BLOCK_ROWS = 65_536


def loss_on(backend: Backend, placed: Any, x: Floats, y: Floats) -> float:
    """Return the loss of placed parameters on rows that are not placed, block by block."""
    total = 0.0
    for start in range(0, len(x), BLOCK_ROWS):
        inputs, targets = x[start : start + BLOCK_ROWS], y[start : start + BLOCK_ROWS]
        predicted = backend.outputs(backend.forward(placed, backend.place_batch(inputs, targets)))[-1]
        with np.errstate(all="ignore"):  # parameters that diverge are told of by training itself
            total += float(LOSSES[backend.network.loss].total(np.asarray(predicted, np.float64), targets))
    return total / backend.network.loss_terms(len(x))


@dataclass
class Watch:
    """The best parameters so far, and how many checks ago they were reached.

    Attributes:
        x, y: the held-out part, standardised.
        patience: checks without a better loss after which training stops.
        loss: the best held-out loss so far.
        step: steps done when it was reached.
        params: the parameters that reached it, on the host.
        checks: since then.
    """

    x: Floats
    y: Floats
    patience: int
    loss: float = math.inf
    step: int = 0
    params: Params | None = field(default=None, repr=False)
    checks: int = 0

    def goes_on(self, backend: Backend, placed: Any, step: int) -> bool:
        """Score parameters after ``step`` steps; return whether training should go on."""
        loss = loss_on(backend, placed, self.x, self.y)
        self.checks += 1
        if loss < self.loss or self.params is None:
            self.loss, self.step, self.params, self.checks = loss, step, backend.fetch(placed), 0
        return self.checks < self.patience
