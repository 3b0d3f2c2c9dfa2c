"""The backend on trial: its instances, and what its arithmetic does as observed. No claims here.

Tests: `tests/backends/conformance/test_check.py`, `tests/backends/conformance/test_mutants.py`.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from backends.base import Array, Backend, Descent, Layer, Network, Optimizer, Params, State
from backends.conformance.bounds import Precision
from backends.conformance.oracle import arithmetic_for
from backends.conformance.report import Finding
from backends.registry import find
from backends.shares import Shares

PRODUCT_UNITS = {"ieee": 0.0, "tf32": 2.0**-11, "bf16": 2.0**-8}
SMALLEST = Network((1, 1, 1))
DESCENT = Descent()


@dataclass(frozen=True)
class Problem:
    """One batch and one set of parameters, as host arrays.

    Attributes:
        name: the case's name.
        params: weights ``[out, in]`` and biases ``[out]`` a layer, in the dtype under check.
        inputs: ``[n, inputs]``.
        targets: ``[n, outputs]``.
        learning_rate: as the caller gives it.
        activation: of the hidden layers.
        loss: of the network.
        optimizer: what updates do with the gradients.
        state: of the optimiser, if it does not start afresh.
    """

    name: str
    params: Params
    inputs: Array
    targets: Array
    learning_rate: float
    activation: str = "tanh"
    loss: str = "mse"
    optimizer: Optimizer = DESCENT
    state: State | None = None

    @property
    def network(self) -> Network:
        """The layer sizes, the activation and the loss."""
        return Network((self.inputs.shape[1], *(len(biases) for _, biases in self.params)), self.activation, self.loss)

    @property
    def work(self) -> int:
        """Rows times parameters."""
        return len(self.inputs) * self.network.parameter_count

    def of_step(self, k: int, rows_per_step: int) -> Problem:
        """Return the problem of the rows that step ``k`` of training takes."""
        start = k % -(-len(self.inputs) // rows_per_step) * rows_per_step
        rows = slice(start, start + rows_per_step)
        return replace(self, inputs=self.inputs[rows], targets=self.targets[rows])

    def placed_on(self, backend: Backend) -> Any:
        """Return the parameters and the state, placed; a backend need not know of states to work without them."""
        return backend.place_params(self.params, self.state) if self.state else backend.place_params(self.params)


@dataclass
class Subject:
    """A backend on trial, in one dtype on one device; instances are made once a network.

    Attributes:
        name: what `backends.load` takes.
        dtype: ``"float32"`` or ``"float64"``.
        device: ``"cpu"`` or ``"cuda"``.
        seed: of the drawn cases.
        draws: how many cases are drawn; ``None`` for as many as the backend's compile time allows.
        deep: whether to spend minutes on what has no end: walks of state, drawn shapes.
        quick: whether seconds have to do: fewer cases of each claim.
        judged: what was found on each case that several claims share.
        expected: what one exact step of each case gives, which several claims share.
    """

    name: str
    dtype: str
    device: str
    seed: int = field(default_factory=lambda: secrets.randbelow(10**9))
    draws: int | None = None
    deep: bool = False
    quick: bool = False
    judged: dict[str, list[Finding]] = field(default_factory=dict)
    expected: dict[str, Any] = field(default_factory=dict)
    _instances: dict[tuple[Network, Optimizer], Backend] = field(default_factory=dict)

    @cached_property
    def kind(self) -> type[Backend]:
        """The backend's class, found once: a name that is not built in is sought in every installed package."""
        return find(self.name)

    @property
    def few(self) -> bool:
        """Whether to judge fewer shapes and fewer numbers of steps: each of them compiles, or it has to be quick."""
        return (self.quick or self.kind.capabilities.compiles) and not self.deep

    def fresh(self, network: Network, optimizer: Optimizer = DESCENT) -> Backend:
        """Return a new instance; its constructor need not know of optimisers, as long as it has none but descent."""
        chosen: dict[str, Any] = {} if optimizer == DESCENT else {"optimizer": optimizer}
        return self.kind(network, self.dtype, self.device, **chosen)

    def on(self, network: Network, optimizer: Optimizer = DESCENT) -> Backend:
        """Return the instance for ``network`` and ``optimizer``."""
        if (network, optimizer) not in self._instances:
            self._instances[network, optimizer] = self.fresh(network, optimizer)
        return self._instances[network, optimizer]

    @property
    def products(self) -> str:
        """The precision of products that its instances declared; the coarsest if they differ."""
        declared = {backend.capabilities.products for backend in self._instances.values() if self.dtype == "float32"}
        return max(declared, key=PRODUCT_UNITS.__getitem__, default="ieee")


def kind_of(backend: Backend) -> type[Backend]:
    """Return the class that computes, of which a small instance shows what its arithmetic does."""
    return type(backend.inner if isinstance(backend, Shares) else backend)


def precision_of(backend: Backend, work: int) -> Precision:
    """Return what is known of the arithmetic of ``backend``: declared, or observed by computing.

    Args:
        backend: of any network.
        work: rows times parameters, which decides how finely the oracle calculates.
    """
    limits = np.finfo(backend.dtype)
    flushes = flushes_subnormals(kind_of(backend), backend.dtype, backend.device)
    return Precision(
        dtype=backend.dtype,
        unit=float(limits.eps) / 2,
        arithmetic=arithmetic_for(work, backend.dtype),
        floor=float(limits.tiny if flushes else limits.smallest_subnormal),
        largest=float(limits.max),
        product_unit=PRODUCT_UNITS[backend.capabilities.products] if backend.dtype == "float32" else 0.0,
        block_rows=backend.block_rows,
    )


@lru_cache(maxsize=64)
def flushes_subnormals(kind: type[Backend], dtype: str, device: str) -> bool:
    """Return whether a backend turns subnormal numbers into zero, observed in a bias, a product and an update."""
    backend = kind(SMALLEST, dtype, device)
    tiny = float(np.finfo(dtype).tiny)

    def params(w: float, b: float) -> Params:
        hidden = Layer(np.zeros((1, 1), dtype), np.array([0.5], dtype))
        return (hidden, Layer(np.array([[w]], dtype), np.array([b], dtype)))

    batch = backend.place_batch(np.ones((1, 1), dtype), np.zeros((1, 1), dtype))
    survivors = []
    for w, b in ((0.0, tiny / 4), (tiny, 0.0)):  # tanh(0.5) * tiny is subnormal
        tape = backend.forward(backend.place_params(params(w, b)), batch)
        survivors.append(float(backend.outputs(tape)[-1][0, 0]))
    placed = backend.place_params(params(0.0, tiny / 4))
    _, gradients = backend.backward(placed, batch, backend.forward(placed, batch))
    survivors.append(float(backend.fetch(backend.update(placed, gradients, 0.0))[-1].biases[0]))
    return any(value == 0 or math.isnan(value) for value in survivors)
