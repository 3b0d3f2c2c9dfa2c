"""Shapes that nobody listed: cases drawn afresh each run, from a seed that the report says. No judging here.

A fault may hide in one remainder of a vector's length, or beyond one size: no list of shapes meets them all. Every size
of a layer, and the rows, are drawn from three kinds with equal chances: any number up to `SMALL`, so that every
remainder by 64 comes up; a power of two, or one less or more; any magnitude, up to thousands.
"""

from __future__ import annotations

import numpy as np

from backends.base import Network
from backends.conformance.cases import Case

DRAWS, DRAWS_THAT_COMPILE = 12, 3
SMALL = 130
LARGEST_SIZE, MOST_ROWS = 1 << 13, 1 << 17
MOST_WORK = 1 << 22
"""Rows times parameters of a drawn case: a blink to judge."""
HIDDEN_LAYERS, CHANCES = (1, 2, 3, 4, 5), (0.4, 0.25, 0.15, 0.15, 0.05)
VALUES = ("normal", "normal", "normal", "tanh", "saturated", "near", "zeros", "visible")


def drawn(seed: int, draws: int, network: Network | None = None) -> tuple[Case, ...]:
    """Return ``draws`` cases, the same for the same seed; of ``network`` alone where given."""
    rng = np.random.default_rng(seed)
    cases: dict[Case, None] = {}
    while len(cases) < draws:
        case = _one(rng, network)
        if case.rows * case.network.parameter_count <= MOST_WORK or (network and case.rows <= SMALL):
            cases[case] = None
    return tuple(cases)


def _one(rng: np.random.Generator, network: Network | None) -> Case:
    if network is None:
        hidden = int(rng.choice(HIDDEN_LAYERS, p=CHANCES))
        network = Network(tuple(_size(rng, LARGEST_SIZE) for _ in range(hidden + 2)))
    values = VALUES[rng.integers(len(VALUES))]
    return Case(network, _size(rng, MOST_ROWS), values, int(rng.integers(1, 10**6)))


def _size(rng: np.random.Generator, most: int) -> int:
    kind = rng.integers(3)
    if kind == 0:
        return int(rng.integers(1, SMALL + 1))
    if kind == 1:
        return max(1, (1 << int(rng.integers(0, most.bit_length()))) + int(rng.integers(-1, 2)))
    return int(2 ** rng.uniform(0, np.log2(most)))
