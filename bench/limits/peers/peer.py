"""What all peers share: only their `step` is timed, so only that, and what it needs, is the package's own code.

Packages such as scikit-learn offer a step of training and a prediction, and nothing in between. The contract's other
phases are answered in plain numpy from the parameters fetched from the package; conformance then proves the package's
step and two steps of training against the bounds, which depend on no phase but themselves. A pass of mini-batches is
the package's own rows in a new order, cut into parts, one step a part.

Tests: `tests/bench/limits/test_peers.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from backends import Backend, Layer, Network, Optimizer, Params
from backends.base import Array, State
from backends.idioms import numpy_idiom

ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")
LOSSES = ("mse", "cross-entropy")
OPTIMIZERS = ("descent", "momentum", "adam")


class Batch(NamedTuple):
    """Inputs and targets, row-major, the package's own."""

    x: Any
    y: Any


class Peer(Backend):
    """A package's own step; the rest in numpy."""

    def __init__(
        self, network: Network, dtype: str = "float32", device: str = "cpu", optimizer: Optimizer | None = None
    ) -> None:
        super().__init__(network, dtype, device, optimizer)
        self._numpy = numpy_idiom.NumpyIdiom(network, dtype, optimizer=optimizer)

    @abstractmethod
    def place_arrays(self, x: Array, y: Array) -> tuple[Any, Any]:
        """Return inputs and targets as the package's own arrays."""

    @abstractmethod
    def fetch_layers(self, params: Any) -> Params:
        """Return host copies of the package's parameters, ``[out, in]`` and ``[out]`` a layer."""

    @abstractmethod
    def fetch_moments(self, params: Any) -> tuple[int, list[Params]]:
        """Return the number of updates, and each of `Optimizer.moments` in the form of `fetch_layers`.

        Asked only of an optimiser that keeps something.
        """

    @abstractmethod
    def step(self, params: Any, batch: Batch, learning_rate: float) -> tuple[Any, Any]:
        """Make one step in the package."""

    def rows_of(self, array: Any, rows: Any) -> Any:
        """Return some rows of one of the package's arrays: a slice of them, or those that an array numbers."""
        return array[rows]

    def host_targets(self, y: Any) -> Array:
        """Return the package's targets as the contract has them."""
        return np.array(y)

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        return Batch(*self.place_arrays(*self.host_batch(inputs, targets)))

    def split(self, batch: Batch, rows_per_step: int) -> list[Batch]:
        n = len(batch.x)
        rows = self.checked_rows(rows_per_step, n)
        return [self._some(batch, slice(k, k + rows)) for k in range(0, n, rows)]

    def reorder(self, batch: Batch, order: ArrayLike) -> Batch:
        return self._some(batch, self.checked_order(order, len(batch.x)))

    def forward(self, params: Any, batch: Batch) -> numpy_idiom.Tape:
        return self._numpy.forward(self._on_host(params), self._host(batch))

    def backward(self, params: Any, batch: Batch, tape: numpy_idiom.Tape) -> tuple[Any, Params]:
        return self._numpy.backward(self._on_host(params), self._host(batch), tape)

    def update(self, params: Any, gradients: Params, learning_rate: float) -> Any:
        return self._numpy.update(self._on_host(params), gradients, learning_rate)

    def outputs(self, tape: numpy_idiom.Tape) -> tuple[Array, ...]:
        return self._numpy.outputs(tape)

    def fetch(self, params: Any) -> Params:
        if isinstance(params, numpy_idiom.Trained):
            return self._numpy.fetch(params)
        if isinstance(params, tuple) and all(isinstance(layer, Layer) for layer in params):
            return self._numpy.fetch(params)
        return self.fetch_layers(params)

    def fetch_state(self, params: Any) -> State:
        if isinstance(params, numpy_idiom.Trained):
            return self._numpy.fetch_state(params)
        if not self.optimizer.moments:
            return State(0, {})
        updates, moments = self.fetch_moments(params)
        counted = updates if self.optimizer.counts_updates else 0
        return State(counted, dict(zip(self.optimizer.moments, moments, strict=True)))

    def _on_host(self, params: Any) -> numpy_idiom.Trained:
        if isinstance(params, numpy_idiom.Trained):
            return params
        return self._numpy.place_params(self.fetch(params), self.fetch_state(params))

    def _host(self, batch: Batch) -> numpy_idiom.Batch:
        return self._numpy.place_batch(np.array(batch.x), self.host_targets(batch.y))

    def _some(self, batch: Batch, rows: Any) -> Batch:
        return Batch(self.rows_of(batch.x, rows), self.rows_of(batch.y, rows))

    @abstractmethod
    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Return the package's own model, from host parameters."""
