"""The problems that claims are judged on: each has a name, and is made again from its name alone.

    3-2-1/n=64/tanh/seed=1        network, rows, kind of values, seed (0 if it is not written)
    3-2-1/relu/n=64/normal        a network with an activation, or an activation and a loss

`fixed` gives the stated set of the command; any other name of this form works as well. Kinds of values:

    tutorial    the tutorial's weights and data; 3-2-1 with 3 rows
    normal      standard normal inputs and targets, weights scaled by the fan-in
    tanh        pre-activations at +-4e-4, 5.857, 7.9 .. 9.1, 17.6 .. 22, and between
    saturated   weights eight times as large
    near        targets within a few units in the last place of the predictions
    zeros       signed zeros among inputs, weights and biases
    subnormal   subnormal numbers among inputs, weights and biases
    wide        inputs, weights and targets spread over twelve orders of magnitude
    visible     a learning rate at which half of all weights move by more than their own size
    sparse      few inputs and weights that are not zero, so that sums have few terms and narrow bounds in any size
    dyadic      small integers, and hidden layers of zeros, so that every sum is exact in any order
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from backends.base import Array, Backend, Layer, Network, Params
from backends.conformance.oracle import DOUBLE, backward, forward
from backends.conformance.subject import Problem

SIZES = (1, 2, 3, 7, 8, 9, 16, 17, 31, 64, 257)
COMMON_BLOCKS = (1024, 4096, 8192)
BLOCK_NETWORK = Network((3, 2, 1))
MOST_ROWS = 1 << 18
"""Beyond it a batch of `BLOCK_NETWORK` takes seconds to judge."""
VALUES_SHAPE = "3-2-1/n=64"
LARGE_NETWORK = Network((65, 67, 9))
LARGE_SHAPE = f"{LARGE_NETWORK}/n=2100"
"""Beyond the sizes at which libraries change to other kernels for products and for tanh; nothing a multiple of four."""
SPARSE_SHAPE = "389-397-401/n=383"
"""Every dimension is large; as dense as usual, the bounds of its products would hide coarse ones."""
MANY_BLOCKS = 17
"""More than backends commonly have sums for, so that some blocks are added to what is there."""
MOST_LARGE_ROWS = 1 << 16
MOST_WORK = 1 << 29
"""Rows times parameters of a named network that take seconds to judge."""

TANH_POINTS = (4e-4, 0.1, 0.5, 1.0, 2.0, 4.0, 5.857, *np.linspace(7.9, 9.1, 13), *np.linspace(17.6, 22.0, 12))
FORM = re.compile(r"(?P<network>[\d-]+(/[a-z-]+)*)/n=(?P<rows>\d+)/(?P<values>\w+)(/seed=(?P<seed>\d+))?")


@dataclass(frozen=True)
class Case:
    """A problem by name.

    Attributes:
        network: the layer sizes.
        rows: of the batch.
        values: the kind, one of `KINDS`.
        seed: distinguishes draws.
    """

    network: Network
    rows: int
    values: str
    seed: int = 0

    @classmethod
    def parse(cls, name: str) -> Case:
        """Return the case of a name.

        Raises:
            ValueError: the name has another form, or an unknown kind of values.
        """
        parts = FORM.fullmatch(name)
        if not parts or parts["values"] not in KINDS or int(parts["rows"]) < 1:
            raise ValueError(f"a case is written like 3-2-1/n=64/normal, with one of {', '.join(KINDS)}; got {name!r}")
        if parts["values"] == "tutorial" and not name.startswith("3-2-1/n=3/"):
            raise ValueError(f"the tutorial's case is 3-2-1/n=3/tutorial, got {name!r}")
        return cls(Network.parse(parts["network"]), int(parts["rows"]), parts["values"], int(parts["seed"] or 0))

    def __str__(self) -> str:
        return f"{self.network}/n={self.rows}/{self.values}" + (f"/seed={self.seed}" if self.seed else "")

    def problem(self, dtype: str) -> Problem:
        """Return the arrays, the same for the same name, rounded once to ``dtype``."""
        rng = np.random.default_rng(zlib.crc32(str(self).encode()))
        drawn = KINDS[self.values](_normal(self, rng), rng, dtype)
        params = tuple(Layer(w.astype(dtype), b.astype(dtype)) for w, b in drawn.params)
        x, y = drawn.inputs.astype(dtype), drawn.targets.astype(dtype)
        if self.network.loss == "cross-entropy":  # its targets are classes
            y = np.eye(self.network.outputs, dtype=dtype)[y.argmax(axis=1)]
        arrays = np.ascontiguousarray(x), np.ascontiguousarray(y)
        return Problem(str(self), params, *arrays, drawn.learning_rate, self.network.activation, self.network.loss)


def fixed(backend_of: Callable[[Network], Backend], quick: bool = False) -> tuple[Case, ...]:
    """Return the stated set for a backend: fewer shapes if every new shape compiles, or if it has to be quick.

    Every kind of values at 3-2-1 with 64 rows; networks of one to three hidden layers; `LARGE_SHAPE` and
    `SPARSE_SHAPE`; the rows around each block size at `BLOCK_NETWORK`.
    """
    backend = backend_of(BLOCK_NETWORK)
    names = ["3-2-1/n=3/tutorial", *(f"{VALUES_SHAPE}/{kind}" for kind in KINDS if kind != "tutorial")]
    names += ["1-1-1/n=1/normal", "8-32-1/n=257/normal", "17-9-7-2/n=31/normal"]
    compiles = backend.capabilities.compiles
    if not quick:
        names += ["2-3-8-16-1/n=9/saturated", f"{LARGE_SHAPE}/normal", f"{LARGE_SHAPE}/tanh", f"{SPARSE_SHAPE}/sparse"]
        names += [] if compiles else [_latin_square(k) for k in range(len(SIZES))]
        names += [f"{BLOCK_NETWORK}/n={rows}/normal" for rows in rows_around_blocks(backend)]
    return tuple(Case.parse(name) for name in dict.fromkeys(names))


def fixed_for(network: Network, backend_of: Callable[[Network], Backend], quick: bool = False) -> tuple[Case, ...]:
    """Return the stated set for one network: few rows, some rows, every kind of values, and more than one and two
    blocks of a backend that says its blocks, unless that takes too long.
    """
    kinds = ["normal"] if quick else [kind for kind in KINDS if kind != "tutorial"]
    names = [f"{network}/n={rows}/normal" for rows in (1, 9)] + [f"{network}/n=64/{kind}" for kind in kinds]
    block = None if quick else getattr(backend_of(network), "block_rows", None)
    edges = [block + 1, 2 * block + 1] if block else []
    names += [f"{network}/n={rows}/normal" for rows in edges if rows * network.parameter_count <= MOST_WORK]
    return tuple(Case.parse(name) for name in names)


def large_of(network: Network) -> tuple[Case, ...]:
    """Return a batch of one network for the claims that take many rows: odd, and about a hundred thousand if it may."""
    return (Case(network, max(65, min(100_003, MOST_WORK // network.parameter_count | 1)), "normal"),)


def rows_around_blocks(backend: Backend) -> tuple[int, ...]:
    """Return the batches at the edges of blocks: one row less, as many, one more, and two and eight blocks and one.

    The blocks are of sizes that are common, and of what a backend says in ``block_rows``. What would take too long is
    left out.
    """
    said = getattr(backend, "block_rows", None)
    common = COMMON_BLOCKS[:1] if backend.capabilities.compiles else COMMON_BLOCKS
    blocks = (*common, int(said)) if said else common
    edges = {edge for block in blocks for edge in (block - 1, block, block + 1, 2 * block + 1, 8 * block + 1)}
    return tuple(rows for rows in sorted(edges) if 0 < rows <= MOST_ROWS)


def many_blocks(backend: Backend) -> tuple[str, ...]:
    """Return the case of `MANY_BLOCKS` and a row of a ``backend`` of `LARGE_NETWORK`; none if it does not say what
    its blocks are, or if they are so large that this would take too long.
    """
    said = getattr(backend, "block_rows", None)
    rows = MANY_BLOCKS * said + 1 if said else 0
    return (f"{LARGE_NETWORK}/n={rows}/normal",) if 0 < rows <= MOST_LARGE_ROWS else ()


def _latin_square(k: int) -> str:
    """Return the ``k``-th of 11 shapes in which each size appears once in each place; one to three hidden layers."""
    lines = ((1, 0), (3, 1), (4, 2), (5, 3), (7, 4), (2, 5))  # no two of one slope
    pick = [SIZES[(slope * k + shift) % len(SIZES)] for slope, shift in lines]
    hidden = [min(size, 64) if k % 3 else size for size in pick[1 : 2 + k % 3]]
    return f"{'-'.join(map(str, (pick[0], *hidden, pick[4])))}/n={pick[5]}/normal"


def _normal(case: Case, rng: np.random.Generator) -> Problem:
    params = tuple(
        Layer(rng.standard_normal((o, i)) / np.sqrt(i), rng.standard_normal(o) / 2)
        for o, i in case.network.layer_shapes
    )
    x = rng.standard_normal((case.rows, case.network.inputs))
    y = rng.standard_normal((case.rows, case.network.outputs))
    return Problem(str(case), params, x, y, 0.01)


def _with(problem: Problem, params: Params | None = None, x: Array | None = None, y: Array | None = None) -> Problem:
    return Problem(
        problem.name,
        problem.params if params is None else params,
        problem.inputs if x is None else x,
        problem.targets if y is None else y,
        problem.learning_rate,
    )


def _as_drawn(problem: Problem, rng: np.random.Generator, dtype: str) -> Problem:
    return problem


def _tutorial(problem: Problem, rng: np.random.Generator, dtype: str) -> Problem:
    hidden = Layer(np.array([[0.5, 0.5, 0.5], [0.1, 0.1, 0.1]]), np.ones(2))
    x = np.array([[4.0, 9.0, 1.0], [2.0, 5.0, 6.0], [1.0, 8.0, 3.0]])
    y = x @ np.array([[2.0], [-1.0], [5.0]])
    return Problem(problem.name, (hidden, Layer(np.ones((1, 2)), np.ones(1))), x, y, 0.001)


def _tanh(problem: Problem, rng: np.random.Generator, dtype: str) -> Problem:
    """Each unit of the first layer sees one input alone, with weight one, so that ``z`` is that input."""
    weights, biases = np.zeros_like(problem.params[0].weights), np.zeros_like(problem.params[0].biases)
    units, inputs = weights.shape
    weights[np.arange(units), np.arange(units) % inputs] = 1.0
    x = np.resize(rng.permutation(np.concatenate([TANH_POINTS, np.negative(TANH_POINTS)])), problem.inputs.shape)
    return _with(problem, (Layer(weights, biases), *problem.params[1:]), x)


def _saturated(problem: Problem, rng: np.random.Generator, dtype: str) -> Problem:
    return _with(problem, tuple(Layer(8 * w, 8 * b) for w, b in problem.params))


def _near(problem: Problem, rng: np.random.Generator, dtype: str) -> Problem:
    """Targets are the predictions in ``dtype``, moved by at most three units in the last place."""
    params = tuple(Layer(w.astype(dtype), b.astype(dtype)) for w, b in problem.params)
    predicted = forward(params, problem.inputs.astype(dtype), DOUBLE)[1][-1].astype(dtype)
    moved = predicted + rng.integers(-3, 4, predicted.shape) * np.spacing(predicted)
    return _with(problem, y=moved)


def _zeros(problem: Problem, rng: np.random.Generator, dtype: str) -> Problem:
    return _sprinkled(problem, rng, (0.0, -0.0))


def _subnormal(problem: Problem, rng: np.random.Generator, dtype: str) -> Problem:
    tiny = float(np.finfo(dtype).tiny)
    return _sprinkled(problem, rng, (tiny / 3, -tiny / 1024, tiny, -1.5 * tiny))


def _sprinkled(problem: Problem, rng: np.random.Generator, values: tuple[float, ...]) -> Problem:
    """Replace about half of all inputs, weights and biases by ``values``."""

    def sprinkle(array: Array) -> Array:
        return np.where(rng.random(array.shape) < 0.5, rng.choice(values, array.shape), array)

    params = tuple(Layer(sprinkle(w), sprinkle(b)) for w, b in problem.params)
    return _with(problem, params, sprinkle(problem.inputs))


def _wide(problem: Problem, rng: np.random.Generator, dtype: str) -> Problem:
    def spread(array: Array) -> Array:
        return array * 10 ** rng.uniform(-6, 6, array.shape)

    params = tuple(Layer(spread(w), spread(b)) for w, b in problem.params)
    return _with(problem, params, spread(problem.inputs), spread(problem.targets))


def _visible(problem: Problem, rng: np.random.Generator, dtype: str) -> Problem:
    gradients = backward(problem.params, problem.inputs, problem.targets, DOUBLE)
    flat = [np.concatenate([a.ravel() for layer in layers for a in layer]) for layers in (problem.params, gradients)]
    rate = float(np.median(np.abs(flat[0]) / np.maximum(np.abs(flat[1]), 1e-30)))
    return Problem(problem.name, problem.params, problem.inputs, problem.targets, 2.0 ** np.ceil(np.log2(rate)))


def _sparse(problem: Problem, rng: np.random.Generator, dtype: str) -> Problem:
    """Three inputs of each row and three weights of each unit are not zero; biases of hidden layers are."""

    def thin(array: Array) -> Array:
        keep = np.zeros(array.shape, bool)
        columns = np.argsort(rng.random(array.shape), axis=1)[:, :3]
        np.put_along_axis(keep, columns, True, axis=1)
        return np.where(keep, array, 0.0)

    hidden = [Layer(thin(w) * np.sqrt(w.shape[1]), np.zeros_like(b)) for w, b in problem.params[:-1]]
    last = Layer(thin(problem.params[-1].weights) * 4, problem.params[-1].biases)
    return _with(problem, (*hidden, last), thin(problem.inputs))


def _dyadic(problem: Problem, rng: np.random.Generator, dtype: str) -> Problem:
    """Hidden layers are zero, their outputs too, and tanh' is one: all that is left are sums of small integers."""

    def integers(array: Array) -> Array:
        return rng.integers(-4, 5, array.shape).astype(float)

    hidden = [Layer(np.zeros_like(w), np.zeros_like(b)) for w, b in problem.params[:-1]]
    last = Layer(*(integers(array) for array in problem.params[-1]))
    drawn = _with(problem, (*hidden, last), integers(problem.inputs), integers(problem.targets))
    return Problem(drawn.name, drawn.params, drawn.inputs, drawn.targets, 0.25)


KINDS: dict[str, Callable[[Problem, np.random.Generator, str], Problem]] = {
    "tutorial": _tutorial,
    "normal": _as_drawn,
    "tanh": _tanh,
    "saturated": _saturated,
    "near": _near,
    "zeros": _zeros,
    "subnormal": _subnormal,
    "wide": _wide,
    "visible": _visible,
    "sparse": _sparse,
    "dyadic": _dyadic,
}
