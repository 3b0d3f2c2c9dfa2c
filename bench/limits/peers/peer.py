"""What all peers share: only their `step` is timed, so only that, and what it needs, is the package's own code.

Packages such as scikit-learn offer a step of training and a prediction, and nothing in between. The contract's other
phases are answered in plain numpy from the parameters fetched from the package; conformance then proves the package's
step and two steps of training against the bounds, which depend on no phase but themselves.

Tests: `tests/bench/limits/test_peers.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy.typing import ArrayLike

from backends import Backend, Layer, Network, Params
from backends.base import Array, State
from backends.idioms import numpy_idiom


class Batch(NamedTuple):
    """Inputs and targets, row-major: the package's own, and on the host."""

    x: Any
    y: Any
    host: numpy_idiom.Batch


class Peer(Backend):
    """A package's own step; the rest in numpy."""

    def __init__(self, network: Network, dtype: str = "float32", device: str = "cpu") -> None:
        super().__init__(network, dtype, device)
        self._numpy = numpy_idiom.NumpyIdiom(network, dtype)

    @abstractmethod
    def place_arrays(self, x: Array, y: Array) -> tuple[Any, Any]:
        """Return inputs and targets as the package's own arrays."""

    @abstractmethod
    def fetch_layers(self, params: Any) -> Params:
        """Return host copies of the package's parameters, ``[out, in]`` and ``[out]`` a layer."""

    @abstractmethod
    def step(self, params: Any, batch: Batch, learning_rate: float) -> tuple[Any, Any]:
        """Make one step in the package."""

    def place_batch(self, inputs: ArrayLike, targets: ArrayLike) -> Batch:
        host = self._numpy.place_batch(inputs, targets)
        return Batch(*self.place_arrays(*host), host)

    def forward(self, params: Any, batch: Batch) -> numpy_idiom.Tape:
        return self._numpy.forward(self._on_host(params), batch.host)

    def backward(self, params: Any, batch: Batch, tape: numpy_idiom.Tape) -> tuple[Any, Params]:
        return self._numpy.backward(self._on_host(params), batch.host, tape)

    def update(self, params: Any, gradients: Params, learning_rate: float) -> Any:
        updated = self._numpy.update(self._on_host(params), gradients, learning_rate)
        return self.place_params(self._numpy.fetch(updated))

    def outputs(self, tape: numpy_idiom.Tape) -> tuple[Array, ...]:
        return self._numpy.outputs(tape)

    def fetch(self, params: Any) -> Params:
        if isinstance(params, tuple) and all(isinstance(layer, Layer) for layer in params):
            return self._numpy.fetch(params)
        return self.fetch_layers(params)

    def _on_host(self, params: Any) -> numpy_idiom.Trained:
        return self._numpy.place_params(self.fetch(params))

    @abstractmethod
    def place_params(self, params: Sequence[Layer], state: State | None = None) -> Any:
        """Return the package's own model, from host parameters."""
