"""Cases whose shapes are drawn afresh in each run, from a seed that the report tells.

A fault may hide in one remainder of a vector's length, or beyond one size: no list of shapes meets them all. Half of
the draws are of small sizes, arranged so that 16 of them in a row have every remainder by 16 among the inputs, the
hidden units, the outputs and the rows; the multiples of 16 on top are drawn, so that a night of draws has every
remainder by 64. The other half take `SHAPES` in turn: wide layers, deep networks, many rows. Any size may also be a
power of two, or one less or more.
"""

from __future__ import annotations

import numpy as np

from backends.base import Array, Network
from backends.conformance.cases import Case

DRAWS, DRAWS_THAT_COMPILE = 32, 4
LARGEST_SIZE, MOST_ROWS = 1 << 13, 1 << 17
MOST_WORK = 1 << 22
"""Rows times parameters of a drawn case: a blink to judge."""
VALUES = ("normal", "tanh", "saturated", "near", "zeros", "visible")
REMAINDERS = 16

Shape = tuple[list[int], int]
"""Layer sizes, and rows."""


def drawn(seed: int, draws: int, network: Network | None = None) -> tuple[Case, ...]:
    """Return ``draws`` cases, the same for the same seed; of ``network`` alone if given."""
    rng = np.random.default_rng(seed)
    remainders = np.zeros((REMAINDERS, 4), int)
    cases: dict[Case, None] = {}
    turn = 0
    while len(cases) < draws:
        at = turn // 2 % REMAINDERS
        if turn % (2 * REMAINDERS) == 0:
            remainders = np.array([rng.permutation(REMAINDERS) for _ in range(4)]).T
        shape = turn // 2 % len(SHAPES)
        sizes, rows = _small(rng, remainders[at]) if turn % 2 == 0 else SHAPES[shape](rng)
        plain = turn % 2 == 0 or shape < PLAIN_SHAPES  # nothing hides behind targets near predictions or slopes of zero
        turn += 1
        drawn_network = network or Network(tuple(sizes))
        rows = max(1, min(rows, MOST_WORK // drawn_network.parameter_count))
        values = "normal" if plain else VALUES[rng.integers(len(VALUES))]
        cases[Case(drawn_network, rows, values, int(rng.integers(1, 10**6)))] = None
    return tuple(cases)


def _small(rng: np.random.Generator, remainders: Array) -> Shape:
    """Return sizes with these remainders by 16, of one to three hidden layers that share theirs."""
    inputs, hidden, outputs, rows = (int(r) + REMAINDERS * int(rng.integers(0, 4)) for r in remainders)
    between = [max(1, hidden)] + [int(rng.integers(1, 40)) for _ in range(rng.choice((0, 1, 2), p=(0.6, 0.3, 0.1)))]
    rng.shuffle(between)
    return [max(1, inputs) if inputs else REMAINDERS, *between, outputs or REMAINDERS], rows or REMAINDERS


def _size(rng: np.random.Generator, least: int, most: int) -> int:
    """Return a size of any magnitude in between, every second time a power of two, or one less or more."""
    if rng.integers(2):
        return int(np.exp2(rng.uniform(np.log2(least), np.log2(most))))
    power = 1 << int(rng.integers(least.bit_length() - 1, most.bit_length()))
    return min(max(power + int(rng.integers(-1, 2)), 1, least - 1), most)


def _wide_inputs(rng: np.random.Generator) -> Shape:
    return [_size(rng, 258, 2048), _size(rng, 1, 40), _size(rng, 1, 20)], _size(rng, 1, 300)


def _wide_outputs(rng: np.random.Generator) -> Shape:
    return [_size(rng, 1, 20), _size(rng, 1, 40), _size(rng, 258, 2048)], _size(rng, 1, 300)


def _very_wide_hidden(rng: np.random.Generator) -> Shape:
    return [_size(rng, 1, 8), int(rng.integers(5000, LARGEST_SIZE + 1)), _size(rng, 1, 4)], _size(rng, 1, 40)


def _wide_hidden(rng: np.random.Generator) -> Shape:
    return [_size(rng, 1, 8), _size(rng, 64, LARGEST_SIZE), _size(rng, 1, 4)], _size(rng, 1, 80)


def _two_wide(rng: np.random.Generator) -> Shape:
    return [_size(rng, 1, 8), int(rng.integers(512, 600)), _size(rng, 512, 700), _size(rng, 1, 4)], _size(rng, 1, 20)


def _deep(rng: np.random.Generator) -> Shape:
    hidden = [_size(rng, 1, 30) for _ in range(rng.integers(4, 7))]
    return [_size(rng, 1, 30), *hidden, _size(rng, 1, 30)], _size(rng, 2, 500)


def _many_rows(rng: np.random.Generator) -> Shape:
    return [_size(rng, 1, 8), _size(rng, 1, 4), 1], _size(rng, 300, MOST_ROWS)


def _any(rng: np.random.Generator) -> Shape:
    sizes = [_size(rng, 1, 256) for _ in range(rng.integers(3, 6))]
    return sizes, _size(rng, 1, MOST_ROWS)


SHAPES = (_deep, _wide_outputs, _very_wide_hidden, _wide_inputs, _two_wide, _many_rows, _wide_hidden, _many_rows, _any)
PLAIN_SHAPES = 6
"""The first of them have normal values, others any of `VALUES`."""
